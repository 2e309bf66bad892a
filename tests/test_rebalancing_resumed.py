"""A round that came to an end half-way goes on, and ends as one that did not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from bradd.embedding import Encoder
from bradd.generate import Generator
from bradd.pool import Pool
from bradd.rebalancing import rebalance
from bradd.round_settings import RoundSettings
from bradd.select import KNNDistance
from samples import SIZE, TinyBackbone, picture


class Stopped(Exception):
    """In place of a kill."""


class Fragile(Generator):
    """Blends of anchors and other pictures; it fails when it is told to."""

    def __init__(self) -> None:
        self.fail_at: Callable[[int], bool] = lambda call: False
        self.calls = 0
        self.fits = 0
        self.made: list[bytes] = []

    def fit(
        self,
        images: Dataset[tuple[torch.Tensor, int]],
        embeddings: np.ndarray,
        seed: int,
        folder: Path | None = None,
    ) -> None:
        self.fits += 1
        assert folder is not None
        (folder / "state").write_text("fitted")

    def generate(
        self, anchors: Sequence[Image.Image], embeddings: np.ndarray, seeds: Sequence[int]
    ) -> list[Image.Image]:
        self.calls += 1
        if self.fail_at(self.calls):
            raise Stopped
        self.made += [anchor.tobytes() for anchor in anchors]
        return [
            Image.blend(picture(seed % 2**32), anchor, 0.4 + 0.5 * (seed % 7) / 7)
            for anchor, seed in zip(anchors, seeds, strict=True)
        ]


SETTINGS = RoundSettings(KNNDistance(3), Fragile(), n_anchors=20, n_variations=2)


def files(pool: Pool) -> dict[str, object]:
    """All files of the first round; without the times, which differ."""
    folder = pool.ledger.round_folder(1)
    found: dict[str, object] = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    facts = json.loads(found.pop("round.json"))  # type: ignore[arg-type]
    del facts["seconds"]
    return found | {"round.json": facts, "ledger": (folder / "../../ledger.parquet").read_bytes()}


def done(folder: Path, out: Path, encoder: Encoder, generator: Fragile, **change: object) -> Pool:
    pool = Pool(folder, out)
    settings = replace(SETTINGS, generator=generator, **change)  # type: ignore[arg-type]
    rebalance(pool, encoder, 1, settings)
    return pool


def stopped(folder: Path, out: Path, encoder: Encoder, call: int) -> Fragile:
    generator = Fragile()
    generator.fail_at = lambda number: number == call
    with pytest.raises(Stopped):
        done(folder, out, encoder, generator)
    return generator


def test_a_stopped_round_ends_as_an_undisturbed_one(
    folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    whole = Fragile()
    expected = files(done(folder, tmp_path / "whole", encoder, whole))
    assert whole.calls > 5  # three groups, some of them drawn again
    for call in range(1, whole.calls + 1):
        out = tmp_path / str(call)
        stopped(folder, out, encoder, call)
        again = Fragile()
        assert files(done(folder, out, encoder, again)) == expected
        assert again.made == whole.made[len(whole.made) - len(again.made) :]
        assert [path.name for path in (out / "rounds").iterdir()] == ["01"]


def test_finished_anchors_are_not_generated_again(
    folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    expected = files(done(folder, tmp_path / "whole", encoder, Fragile()))
    out = tmp_path / "run"
    resumed = []
    for _ in range(20):  # stopped again and again, a group further each time
        generator = Fragile()
        generator.fail_at = lambda number: number > 3
        try:
            pool = done(folder, out, encoder, generator)
        except Stopped:
            resumed.append(len(set(generator.made)))
        else:
            break
    assert files(pool) == expected
    assert 0 < len(resumed) < 19


def test_where_everything_was_generated_nothing_is_fitted_or_generated(
    folder: Path, tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = files(done(folder, tmp_path / "whole", encoder, Fragile()))

    def stop(*_: object) -> None:
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr("bradd.round_writer.RoundWriter.commit", stop)
        with pytest.raises(Stopped):
            done(folder, tmp_path / "run", encoder, Fragile())
    again = Fragile()
    assert files(done(folder, tmp_path / "run", encoder, again)) == expected
    assert (again.fits, again.calls) == (0, 0)


@pytest.mark.parametrize("change", ["seed", "draws", "encoder", "images", "generator"])
def test_a_round_of_other_settings_is_begun_anew(
    folder: Path, tmp_path: Path, encoder: Encoder, change: str
) -> None:
    stopped(folder, tmp_path / "run", encoder, 3)
    settings: dict[str, object] = {}
    generator = Fragile()
    if change == "seed":
        settings["seed"] = 1
    elif change == "draws":
        settings["draws"] = 2
    elif change == "encoder":
        backbone = TinyBackbone()
        backbone.mix.weight.data *= 2  # the same directions, and so the same anchors
        backbone.mix.bias.data = encoder.backbone.get_submodule("mix").bias.data * 2  # type: ignore[operator]
        encoder = Encoder(backbone, SIZE)
    elif change == "images":
        (folder / "a" / "01.png").rename(folder / "a" / "77.png")
        (tmp_path / "run/pool.json").unlink()
    else:
        generator = type("Other", (Fragile,), {})()
    done(folder, tmp_path / "run", encoder, generator, **settings)
    assert len(set(generator.made)) == 20  # of every anchor


def test_the_number_of_workers_is_no_other_setting(
    folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    stopped(folder, tmp_path / "run", encoder, 4)
    generator = Fragile()
    done(folder, tmp_path / "run", encoder, generator, num_workers=1)
    assert len(set(generator.made)) < 20


def test_a_generator_has_its_folder_from_round_to_round(
    folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    class Remembering(Fragile):
        def fit(
            self,
            images: Dataset[tuple[torch.Tensor, int]],
            embeddings: np.ndarray,
            seed: int,
            folder: Path | None = None,
        ) -> None:
            assert folder is not None
            path = folder / "fits"
            path.write_text((path.read_text() if path.exists() else "") + "|")

    pool = Pool(folder, tmp_path / "run")
    for cycle in (1, 2, 3):
        settings = replace(SETTINGS, generator=Remembering(), n_anchors=4)
        rebalance(pool, encoder, cycle, settings)
    assert (pool.ledger.round_folder(3) / "generator/fits").read_text() == "|||"
    assert not (pool.ledger.round_folder(2) / "generator").exists()
