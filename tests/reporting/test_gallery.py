from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bradd.reporting.gallery import galleries
from bradd.reporting.pictures import embed
from bradd.reporting.run_files import read_run


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


def test_all_anchors_and_draws_are_there_in_the_order_of_the_scores(run: Path) -> None:
    files = read_run(run)
    shown, pictures = galleries(files)
    for one, of_round in zip(files.rounds, shown, strict=True):
        assert one.selection is not None
        scores = np.sort(one.selection.scores[one.selection.selected])[::-1]
        anchors = of_round.data["anchors"]
        assert of_round.anchors == 3
        assert np.allclose([anchor["score"] for anchor in anchors], scores, rtol=1e-3)
        assert [anchor["rank"] for anchor in anchors] == [1, 2, 3]
        for anchor in anchors:
            rows = [r for r in files.ledger if (r.cycle, r.anchor) == (one.cycle, anchor["index"])]
            assert [draw[-1] for draw in anchor["variations"]] == [row.file for row in rows]
            assert [draw[2] < 0 for draw in anchor["variations"]] == [r.accepted for r in rows]
            for draw, row in zip(anchor["variations"], rows, strict=True):
                if not row.accepted:
                    assert of_round.data["reasons"][draw[2]] == row.reason
                tile = pictures.tiles[draw[8]]
                assert tile is not None
                expected = np.asarray(Image.open(run / row.file))
                assert np.array_equal(cut(pictures.sources, tile), expected)


def cut(sources: list[str], tile: tuple[int, int, int, int, int]) -> np.ndarray:
    of, left, top, width, height = tile
    return np.asarray(decoded(sources[of]))[top : top + height, left : left + width]
