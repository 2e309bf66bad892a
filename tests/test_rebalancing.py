from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from bradd.data import SubsetImages, folder_images
from bradd.embedding import Encoder, embed
from bradd.errors import BraddError
from bradd.generate import Duplicate, Generator
from bradd.pool import Pool
from bradd.rebalancing import rebalance
from bradd.round_settings import RoundSettings, check_round
from bradd.select import Band, KNNDistance, Rare
from samples import SIZE, picture

SETTINGS = RoundSettings(KNNDistance(3), Duplicate(), n_anchors=4, n_variations=3, batch_size=5)


class Elsewhere(Generator):
    """Gives the picture of another anchor: every variation has left its own."""

    def generate(self, anchors, embeddings, seeds):  # type: ignore[no-untyped-def]
        return [picture(999) for _ in anchors]


def much_alike(folder: Path) -> Path:
    """40 pictures in which little differs."""
    for number in range(40):
        path = _made(folder / "am"[number % 2] / f"{number}.png")
        Image.blend(picture(0), picture(number), 0.1).save(path)
    return folder


def black_above_white() -> np.ndarray:
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[: SIZE // 2] = 255
    return pixels


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def selected(pool: Pool, cycle: int = 1) -> list[str]:
    table = pq.read_table(pool.ledger.round_folder(cycle) / "selection.parquet")
    return sorted(row["name"] for row in table.to_pylist() if row["selected"])


def test_a_round_duplicates_what_is_far_from_its_neighbours(
    folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    pool = Pool(folder, tmp_path / "run")
    summary = rebalance(pool, encoder, 1, SETTINGS)
    embeddings = embed(pool.images, encoder)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    distances = np.sort(np.linalg.norm(unit[:, None] - unit[None], axis=2), axis=1)[:, 3]
    expected = sorted(pool.name(int(index)) for index in np.argsort(-distances)[:4])
    assert selected(pool) == expected
    assert (summary["accepted"], summary["nearer_own"], len(pool)) == (12, 1.0, 52)
    for variation in pool.ledger.variations(1):
        kept = np.asarray(Image.open(tmp_path / "run" / variation.file))
        assert np.array_equal(kept, np.asarray(Image.open(folder / variation.anchor_name)))


@pytest.mark.parametrize("name", ["a/00.png", "m/17.png", "z/99.png"])
def test_a_planted_outlier_is_an_anchor_under_its_own_name(
    tmp_path: Path, encoder: Encoder, name: str
) -> None:
    """Black above white among pictures much like each other, through the whole path."""
    folder, outlier = much_alike(tmp_path / "photos"), black_above_white()
    Image.fromarray(outlier).save(_made(folder / name))
    pool = Pool(folder, tmp_path / "run")
    rebalance(pool, encoder, 1, SETTINGS)
    rows = [row for row in pool.ledger.variations(1) if row.anchor_name == name]
    assert len(rows) == 3
    assert pool.name(rows[0].anchor) == name
    assert np.array_equal(np.asarray(Image.open(tmp_path / "run" / rows[0].file)), outlier)


def test_selection_does_not_depend_on_batches_workers_or_order(
    folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    images = folder_images(folder)
    shuffled = SubsetImages(images, np.random.default_rng(0).permutation(len(images)))
    names = []
    for number, (source, batch_size, workers) in enumerate(
        [(images, 256, 0), (images, 1, 0), (images, 7, 2), (shuffled, 16, 1)]
    ):
        pool = Pool(source, tmp_path / f"run{number}")
        settings = replace(SETTINGS, batch_size=batch_size, num_workers=workers, n_anchors=9)
        rebalance(pool, encoder, 1, settings)
        names.append(selected(pool))
        if source is images:
            first = pq.read_table(tmp_path / "run0/rounds/01/selection.parquet")
            table = pq.read_table(pool.ledger.round_folder(1) / "selection.parquet")
            assert table["selected"].to_pylist() == first["selected"].to_pylist()
    assert names.count(names[0]) == 4


def test_blank_and_noise_images_are_never_anchors(
    folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    Image.new("RGB", (SIZE, SIZE), "white").save(folder / "blank.png")
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    guarded, open_to_all = (Pool(folder, tmp_path / name) for name in ("on", "off"))
    summary = rebalance(guarded, encoder, 1, SETTINGS)
    rebalance(open_to_all, encoder, 1, replace(SETTINGS, guard=False, n_anchors=42))
    assert summary["guarded"] == 2
    assert not {"blank.png", "noise.png"} & set(selected(guarded))
    assert {"blank.png", "noise.png"} <= set(selected(open_to_all))
    table = pq.read_table(tmp_path / "on/rounds/01/selection.parquet").to_pylist()
    assert {row["name"]: row["guard"] for row in table if row["guard"]} == {
        "blank.png": "blank",
        "noise.png": "noise",
    }


def test_anchors_are_fewer_where_the_guard_leaves_fewer(
    folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    for number in range(3):
        Image.new("RGB", (SIZE, SIZE)).save(folder / f"blank{number}.png")
    pool = Pool(folder, tmp_path / "run")
    summary = rebalance(pool, encoder, 1, replace(SETTINGS, n_anchors=43, n_variations=1))
    assert summary["anchors"] == 40
    assert summary["notes"] == ["the guard left 40 candidates for 43 anchors"]


def test_copies_are_counted_once(tmp_path: Path, encoder: Encoder) -> None:
    """Six copies of an outlier would hide it from a search for the third neighbour."""
    folder = much_alike(tmp_path / "photos")
    for number in range(7):
        Image.fromarray(black_above_white()).save(folder / f"halves{number}.png")
    pool, unguarded = Pool(folder, tmp_path / "run"), Pool(folder, tmp_path / "unguarded")
    summary = rebalance(pool, encoder, 1, SETTINGS)
    rebalance(unguarded, encoder, 1, replace(SETTINGS, guard=False))
    assert summary["copies"] == 6
    assert [name for name in selected(pool) if "halves" in name] == ["halves0.png"]
    assert not [name for name in selected(unguarded) if "halves" in name]
    table = pq.read_table(pool.ledger.round_folder(1) / "selection.parquet").to_pylist()
    rows = [row for row in table if "halves" in row["name"]]
    assert {row["stands_for"] for row in rows} == {rows[0]["index"]}
    assert len({row["score"] for row in rows}) == 1


def test_an_image_is_not_chosen_by_more_rounds_than_the_limit(
    folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    """Variations that lie elsewhere serve no anchor: without a limit the same are chosen again."""
    settings = replace(SETTINGS, generator=Elsewhere(), acceptance=False)
    pools = {limit: Pool(folder, tmp_path / str(limit)) for limit in (0, 1, 2)}
    chosen = {
        limit: [
            set(selected(pool, cycle))
            for cycle in (1, 2, 3)
            if rebalance(pool, encoder, cycle, replace(settings, anchor_limit=limit))
        ]
        for limit, pool in pools.items()
    }
    assert chosen[0][0] & chosen[0][1] & chosen[0][2]
    first, second, third = chosen[1]
    assert not first & second | second & third | first & third
    assert chosen[2][0] & chosen[2][1]
    assert not chosen[2][0] & chosen[2][1] & chosen[2][2]


def test_the_limit_gives_way_where_it_leaves_too_few(
    folder: Path, tmp_path: Path, encoder: Encoder, caplog: pytest.LogCaptureFixture
) -> None:
    pool = Pool(folder, tmp_path / "run")
    settings = replace(SETTINGS, n_anchors=30, n_variations=1, anchor_limit=1)
    rebalance(pool, encoder, 1, settings)
    summary = rebalance(pool, encoder, 2, settings)
    assert summary["anchors"] == 30
    assert "20 images were chosen again though 1 rounds had" in caplog.text
    assert len({*selected(pool, 1), *selected(pool, 2)}) == 40  # the other ten came first


def test_the_strength_of_the_signal_is_kept(folder: Path, tmp_path: Path, encoder: Encoder) -> None:
    pool = Pool(folder, tmp_path / "run")
    drawn = replace(SETTINGS, selector=Rare(neighbourhood=30, draws=2))
    assert rebalance(pool, encoder, 1, SETTINGS)["signal"] is None
    signal = rebalance(pool, encoder, 2, drawn)["signal"]
    assert 0 <= signal["share_of_variance"] <= 1
    assert 0 <= signal["stability"] <= 1


def test_a_round_is_not_done_twice(folder: Path, tmp_path: Path, encoder: Encoder) -> None:
    pool = Pool(folder, tmp_path / "run")
    rebalance(pool, encoder, 1, SETTINGS)
    with pytest.raises(BraddError, match="holds round 1 already"):
        rebalance(pool, encoder, 1, SETTINGS)
    assert len(pool) == 52


def test_nothing_is_left_beside_the_round(folder: Path, tmp_path: Path, encoder: Encoder) -> None:
    pool = Pool(folder, tmp_path / "run")
    rebalance(pool, encoder, 1, SETTINGS)
    assert sorted(path.name for path in pool.ledger.round_folder(1).iterdir()) == [
        "anchors",
        "round.json",
        "sample.parquet",
        "selection.parquet",
        "variations",
        "variations.parquet",
    ]


def test_variations_that_left_their_anchor_are_refused_and_said(
    folder: Path, tmp_path: Path, encoder: Encoder, caplog: pytest.LogCaptureFixture
) -> None:
    pool = Pool(folder, tmp_path / "run")
    settings = replace(SETTINGS, generator=Elsewhere(), n_anchors=10, n_variations=10)
    summary = rebalance(pool, encoder, 1, settings)
    rows = pool.ledger.variations(1)
    assert not any(r.accepted for r in rows if r.own_distance >= r.random_distance)
    assert [r.accepted for r in rows] == [r.reason == "" for r in rows]
    assert summary["accepted"] == sum(r.accepted for r in rows) == len(pool) - 40
    first = [r.own_distance < r.random_distance for r in rows if r.attempt == 0]
    assert summary["nearer_own"] == np.mean(first)
    assert 0.3 < summary["nearer_own"] < 0.6  # chance is a half
    assert "nearer to their own anchor" in caplog.text
    without = 10 - len({r.anchor for r in rows if r.accepted})
    assert summary["anchors_without"] == without > 0
    assert f"{without} of 10 anchors have no accepted variation after 3 draws" in caplog.text
    all_kept = Pool(folder, tmp_path / "all")
    rebalance(all_kept, encoder, 1, replace(settings, acceptance=False))
    assert len(all_kept) == 140


def test_variations_are_neighbours_but_no_anchors_unless_asked(
    folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    names = {}
    for candidates in ("images", "pool"):
        pool = Pool(folder, tmp_path / candidates)
        settings = replace(SETTINGS, generator=Elsewhere(), acceptance=False, n_variations=1)
        settings = replace(settings, n_anchors=2)
        rebalance(pool, encoder, 1, settings)
        second = replace(settings, candidates=candidates, n_anchors=40)  # type: ignore[arg-type]
        rebalance(pool, encoder, 2, second)
        names[candidates] = selected(pool, 2)
        table = pq.read_table(pool.ledger.round_folder(2) / "selection.parquet")
        assert len(table) == 42
    assert not any(name.startswith("rounds/") for name in names["images"])
    assert any(name.startswith("rounds/") for name in names["pool"])


def test_an_anchor_with_enough_variations_counts_as_served(
    folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    """With more copies than k its k-th neighbour is a copy, at distance 0."""
    pool = Pool(folder, tmp_path / "run")
    rebalance(pool, encoder, 1, SETTINGS)
    rebalance(pool, encoder, 2, SETTINGS)
    assert not set(selected(pool, 1)) & set(selected(pool, 2))


def test_the_encoder_is_used_in_eval_mode_and_left_as_it_was(
    folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    encoder.backbone.train()
    encoder.backbone.get_submodule("mix").eval()
    before = encoder.fingerprint()
    rebalance(Pool(folder, tmp_path / "run"), encoder, 1, SETTINGS)
    assert encoder.fingerprint() == before  # batch norm's statistics would have moved
    assert [m.training for m in encoder.backbone.modules()] == [True, True, True, False]


def test_an_encoder_that_changes_is_refused(folder: Path, tmp_path: Path) -> None:
    class Drifting(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.scale.data += 1
            return images.mean(dim=(2, 3)) * self.scale

    pool = Pool(folder, tmp_path / "run")
    with pytest.raises(BraddError, match="changed while it embedded"):
        rebalance(pool, Encoder(Drifting(), SIZE), 1, SETTINGS)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"n_anchors": 1}, "n_anchors is 1: at least 2"),
        ({"n_anchors": 41}, "n_anchors is 41, but there are 40 images"),
        ({"n_variations": 0}, "n_variations is 0"),
        ({"anchor_limit": -1}, "anchor_limit is -1"),
        ({"draws": 0}, "draws is 0"),
        ({"selector": Band(KNNDistance(3))}, r"Band\(.*\) chooses at most 3 of 40 images"),
        ({"selector": KNNDistance(40)}, r"KNNDistance\(k=40\) needs at least 41 images"),
    ],
)
def test_impossible_rounds_are_refused_beforehand(change: dict[str, object], says: str) -> None:
    with pytest.raises(BraddError, match=says):
        check_round(40, replace(SETTINGS, **change))  # type: ignore[arg-type]
