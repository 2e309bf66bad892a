"""From what a user writes for `data` to images."""

from __future__ import annotations

import logging
from pathlib import Path

from bradd.data.hugging_face import PREFIX, hugging_face_folder, hugging_face_images
from bradd.data.images import Images, SubsetImages, folder_images, listed_images
from bradd.data.labelled import LabelledImages, Split, folder_splits, labelled_folder
from bradd.data.manifest import Manifest
from bradd.data.named import NAMES, is_named, named_images, named_splits, nearest_name
from bradd.errors import BraddError

__all__ = ["absolute_data", "labelled_splits", "open_images", "open_labelled"]

logger = logging.getLogger(__name__)


def open_images(data: str | Path | Images) -> Images:
    """Open images, without labels.

    Args:
        data: The name of a dataset (its training split is opened), a folder (read with all its
            subfolders), a text file that lists image files, a manifest (a `.json` file written by
            `bradd prepare`), or images, which are returned as they are. A name given as a string
            goes before a folder of the same name; `./cifar10`, or a `Path`, is always the folder.

    Returns:
        The images.

    Raises:
        BraddError: `data` is none of these, or cannot be read.
    """
    if not isinstance(data, (str, Path)):
        return data
    if _is_name(data):
        name = str(data)
        if name.startswith(PREFIX):
            return hugging_face_images(name)
        return named_images(name, "train").images
    path = Path(data).expanduser()
    if path.is_dir():
        return folder_images(path)
    if path.is_file():
        return _manifest_images(path) if path.suffix == ".json" else listed_images(path)
    raise BraddError(
        f"{_unknown(data)} Give a folder of images, a text file that lists image files, or the "
        f"name of a dataset ({', '.join(NAMES)}, hf:NAME)"
    )


def open_labelled(data: str | Path, split: Split) -> LabelledImages:
    """Open images with their labels.

    Args:
        data: The name of a dataset, or a folder with one subfolder for each class; names go before
            folders as in `open_images`.
        split: One of `labelled_splits(data)`.

    Returns:
        The split.

    Raises:
        BraddError: `data` is neither, has no such split, or cannot be read.
    """
    if _is_name(data):
        return named_images(str(data), split)
    path = Path(data).expanduser()
    if path.is_dir():
        return labelled_folder(path, split)
    if path.is_file():
        raise BraddError(f"{data} is a file. {_LABELLED_ACCEPTED}")
    raise BraddError(f"{_unknown(data)} {_LABELLED_ACCEPTED}")


_LABELLED_ACCEPTED = (
    "Labels are read from a folder with one subfolder for each class, or from a dataset's name "
    f"({', '.join(NAMES)}, hf:NAME)"
)


def labelled_splits(data: str | Path) -> tuple[Split, ...]:
    """The splits that `open_labelled` opens: `train`, `test`, and `val` where it is official.

    Raises:
        BraddError: `data` is the name of a dataset that cannot be had.
    """
    if isinstance(data, str) and is_named(data):
        return named_splits(data)
    return folder_splits(Path(data).expanduser())


def absolute_data(data: str | Path) -> str:
    """`data` as it can be opened from any folder: a name as it is, a path made absolute."""
    if isinstance(data, str) and data.startswith(PREFIX):
        folder = hugging_face_folder(data)
        return data if folder is None else f"{PREFIX}{folder.resolve()}"
    return str(data) if is_named(data) else str(Path(data).expanduser().resolve())


def _manifest_images(path: Path) -> Images:
    """The images that a manifest names, in the training split of its data set."""
    manifest = Manifest.read(path)
    if not manifest.data:
        raise BraddError(
            f"the manifest {path} does not say of which data set: give that with "
            f"--data, and this file with --manifest"
        )
    images = open_labelled(manifest.data, "train").images
    return SubsetImages(images, manifest.rows_in(images))


def _is_name(data: str | Path) -> bool:
    if not isinstance(data, str) or not is_named(data):
        return False
    if Path(data).is_dir():
        logger.warning(
            "%r is read as the dataset of that name; write %r for the folder", data, f"./{data}"
        )
    return True


def _unknown(data: str | Path) -> str:
    nearest = nearest_name(str(data))
    hint = f" Did you mean {nearest!r}?" if nearest else ""
    return f"{str(data)!r} is neither a file or folder nor the name of a dataset.{hint}"
