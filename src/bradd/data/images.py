"""Collections of images that are decoded one at a time, by index."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from bradd.data.decode import Reduction, decode, readable_extensions
from bradd.errors import BraddError

__all__ = [
    "ArrayImages",
    "FileImages",
    "Images",
    "SubsetImages",
    "folder_images",
    "listed_images",
]

_SHOWN = 5  # how many offending lines or names an error message lists


class Images(Protocol):
    """A fixed sequence of images. Picklable, so that worker processes can decode."""

    def __len__(self) -> int: ...

    def load(self, index: int, reduction: Reduction | None = None) -> Image.Image:
        """Decode one image to 8-bit RGB.

        Args:
            index: Of the image.
            reduction: Says how many times smaller it may be decoded; see `decode`. It is asked
                only where that saves time.

        Raises:
            UnreadableImage: The image cannot be decoded; the message names the file.
        """
        ...

    def name(self, index: int) -> str:
        """The image's name: stable from run to run, and unique among these images."""
        ...

    def fingerprint(self) -> str:
        """A hexadecimal digest that tells whether two runs saw the same images."""
        ...


class FileImages:
    """Image files below one folder.

    Args:
        root: The folder that the names are relative to.
        names: POSIX paths relative to `root`, or absolute ones.

    Raises:
        BraddError: A name occurs twice.
    """

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.root = root
        self.names = _unique(names)

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int, reduction: Reduction | None = None) -> Image.Image:
        """Decode one file to upright, 8-bit RGB; see `decode`."""
        return decode(self.root / self.names[index], reduction)

    def name(self, index: int) -> str:
        """The file's POSIX path relative to `root`."""
        return self.names[index]

    def fingerprint(self) -> str:
        """A digest of the names, their order and the files' sizes in bytes."""
        digest = hashlib.blake2b(digest_size=16)
        for name in self.names:
            try:
                size = str((self.root / name).stat().st_size)
            except OSError:  # gone, or a broken link: that, too, tells two runs apart
                size = "missing"
            digest.update(_encoded(name) + b"\0" + size.encode() + b"\0")
        return digest.hexdigest()


