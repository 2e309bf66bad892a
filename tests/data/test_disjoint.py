from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bradd.data.disjoint import check_disjoint
from bradd.data.images import ArrayImages, FileImages, SubsetImages
from bradd.errors import BraddError


def files(root: Path, **contents: bytes) -> FileImages:
    for name, content in contents.items():
        (root / name).write_bytes(content)
    return FileImages(root, sorted(contents))


def test_an_image_in_two_parts_is_an_error(tmp_path: Path) -> None:
    images = files(tmp_path, a=b"1", b=b"2", c=b"3")
    first, second = SubsetImages(images, [0, 1]), SubsetImages(images, [2])
    assert check_disjoint({"x": first, "y": second}) == {("x", "y"): []}
    with pytest.raises(BraddError, match="x and z are not disjoint: b is in both"):
        check_disjoint({"x": first, "y": second, "z": SubsetImages(images, [1])})


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_link_is_the_file_it_leads_to(tmp_path: Path, link: Callable[..., None]) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    train = files(tmp_path / "train", a=b"1")
    link(tmp_path / "test/other", tmp_path / "train/a")
    with pytest.raises(BraddError, match="not disjoint"):
        check_disjoint({"train": train, "test": FileImages(tmp_path / "test", ["other"])})


def test_copies_are_found_whatever_they_are_called(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    first = files(tmp_path / "x", a=b"same", b=b"other", c=b"")
    second = files(tmp_path / "y", d=b"same", e=b"rehto", f=b"long one", g=b"same")
    third = FileImages(tmp_path / "y", ["none"])
    gone = FileImages(tmp_path / "x", ["none"])
    assert check_disjoint({"x": first, "y": second, "z": third, "gone": gone}) == {
        ("x", "y"): [("a", "d"), ("a", "g")],
        ("x", "z"): [],
        ("y", "z"): [],
        ("x", "gone"): [],
        ("y", "gone"): [],
        ("z", "gone"): [],
    }


def test_arrays_are_compared_by_their_pixels() -> None:
    arrays = np.arange(6, dtype=np.uint8).reshape(6, 1, 1)
    arrays[4] = 1
    images = ArrayImages(arrays, list("abcdef"))
    first, second = SubsetImages(images, [0, 1]), SubsetImages(images, [4, 5])
    assert check_disjoint({"x": first, "y": second}) == {("x", "y"): [("b", "e")]}


def test_only_files_that_may_be_copies_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = files(tmp_path, a=b"1", b=b"22", c=b"333", d=b"4")
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.name) or b"x")
    read: list[str] = []
    parts = {"x": SubsetImages(images, [0, 1]), "y": SubsetImages(images, [2, 3])}
    assert check_disjoint(parts) == {("x", "y"): [("a", "d")]}
    assert sorted(read) == ["a", "d"]
