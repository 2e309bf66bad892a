"""Drawing, judging and drawing again, through whole rounds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bradd.embedding import Encoder
from bradd.errors import BraddError
from bradd.generate import Augment, Duplicate, Generator, Readd
from bradd.generate.acceptance import STEPS
from bradd.ledger_table import Variation
from bradd.pool import Pool
from bradd.rebalancing import rebalance
from bradd.round_settings import RoundSettings
from bradd.seeds import derive_seed
from bradd.select import KNNDistance, Uniform
from samples import picture


class Nearing(Generator):
    """Another picture through which, step by step, more of the anchor is seen.

    `steps` says how many steps nearer each seed's picture was to be.
    """

    external_data = True
    licence = "free to all"

    def __init__(self) -> None:
        self.steps: dict[int, int] = {}
        self.batches: list[int] = []

    def revision(self) -> str:
        return "first"

    def generate(
        self, anchors: Sequence[Image.Image], embeddings: np.ndarray, seeds: Sequence[int]
    ) -> list[Image.Image]:
        return self._made(anchors, seeds, [0] * len(seeds))

    def generate_closer(
        self,
        anchors: Sequence[Image.Image],
        embeddings: np.ndarray,
        seeds: Sequence[int],
        steps: Sequence[int],
    ) -> list[Image.Image]:
        return self._made(anchors, seeds, steps)

    def _made(
        self, anchors: Sequence[Image.Image], seeds: Sequence[int], steps: Sequence[int]
    ) -> list[Image.Image]:
        self.steps |= dict(zip(seeds, steps, strict=True))
        self.batches.append(len(seeds))
        return [
            Image.blend(picture(seed % 2**32), anchor, float(np.clip(0.4 + 0.3 * step, 0, 1)))
            for anchor, seed, step in zip(anchors, seeds, steps, strict=True)
        ]


SETTINGS = RoundSettings(KNNDistance(3), Nearing(), n_anchors=12, n_variations=4)


def rows_of(
    folder: Path, out: Path, encoder: Encoder, settings: RoundSettings
) -> tuple[list[Variation], dict[str, object], Pool]:
    pool = Pool(folder, out)
    summary = rebalance(pool, encoder, 1, settings)
    return pool.ledger.variations(1), summary, pool


def by_variation(rows: list[Variation]) -> dict[tuple[int, int], list[Variation]]:
    found = defaultdict(list)
    for row in rows:
        found[row.anchor, row.number].append(row)
    return found


@pytest.mark.parametrize("draws", [1, 3])
def test_refused_ones_are_drawn_again_and_all_draws_kept(
    folder: Path, tmp_path: Path, encoder: Encoder, draws: int
) -> None:
    settings = replace(SETTINGS, generator=Nearing(), draws=draws)
    rows, summary, pool = rows_of(folder, tmp_path / "run", encoder, settings)
    found = by_variation(rows)
    assert len(found) == 48
    lengths = {len(attempts) for attempts in found.values()}
    assert lengths == ({1} if draws == 1 else {1, 2, 3})
    for (anchor, number), attempts in found.items():
        assert [row.attempt for row in attempts] == list(range(len(attempts)))
        assert not any(row.accepted for row in attempts[:-1])
        assert attempts[-1].accepted or len(attempts) == draws
        for row in attempts:
            place = ("generate", 1, anchor, number, row.attempt)
            assert row.seed == derive_seed(0, *place)
            assert (tmp_path / "run" / row.file).is_file()
    assert sum(row.accepted for row in rows) == summary["accepted"] == len(pool) - 40
    assert (summary["variations"], summary["draws"]) == (48, len(rows))
    assert summary["mean_draws"] == len(rows) / 48
    assert sum(summary["refused"].values()) == len(rows) - summary["accepted"]  # type: ignore[attr-defined]


def test_each_draw_is_as_much_nearer_as_the_refusals_before_it_ask(
    folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    generator = Nearing()
    rows, _, _ = rows_of(folder, tmp_path / "run", encoder, replace(SETTINGS, generator=generator))
    for attempts in by_variation(rows).values():
        expected = 0
        for row in attempts:
            assert generator.steps[row.seed] == expected
            expected += STEPS.get(row.reason, 0)
    assert set(generator.steps.values()) > {0, 1}


def test_an_anchors_variations_do_not_depend_on_the_anchors_made_with_it(
    folder: Path, tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for at_once in (8, 1, 5):
        monkeypatch.setattr("bradd.variations.ANCHORS_AT_ONCE", at_once)
        settings = replace(SETTINGS, generator=Nearing(), batch_size=7)
        rows, _, _ = rows_of(folder, tmp_path / str(at_once), encoder, settings)
        found.append(
            [(row.anchor, row.number, row.attempt, row.reason, row.sha256) for row in rows]
        )
    assert found[0] == found[1] == found[2]


def test_few_anchors_are_held_at_once(folder: Path, tmp_path: Path, encoder: Encoder) -> None:
    generator = Nearing()
    rows_of(folder, tmp_path / "run", encoder, replace(SETTINGS, generator=generator, draws=1))
    assert generator.batches == [32, 16]


@pytest.mark.parametrize("judged", [True, False])
def test_without_acceptance_and_for_controls_each_is_drawn_once_and_kept(
    folder: Path, tmp_path: Path, encoder: Encoder, judged: bool
) -> None:
    generator = Nearing()
    generator.judged = judged
    settings = replace(SETTINGS, generator=generator, acceptance=not judged)
    rows, summary, _ = rows_of(folder, tmp_path / "run", encoder, settings)
    assert summary["accepted"] == summary["draws"] == 48
    assert {row.reason for row in rows} == {""}
    assert not all(row.nearer_own for row in rows)
    assert all(row.pixel_distance > 0 and row.nearest_distance > 0 for row in rows)


def test_nothing_is_lost_beside_anchors_chosen_at_random(
    folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    """Their scores say nothing of how frequent an image is."""
    reasons = {}
    for selector in (KNNDistance(3), Uniform()):
        settings = replace(SETTINGS, selector=selector, n_anchors=30, generator=Nearing())
        out = tmp_path / type(selector).__name__
        rows, _, _ = rows_of(folder, out, encoder, settings)
        reasons[type(selector)] = {row.reason for row in rows}
    assert "lost among frequent images" in reasons[KNNDistance]
    assert "lost among frequent images" not in reasons[Uniform]


def test_where_a_picture_comes_from_is_said_everywhere(
    folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    rows, summary, _ = rows_of(folder, tmp_path / "run", encoder, SETTINGS)
    for row in rows:
        assert (row.generator, row.generator_revision) == ("Nearing()", "first")
        assert (row.licence, row.external_data) == ("free to all", True)
        with Image.open(tmp_path / "run" / row.file) as image:
            text = image.text  # type: ignore[attr-defined]
        assert text["Anchor"] == row.anchor_name
        assert text["Seed"] == str(row.seed)
        assert (text["Generator"], text["Generator revision"]) == ("Nearing()", "first")
        assert (text["Licence"], text["External data"]) == ("free to all", "yes")
        assert text["Digital source type"].endswith("/trainedAlgorithmicMedia")
        assert text["Software"].startswith("bradd ")
    facts = ("generator", "generator_revision", "licence", "external_data")
    assert [summary[name] for name in facts] == ["Nearing()", "first", "free to all", True]


@pytest.mark.parametrize("generator", [Duplicate(), Augment()])
def test_controls_do_not_claim_to_be_generated(
    folder: Path, tmp_path: Path, encoder: Encoder, generator: Generator
) -> None:
    rows, summary, _ = rows_of(
        folder, tmp_path / "run", encoder, replace(SETTINGS, generator=generator)
    )
    assert summary["accepted"] == len(rows) == 48
    with Image.open(tmp_path / "run" / rows[0].file) as image:
        text = image.text  # type: ignore[attr-defined]
    assert text["Digital source type"].endswith("/algorithmicallyEnhanced")
    assert "without a generative model" in text["Description"]
    assert "Licence" not in text


def test_removed_images_are_given_once_over_all_rounds(
    folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    removed = tmp_path / "removed"
    removed.mkdir()
    for number in range(100, 124):
        picture(number).save(removed / f"{number}.png")
    settings = replace(SETTINGS, n_anchors=4, n_variations=3)
    pool = Pool(folder, tmp_path / "run")
    for cycle in (1, 2):  # a generator of its own each, as in a run that is resumed
        rebalance(pool, encoder, cycle, replace(settings, generator=Readd(str(removed))))
    rows = [row for cycle in (1, 2) for row in pool.ledger.variations(cycle)]
    given = [np.asarray(Image.open(tmp_path / "run" / row.file)).tobytes() for row in rows]
    assert len(given) == len(set(given)) == 24
    assert set(given) == {picture(number).tobytes() for number in range(100, 124)}
    assert not any(row.external_data for row in rows)


def test_too_few_removed_images_are_said_beforehand(
    folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    settings = replace(SETTINGS, generator=Readd(str(folder)))
    with pytest.raises(BraddError, match=r"has 40 images to give.* takes 48"):
        rebalance(Pool(folder, tmp_path / "run"), encoder, 1, settings)
    assert not (tmp_path / "run/rounds").exists()
