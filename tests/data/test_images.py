from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bradd.data.decode import UnreadableImage
from bradd.data.images import (
    ArrayImages,
    FileImages,
    Images,
    SubsetImages,
    folder_images,
    listed_images,
)
from bradd.errors import BraddError


def save(path: Path, grey: int = 0, size: tuple[int, int] = (2, 2)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, grey).save(path, "PNG")


def names(images: Images) -> list[str]:
    return [images.name(index) for index in range(len(images))]


def grey(images: Images, index: int) -> int:
    image = images.load(index)
    assert image.mode == "RGB"
    return int(np.asarray(image)[0, 0, 0])


def test_a_folder_is_read_recursively_sorted_without_hidden_and_other_files(tmp_path: Path) -> None:
    for at, name in enumerate(["b.PNG", "a/z.jpeg", "a.png", "a/b/c.webp"]):
        save(tmp_path / name, grey=at)
    for name in (".hidden.png", ".git/x.png", "a/.thumbs/y.png"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    images = folder_images(tmp_path)
    assert names(images) == ["a.png", "a/b/c.webp", "a/z.jpeg", "b.PNG"]
    assert [grey(images, index) for index in range(4)] == [2, 3, 1, 0]


def test_the_listing_order_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "photos"
    for name in ("b/1.png", "a/2.png", "a/1.png", "c.png", "../elsewhere/1.png"):
        save(root / name)
    (root / "x").symlink_to(root / "b")
    # Two ways to one folder: the first by name is taken.
    (root / "z").symlink_to(tmp_path / "elsewhere")
    (root / "y").symlink_to(tmp_path / "elsewhere")
    expected = ["a/1.png", "a/2.png", "b/1.png", "c.png", "y/1.png"]
    assert names(folder_images(root)) == expected
    scandir = os.scandir

    class Reversed:
        def __init__(self, path: str) -> None:
            self.entries = iter(sorted(scandir(path), key=lambda entry: entry.name, reverse=True))

        def __enter__(self) -> Reversed:
            return self

        def __exit__(self, *_: object) -> None: ...

        def __iter__(self) -> Reversed:
            return self

        def __next__(self) -> os.DirEntry[str]:
            return next(self.entries)

    monkeypatch.setattr(os, "scandir", Reversed)
    assert names(folder_images(root)) == expected


def test_symbolic_links_end(tmp_path: Path) -> None:
    save(tmp_path / "photos/b/1.png")
    save(tmp_path / "elsewhere/2.png")
    (tmp_path / "photos/a").symlink_to(tmp_path / "photos")  # a loop
    (tmp_path / "photos/b/up").symlink_to("..")
    (tmp_path / "photos/c").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "photos/b")
    (tmp_path / "photos/self").symlink_to("self")
    assert names(folder_images(tmp_path / "photos")) == ["b/1.png", "c/2.png"]


def test_a_broken_link_to_an_image_is_listed_and_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("gone.png")
    images = folder_images(tmp_path)
    assert names(images) == ["a.png"]
    with pytest.raises(UnreadableImage, match=r"a\.png"):
        images.load(0)
    before = images.fingerprint()
    save(tmp_path / "gone.png")
    assert images.fingerprint() != before


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(BraddError, match="photos does not exist"):
        folder_images(tmp_path / "photos")
    with pytest.raises(BraddError, match="is empty"):
        folder_images(tmp_path)
    save(tmp_path / ".hidden.png")
    with pytest.raises(BraddError, match="is empty"):
        folder_images(tmp_path)
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.csv").touch()
    with pytest.raises(BraddError, match=r"only 2 other file\(s\).*\.jpeg.*\.png"):
        folder_images(tmp_path)
    with pytest.raises(BraddError, match=r"a\.txt is not a folder"):
        folder_images(tmp_path / "a.txt")


def test_an_unlistable_subfolder_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "locked/b.png")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(BraddError, match=r"locked cannot be listed: Permission denied"):
        folder_images(tmp_path)


def test_a_list_of_files(tmp_path: Path) -> None:
    save(tmp_path / "lists/b.png", grey=1)
    save(tmp_path / "lists/sub/a b.png", grey=2)
    save(tmp_path / "other/c.png", grey=3)
    absolute = (tmp_path / "other/c.png").as_posix()
    file = tmp_path / "lists/photos.txt"
    file.write_text(
        f"\ufeff# my photos\r\n\r\n  ./sub/a b.png\r\nb.png\n{absolute}\n", encoding="utf-8"
    )
    images = listed_images(file)
    assert names(images) == [absolute, "b.png", "sub/a b.png"]
    assert [grey(images, index) for index in range(3)] == [3, 1, 2]
    shuffled = tmp_path / "lists/shuffled.txt"
    shuffled.write_text(f"b.png\n{absolute}\nsub/a b.png", encoding="utf-8")
    assert listed_images(shuffled).fingerprint() == images.fingerprint()


