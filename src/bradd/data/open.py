"""From what a user writes for `data` to images."""

from __future__ import annotations

import logging
from pathlib import Path

from bradd.data.images import Images, folder_images, listed_images
from bradd.data.labelled import LabelledImages, Split, labelled_folder
from bradd.data.named import NAMES, named_images, nearest_name
from bradd.errors import BraddError

__all__ = ["open_images", "open_labelled"]

logger = logging.getLogger(__name__)


def open_images(data: str | Path | Images) -> Images:
    """Open images, without labels.

    Args:
        data: The name of a dataset (its training split is opened), a folder (read with all its
            subfolders), a text file that lists image files, or images, which are returned as they
            are. A name given as a string goes before a folder of the same name; `./cifar10`, or a
            `Path`, is always the folder.

    Returns:
        The images.

    Raises:
        BraddError: `data` is none of these, or cannot be read.
    """
    if not isinstance(data, (str, Path)):
        return data
    if _is_name(data):
        return named_images(str(data), "train").images
    path = Path(data).expanduser()
    if path.is_dir():
        return folder_images(path)
    if path.is_file():
        return listed_images(path)
    raise BraddError(
        f"{_unknown(data)} Give a folder of images, a text file that lists image files, or the "
        f"name of a dataset ({', '.join(NAMES)})"
    )


def open_labelled(data: str | Path, split: Split) -> LabelledImages:
    """Open images with their labels.

    Args:
        data: The name of a dataset, or a folder with one subfolder for each class; names go before
            folders as in `open_images`.
        split: `"train"` or `"test"`.

    Returns:
        The split.

    Raises:
        BraddError: `data` is neither, or cannot be read.
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
    f"({', '.join(NAMES)})"
)


def _is_name(data: str | Path) -> bool:
    if not isinstance(data, str) or data not in NAMES:
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