class ArrayImages:
    """Images held in memory.

    Args:
        arrays: Grey or RGB images, `[N, H, W]` or `[N, H, W, 3]`, uint8.
        names: One unique name an image.

    Raises:
        BraddError: The array's type or shape is another, or the names do not match it.
    """

    def __init__(self, arrays: npt.NDArray[np.uint8], names: Sequence[str]) -> None:
        grey_or_rgb = arrays.ndim == 3 or (arrays.ndim == 4 and arrays.shape[3] == 3)
        if arrays.dtype != np.uint8 or not grey_or_rgb:
            raise BraddError(
                "images given as an array must be uint8 of shape [N, H, W] or [N, H, W, 3], "
                f"not {arrays.dtype} of shape {list(arrays.shape)}"
            )
        if len(arrays) != len(names):
            raise BraddError(f"{len(arrays)} images were given with {len(names)} names")
        self.arrays = arrays
        self.names = _unique(names)

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int, reduction: Reduction | None = None) -> Image.Image:
        """One image as 8-bit RGB; `reduction` is not asked."""
        return Image.fromarray(self.arrays[index]).convert("RGB")

    def name(self, index: int) -> str:
        """The name given for the image."""
        return self.names[index]

    def fingerprint(self) -> str:
        """A digest of the names, their order and all pixels."""
        digest = hashlib.blake2b(str(self.arrays.shape).encode(), digest_size=16)
        for name, array in zip(self.names, self.arrays, strict=True):
            digest.update(_encoded(name) + b"\0" + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


class SubsetImages:
    """Some of the images of another collection, in the given order.

    Args:
        images: The collection.
        indices: Indices into it, `[N]`, each at most once.

    Raises:
        BraddError: An index is out of range or occurs twice.
    """

    def __init__(self, images: Images, indices: npt.ArrayLike) -> None:
        self.images = images
        self.indices: npt.NDArray[np.int64] = np.asarray(indices, np.int64).reshape(-1)
        if np.any((self.indices < 0) | (self.indices >= len(images))):
            raise BraddError(f"a subset's indices must lie in 0 to {len(images) - 1}")
        if len(np.unique(self.indices)) != len(self.indices):
            raise BraddError("a subset's indices must be unique")

    def __len__(self) -> int:
        return len(self.indices)

    def load(self, index: int, reduction: Reduction | None = None) -> Image.Image:
        """Decode one image; see the collection's own `load`."""
        return self.images.load(int(self.indices[index]), reduction)

    def name(self, index: int) -> str:
        """The image's name in the collection."""
        return self.images.name(int(self.indices[index]))

    def fingerprint(self) -> str:
        """A digest of the collection's fingerprint and the indices."""
        digest = hashlib.blake2b(self.images.fingerprint().encode(), digest_size=16)
        digest.update(self.indices.astype("<i8").tobytes())
        return digest.hexdigest()


def folder_images(root: Path) -> FileImages:
    """All image files in a folder and its subfolders, sorted by relative path.

    Files are chosen by their extension, in either case. Hidden files and folders are skipped.
    Symbolic links to folders are followed; a folder that can be reached in several ways, or from
    within itself, is read once.

    Args:
        root: The folder.

    Returns:
        The images, named by their paths relative to `root`.

    Raises:
        BraddError: The folder is missing, is not a folder, cannot be listed, is empty or holds no
            image file.
    """
    if not root.exists():
        raise BraddError(f"the folder {root} does not exist")
    if not root.is_dir():
        raise BraddError(f"{root} is not a folder")
    extensions = readable_extensions()
    names, others = [], 0
    for file in _visible_files(root):
        if file.suffix.lower() in extensions and (file.is_file() or file.is_symlink()):
            names.append(file.relative_to(root).as_posix())
        else:
            others += 1
    if not names and not others:
        raise BraddError(f"the folder {root} is empty (hidden files are not read)")
    if not names:
        raise BraddError(
            f"the folder {root} holds no image file, only {others} other file(s). "
            f"Read are files that end in {', '.join(sorted(extensions))}"
        )
    return FileImages(root, sorted(names))


def listed_images(file: Path) -> FileImages:
    """The image files listed in a text file, sorted by name.

    Args:
        file: A UTF-8 text file with one path a line, relative to the text file's folder or
            absolute. Blank lines and lines that start with `#` are skipped.

    Returns:
        The images, named by their paths as listed.

    Raises:
        BraddError: The text file cannot be read, lists nothing, or lists a path that is not a file
            or is listed twice; the message names the lines.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise BraddError(f"the list {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BraddError(
            f"{file} is not a UTF-8 text file. Give a folder of images, or a text file that lists "
            "one image's path a line"
        ) from error
    root = file.parent
    names: list[str] = []
    missing: list[str] = []
    repeated: list[str] = []
    first_line: dict[str, int] = {}
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        # Two spellings of one path (a/../b.jpg, b.jpg) are one file.
        path = os.path.normpath(os.path.abspath(root / line))
        if path in first_line:
            repeated.append(f"line {number}: {line} (first on line {first_line[path]})")
        elif not os.path.isfile(path):
            missing.append(f"line {number}: {line}")
        first_line.setdefault(path, number)
        names.append(Path(line).as_posix())
    if missing:
        raise BraddError(
            f"{len(missing)} path(s) listed in {file} are not files:\n{_first_few(missing)}"
        )
    if repeated:
        raise BraddError(
            f"{len(repeated)} path(s) are listed more than once in {file}:\n{_first_few(repeated)}"
        )
    if not names:
        raise BraddError(f"the list {file} names no image")
    return FileImages(root, sorted(names))


def _visible_files(root: Path) -> Iterator[Path]:
    """Every file below `root` that is not hidden, each folder once, whatever the links."""
    seen: set[str] = set()
    # Linked folders wait until all real ones are read, and are taken in sorted order, so that a
    # file's path depends neither on the listing order nor on links to where it lies.
    starts = [str(root)]
    while starts:
        starts.sort()
        for folder, subfolders, files in os.walk(starts.pop(0), onerror=_raise_unlistable):
            if os.path.realpath(folder) in seen:
                subfolders.clear()
                continue
            seen.add(os.path.realpath(folder))
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            paths = [os.path.join(folder, name) for name in subfolders]
            starts.extend(path for path in paths if os.path.islink(path))
            yield from (Path(folder, name) for name in files if not name.startswith("."))


def _raise_unlistable(error: OSError) -> None:
    raise BraddError(f"the folder {error.filename} cannot be listed: {error.strerror}") from error


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        repeated = [repr(name) for name, count in Counter(names).items() if count > 1]
        raise BraddError(f"{len(repeated)} image name(s) occur twice:\n{_first_few(repeated)}")
    return tuple(names)


def _first_few(lines: Sequence[str]) -> str:
    shown = "\n".join(f"  {line}" for line in lines[:_SHOWN])
    more = len(lines) - _SHOWN
    return f"{shown}\n  and {more} more" if more > 0 else shown


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