def test_lists_that_cannot_be_used(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    file = tmp_path / "photos.txt"
    with pytest.raises(BraddError, match=r"photos\.txt cannot be read: No such file"):
        listed_images(file)
    file.write_text("a.png\n\n" + "".join(f"gone{n}.png\n" for n in range(9)))
    with pytest.raises(BraddError) as caught:
        listed_images(file)
    assert "9 path(s)" in str(caught.value)
    assert "line 3: gone0.png" in str(caught.value)
    assert "line 7: gone4.png" in str(caught.value)
    assert "gone5" not in str(caught.value)
    assert "and 4 more" in str(caught.value)
    file.write_text("a.png\nsub/../a.png\n")
    with pytest.raises(BraddError, match=r"line 2: sub/\.\./a\.png \(first on line 1\)"):
        listed_images(file)
    file.write_text("# nothing\n\n")
    with pytest.raises(BraddError, match="names no image"):
        listed_images(file)
    with pytest.raises(BraddError, match=r"a\.png is not a UTF-8 text file"):
        listed_images(tmp_path / "a.png")


def test_the_fingerprint_of_files_follows_names_order_and_sizes(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "b.png", size=(50, 50))
    images = FileImages(tmp_path, ["a.png", "b.png"])
    original = images.fingerprint()
    assert int(original, 16) >= 0
    assert FileImages(tmp_path, ["a.png", "b.png"]).fingerprint() == original
    assert FileImages(tmp_path, ["b.png", "a.png"]).fingerprint() != original
    assert FileImages(tmp_path, ["a.png"]).fingerprint() != original
    with (tmp_path / "b.png").open("ab") as stream:
        stream.write(b"\0")
    assert images.fingerprint() != original


def test_arrays() -> None:
    arrays = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    colour = ArrayImages(arrays, ["a", "b"])
    np.testing.assert_array_equal(np.asarray(colour.load(1)), arrays[1])
    plain = ArrayImages(arrays[..., 0], ["a", "b"])
    assert plain.load(0).mode == "RGB"
    np.testing.assert_array_equal(np.asarray(plain.load(0))[..., 2], arrays[0, ..., 0])
    changed = arrays.copy()
    changed[1, 2, 3, 2] += 1
    digests = {
        ArrayImages(*given).fingerprint()
        for given in [
            (arrays, ["a", "b"]),
            (arrays, ["a", "c"]),
            (arrays, ["b", "a"]),
            (arrays[::-1], ["a", "b"]),
            (arrays.reshape(2, 4, 3, 3), ["a", "b"]),
            (changed, ["a", "b"]),
        ]
    }
    assert len(digests) == 6


@pytest.mark.parametrize(
    "arrays",
    [np.zeros((2, 3, 3), np.float32), np.zeros((2, 3, 3, 4), np.uint8), np.zeros((2, 3), np.uint8)],
)
def test_arrays_of_another_kind(arrays: np.ndarray) -> None:
    with pytest.raises(BraddError, match="uint8 of shape"):
        ArrayImages(arrays, ["a", "b"])


def test_names_must_match_and_be_unique() -> None:
    arrays = np.zeros((2, 1, 1), np.uint8)
    with pytest.raises(BraddError, match="2 images were given with 1 names"):
        ArrayImages(arrays, ["a"])
    with pytest.raises(BraddError, match="'a'"):
        ArrayImages(arrays, ["a", "a"])
    with pytest.raises(BraddError, match="'a'"):
        FileImages(Path(), ["a", "b", "a"])


def test_a_subset() -> None:
    images = ArrayImages(np.arange(5, dtype=np.uint8).reshape(5, 1, 1), list("abcde"))
    subset = SubsetImages(images, [3, 0])
    assert len(subset) == 2
    assert names(subset) == ["d", "a"]
    assert [grey(subset, index) for index in range(2)] == [3, 0]
    assert SubsetImages(subset, [1]).name(0) == "a"
    assert len(SubsetImages(images, [])) == 0
    digests = [SubsetImages(images, chosen).fingerprint() for chosen in ([3, 0], [0, 3], [3])]
    assert len(set(digests)) == 3
    assert subset.fingerprint() == digests[0]
    for indices in ([5], [-1], [1, 1]):
        with pytest.raises(BraddError, match="subset"):
            SubsetImages(images, indices)


def test_all_kinds_can_be_pickled(tmp_path: Path) -> None:
    save(tmp_path / "a.png", grey=7)
    arrays = ArrayImages(np.full((1, 2, 2), 7, np.uint8), ["a"])
    for images in (folder_images(tmp_path), arrays, SubsetImages(arrays, [0])):
        copied = pickle.loads(pickle.dumps(images))
        assert copied.fingerprint() == images.fingerprint()
        assert grey(copied, 0) == 7
