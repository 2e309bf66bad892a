from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bradd.reporting.gallery import evenly, gallery
from bradd.reporting.pictures import embed
from bradd.reporting.run_files import read_run


@given(st.integers(0, 2000), st.integers(2, 80))
def test_evenly_spread_positions(total: int, limit: int) -> None:
    positions = evenly(total, limit)
    assert len(positions) == min(total, limit)
    assert positions == sorted(set(positions))
    if total:
        assert positions[0] == 0
        assert positions[-1] == total - 1
        gaps = np.diff(positions)
        assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


def decoded(source: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))


@pytest.mark.parametrize(
    ("size", "shown", "pixelated"),
    [
        ((8, 8), (96, 96), True),
        ((28, 28), (84, 84), True),
        ((32, 16), (96, 48), True),
        ((64, 64), (96, 96), True),
        ((96, 96), (96, 96), False),
        ((224, 112), (96, 48), False),
        ((900, 1), (96, 1), False),
    ],
)
def test_size_on_the_page(
    tmp_path: Path, size: tuple[int, int], shown: tuple[int, int], pixelated: bool
) -> None:
    Image.new("RGB", size, "#336699").save(tmp_path / "a.png")
    picture = embed(tmp_path / "a.png")
    assert picture is not None
    assert (picture.width, picture.height) == shown
    assert picture.pixelated is pixelated
    assert max(decoded(picture.source).size) <= 128


def test_tiny_pictures_are_embedded_exactly(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = embed(tmp_path / "a.png")
    assert picture is not None
    assert np.array_equal(np.asarray(decoded(picture.source)), pixels)


def test_grey_and_transparent_pictures(tmp_path: Path) -> None:
    for mode in ("1", "L", "LA", "P", "RGBA", "CMYK"):
        path = tmp_path / f"{mode}.tiff"
        Image.new(mode, (9, 9)).save(path)
        assert embed(path) is not None


def test_a_file_that_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    assert embed(tmp_path / "a.png") is None
    assert embed(tmp_path / "b.png") is None
    assert embed(tmp_path) is None


def test_anchors_are_in_the_order_of_their_scores(run: Path) -> None:
    files = read_run(run)
    for one in files.rounds:
        shown = gallery(files, one)
        assert one.selection is not None
        scores = one.selection.scores[one.selection.selected]
        assert [card.score for card in shown.cards] == sorted(scores, reverse=True)
        assert [card.rank for card in shown.cards] == [1, 2, 3]
        for card in shown.cards:
            assert {tile.row.anchor for tile in card.tiles} == {card.anchor}
            assert {tile.row.cycle for tile in card.tiles} == {one.cycle}


def test_a_page_of_many_rounds_shows_fewer_anchors_of_each(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bradd.reporting.gallery.ANCHORS_A_PAGE", 4)
    files = read_run(run)
    shown = [gallery(files, one) for one in files.rounds]
    assert [len(one.cards) for one in shown] == [2, 2]
    assert [one.anchors for one in shown] == [3, 3]
