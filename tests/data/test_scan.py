from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bradd.data.images import ArrayImages, FileImages, SubsetImages, folder_images
from bradd.data.scan import scan, write_unreadable
from bradd.errors import BraddError


def save(folder: Path, count: int, broken: set[int]) -> FileImages:
    """Images of sizes (n + 1, 3), each a different one, some of them text."""
    for number in range(count):
        path = folder / f"{number:03d}.png"
        if number in broken:
            path.write_text("no image")
        else:
            Image.new("L", (number + 1, 3)).save(path)
    return folder_images(folder)


@pytest.mark.parametrize("workers", [0, 2])
def test_sizes_and_reasons(tmp_path: Path, workers: int) -> None:
    images = save(tmp_path, 150, broken={0, 70, 149})
    reports: list[int] = []
    found = scan(images, workers, max_unreadable=0.02, progress=reports.append)
    expected = [index for index in range(150) if index not in (0, 70, 149)]
    assert found.readable.tolist() == expected
    assert found.readable.dtype == np.int64
    assert found.sizes.tolist() == [[index + 1, 3] for index in expected]
    assert found.sizes.dtype == np.int32
    assert [name for name, _ in found.unreadable] == ["000.png", "070.png", "149.png"]
    assert all(reason.startswith("not an image") for _, reason in found.unreadable)
    assert reports == sorted(reports)
    assert reports[-1] == 150
    assert len(SubsetImages(images, found.readable)) == 147


def test_sizes_are_those_of_the_upright_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert scan(folder_images(tmp_path), workers=0, max_unreadable=0).sizes.tolist() == [[4, 8]]


def test_too_many_unreadable(tmp_path: Path) -> None:
    images = save(tmp_path, 20, broken=set(range(8)))
    with pytest.raises(BraddError) as caught:
        scan(images, workers=0, max_unreadable=0.39)
    message = str(caught.value)
    assert "8 of 20 images (40.00%)" in message
    assert "max_unreadable=0.39" in message
    assert "000.png: not an image" in message
    assert "005.png" not in message
    assert "and 3 more" in message
    assert len(scan(images, workers=0, max_unreadable=0.4).unreadable) == 8  # not more than


def test_exactly_the_share_allowed_may_be_unreadable(tmp_path: Path) -> None:
    images = save(tmp_path, 100, broken={3})
    assert len(scan(images, workers=0, max_unreadable=0.01).unreadable) == 1
    with pytest.raises(BraddError, match="max_unreadable"):
        scan(SubsetImages(images, np.arange(99)), workers=0, max_unreadable=0.01)


def test_nothing_to_read(tmp_path: Path) -> None:
    images = save(tmp_path, 2, broken={0, 1})
    with pytest.raises(BraddError, match=r"none of the 2 images can be read(.|\n)*000\.png"):
        scan(images, workers=0, max_unreadable=1.0)
    with pytest.raises(BraddError, match="no images"):
        scan(SubsetImages(images, []), workers=0, max_unreadable=0)


def test_arguments_out_of_range() -> None:
    images = ArrayImages(np.zeros((1, 1, 1), np.uint8), ["a"])
    with pytest.raises(BraddError, match="workers"):
        scan(images, workers=-1, max_unreadable=0)
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(BraddError, match="max_unreadable"):
            scan(images, workers=0, max_unreadable=share)


def test_the_global_random_state_is_left_alone() -> None:
    images = ArrayImages(np.zeros((3, 1, 1), np.uint8), ["a", "b", "c"])
    before = torch.get_rng_state()
    scan(images, workers=0, max_unreadable=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_unreadable_images_as_csv(tmp_path: Path) -> None:
    unreadable = [('a, "b".png', "first line\nsecond"), ("ü.png", "x"), ("\udcff.png", "y")]
    write_unreadable(tmp_path / "unreadable.csv", unreadable)
    with (tmp_path / "unreadable.csv").open(
        newline="", encoding="utf-8", errors="surrogateescape"
    ) as stream:
        rows = list(csv.reader(stream))
    assert rows == [["name", "reason"], *map(list, unreadable)]


def test_a_photo_is_read_to_its_end_and_has_its_full_size(tmp_path: Path) -> None:
    """Though few of its pixels are computed."""
    pixels = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        Image.fromarray(pixels).save(tmp_path / name)
    whole = (tmp_path / "b.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(whole[: len(whole) * 3 // 4])
    found = scan(folder_images(tmp_path), 0, max_unreadable=0.5)
    assert found.sizes.tolist() == [[200, 120], [200, 120]]
    assert [name for name, _ in found.unreadable] == ["b.jpg"]
