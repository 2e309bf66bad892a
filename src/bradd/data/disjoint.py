"""Whether parts of a data set have images in common."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Mapping
from itertools import combinations
from pathlib import Path

from bradd.data.hugging_face import HuggingFaceImages
from bradd.data.images import ArrayImages, FileImages, Images, SubsetImages
from bradd.errors import BraddError

__all__ = ["Copies", "check_disjoint"]

Copies = dict[tuple[str, str], list[tuple[str, str]]]
"""For two parts the pairs of names, one of each, whose images are the same byte for byte."""


def check_disjoint(parts: Mapping[str, Images]) -> Copies:
    """Check that no image is in two parts, under whatever name, and find copies.

    A file is known by where it lies on the disk, links followed. Files are read only where one in
    another part has the same size.

    Args:
        parts: The parts of one data set, by what they are called.

    Returns:
        The copies: other files with the same content. Published data sets have some, so they are no
        error, but should be known. For each image of the second part at most one pair.

    Raises:
        BraddError: An image is in two parts.
    """
    files = {part: _files(images) for part, images in parts.items()}
    _refuse_shared(parts, files)
    parts_of_size = defaultdict(set)
    for part, of_part in files.items():
        for _, size in of_part:
            parts_of_size[size].add(part)
    names: dict[str, dict[bytes, list[str]]] = {}
    for part, of_part in files.items():
        names[part] = defaultdict(list)
        for row, (_, size) in enumerate(of_part):
            if len(parts_of_size[size]) > 1:
                digest = hashlib.blake2b(_content(parts[part], row), digest_size=16).digest()
                names[part][digest].append(parts[part].name(row))
    return {
        (first, second): sorted(
            (names[first][digest][0], name)
            for digest in names[first].keys() & names[second].keys()
            for name in names[second][digest]
        )
        for first, second in combinations(parts, 2)
    }


def _refuse_shared(
    parts: Mapping[str, Images], files: Mapping[str, list[tuple[Hashable, int]]]
) -> None:
    part_of: dict[Hashable, str] = {}
    for part, of_part in files.items():
        for row, (file, _) in enumerate(of_part):
            if part_of.setdefault(file, part) != part:
                raise BraddError(
                    f"{part_of[file]} and {part} are not disjoint: {parts[part].name(row)} is in "
                    "both, perhaps as a link. An image belongs to one of them: remove it from the "
                    "other"
                )


def _files(images: Images) -> list[tuple[Hashable, int]]:
    """What each image's file is known by, and its size in bytes; 0 where there are no files."""
    if isinstance(images, SubsetImages):
        everything = _files(images.images)
        return [everything[row] for row in images.indices]
    if isinstance(images, FileImages):
        return [_place(images.root / name) for name in images.names]
    names = [images.name(row) for row in range(len(images))]
    sizes = images.sizes() if isinstance(images, HuggingFaceImages) else [0] * len(names)
    return list(zip(names, sizes, strict=True))


def _place(file: Path) -> tuple[Hashable, int]:
    try:
        found = file.stat()
    except OSError:  # gone, or a broken link: left to the check of every file
        return str(file), -1
    return (found.st_dev, found.st_ino), found.st_size


def _content(images: Images, row: int) -> bytes:
    if isinstance(images, SubsetImages):
        return _content(images.images, int(images.indices[row]))
    if isinstance(images, ArrayImages):
        return bytes(images.arrays[row].tobytes())
    if isinstance(images, FileImages):
        return _bytes(images.root / images.names[row])
    if isinstance(images, HuggingFaceImages):
        return _bytes(images.file(row))
    image = images.load(row)
    return repr(image.size).encode() + image.tobytes()


def _bytes(file: bytes | Path) -> bytes:
    """A file's content; of one that is gone its path, so that it equals no other."""
    if isinstance(file, bytes):
        return file
    return file.read_bytes() if file.is_file() else str(file).encode()
