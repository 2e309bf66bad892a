from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from bradd.reporting.sprites import pack
from samples import picture


def cut(sources: list[str], tile: tuple[int, int, int, int, int]) -> np.ndarray:
    of, left, top, width, height = tile
    sheet = Image.open(io.BytesIO(base64.b64decode(sources[of].split(",")[1])))
    return np.asarray(sheet)[top : top + height, left : left + width].astype(int)


def write(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    files = [folder / f"{number}.png" for number in range(count)]
    for number, file in enumerate(files):
        picture(number, max(size)).resize(size).save(file)
    return files


def test_few_tiny_pictures_are_kept_exactly(tmp_path: Path) -> None:
    files = write(tmp_path, 40, (20, 14))
    packed = pack(files, 10**6)
    for file, tile in zip(files, packed.tiles, strict=True):
        assert tile is not None
        assert np.array_equal(cut(packed.sources, tile), np.asarray(Image.open(file)))


def test_every_picture_of_several_sprites_is_where_it_is_said_to_be(tmp_path: Path) -> None:
    files = write(tmp_path, 530, (32, 32))
    packed = pack(files, 10**6)
    assert len(packed.sources) == 2
    for file, tile in zip(files, packed.tiles, strict=True):
        assert tile is not None
        assert tile[3:] == (32, 32)
        apart = np.abs(cut(packed.sources, tile) - np.asarray(Image.open(file)))
        assert apart.mean() < 15  # as near as a lossy picture is; others are 50 apart


def test_pictures_get_smaller_until_they_fit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{number}.png" for number in range(100)]
    for file in files:  # noise: far more bytes a pixel than a photograph
        Image.fromarray(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(file)
    for budget in (1_000_000, 300_000, 60_000):
        packed = pack(files, budget)
        assert sum(len(source) for source in packed.sources) * 3 / 4 <= budget + 100
    assert packed.tiles[0] is not None
    assert packed.tiles[0][3] < 96


def test_missing_and_damaged_files_have_no_tile(tmp_path: Path) -> None:
    files = write(tmp_path, 3, (16, 16))
    files[0].unlink()
    files[1].write_bytes(b"no picture")
    tiles = pack(files, 10**6).tiles
    assert tiles[:2] == [None, None]
    assert tiles[2] is not None
    assert pack([], 10**6).tiles == []
