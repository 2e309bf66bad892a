"""Image data sets in the formats of Hugging Face's library `datasets`, an optional extra."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from bradd.data.decode import Reduction, UnreadableImage, decode
from bradd.data.images import Images
from bradd.data.labelled import LabelledImages, Split, check_split, stratified_split
from bradd.errors import BraddError

__all__ = [
    "PREFIX",
    "HuggingFaceImages",
    "hugging_face_folder",
    "hugging_face_images",
    "hugging_face_labelled",
    "hugging_face_splits",
]

PREFIX = "hf:"
"""What the names of these data sets begin with."""

# What authors call held-out splits.
_VALIDATION = ("validation", "valid", "val", "dev")

_LABEL_COLUMNS = ("label", "labels")  # where no column is declared to hold classes
_ROWS = 1000  # looked at together


class HuggingFaceImages:
    """A column of images, decoded one at a time from the bytes of their files.

    Args:
        column: A `datasets.Dataset` with the one column `image`, whose images are not decoded.
        split: What the names begin with.
    """

    def __init__(self, column: Any, split: str) -> None:
        self.column = column
        self.split = split

    def __len__(self) -> int:
        return len(self.column)

    def load(self, index: int, reduction: Reduction | None = None) -> Image.Image:
        """Decode one image to upright, 8-bit RGB; see `decode`."""
        content = self.file(index)
        if isinstance(content, Path):
            return decode(content, reduction)
        try:
            return decode(io.BytesIO(content), reduction)
        except UnreadableImage as error:
            raise UnreadableImage(error.reason, self.name(index)) from error

    def file(self, index: int) -> bytes | Path:
        """The image's file: its bytes, or where it lies; no bytes where the row has no image."""
        stored = self.column[int(index)]["image"] or {"bytes": b""}
        return Path(stored["path"]) if stored["bytes"] is None else bytes(stored["bytes"])

    def name(self, index: int) -> str:
        """`<split>/<row>`."""
        return f"{self.split}/{index:06d}"

    def sizes(self) -> list[int]:
        """Each file's size in bytes, -1 for one that is gone; no file's content is read."""
        import pyarrow.compute as arrow

        sizes: list[int] = []
        table = self.column.with_format("arrow")
        for start in range(0, len(self), _ROWS):
            images = table[start : start + _ROWS]["image"]
            lengths = arrow.binary_length(arrow.struct_field(images, "bytes")).to_pylist()
            paths = arrow.struct_field(images, "path").to_pylist()
            for length, path in zip(lengths, paths, strict=True):
                sizes.append(_file_size(path) if length is None else length)
        return sizes

    def fingerprint(self) -> str:
        """A digest of the split's name and of each file's size in bytes, in order."""
        content = " ".join([self.split, *map(str, self.sizes())])
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def hugging_face_labelled(name: str, split: Split) -> LabelledImages:
    """Open a data set with a column of images and one of labels.

    The labels are the column declared as classes (`ClassLabel`), of several the one with the most
    classes, or else a column `label` or `labels` of numbers or words. Where authors held out
    nothing, a fixed 80/20 split is drawn within each class, as for a folder.

    Args:
        name: `hf:` and the name of a data set on the Hub (downloaded by `datasets`, into its own
            cache), with `:CONFIGURATION` where it has several; or a folder, written by
            `save_to_disk` or with parquet or image files in it.
        split: One of `hugging_face_splits(name)`. Without a `test` split the validation split
            takes its place.

    Returns:
        The split, its images named `<their split>/<row>`.

    Raises:
        BraddError: The extra is not installed, the data set cannot be had, or has no such split,
            no images or no labels.
    """
    parts = _opened(name)
    names = _names_of_splits(parts, name)
    check_split(split, name, tuple(names) if len(names) > 1 else ("train", "test"))
    training = parts[names["train"]]
    column, classes = _label_column(training, name)
    own = names.get(split, names["train"])
    labels = _labels(parts[own], column, classes, f"{name}, split {own}")
    labelled = LabelledImages(_images(parts[own], name, own), labels, classes)
    if len(names) > 1:
        return labelled
    train, test = stratified_split(labels, classes, train_share=0.8)
    return labelled.subset(train if split == "train" else test)


def hugging_face_images(name: str) -> Images:
    """All images that the authors mean for training, whether they are labelled or not.

    Args:
        name: As for `hugging_face_labelled`.

    Raises:
        BraddError: The extra is not installed, or the data set cannot be had or has no images.
    """
    parts = _opened(name)
    own = _names_of_splits(parts, name)["train"]
    return _images(parts[own], name, own)


def hugging_face_splits(name: str) -> tuple[Split, ...]:
    """The splits that `hugging_face_labelled` opens."""
    names = _names_of_splits(_opened(name), name)
    return tuple(names) if len(names) > 1 else ("train", "test")


def hugging_face_folder(name: str) -> Path | None:
    """The folder that `hf:FOLDER` means; None for a data set on the Hub."""
    folder = Path(name.removeprefix(PREFIX)).expanduser()
    return folder if folder.is_dir() else None


@lru_cache(maxsize=4)  # the Hub is asked anew each time otherwise
def _opened(name: str) -> Mapping[str, Any]:
    """The data set's own splits."""
    try:
        import datasets
    except ImportError as error:
        raise BraddError(
            f"{name} needs the library datasets: pip install 'bradd[datasets]'"
        ) from error
    folder = hugging_face_folder(name)
    repository, _, configuration = name.removeprefix(PREFIX).partition(":")
    try:
        if folder is None:
            opened = datasets.load_dataset(repository, configuration or None)
        elif (folder / "dataset_dict.json").exists() or (folder / "state.json").exists():
            opened = datasets.load_from_disk(str(folder))
        else:
            opened = datasets.load_dataset(str(folder))
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        where = f"in the folder {folder}" if folder else f"as {repository!r} on the Hub"
        reason = " ".join(str(error).split()).rstrip(".")
        raise BraddError(
            f"{name} cannot be opened {where}: {reason}. Give the name of a data set of "
            "https://huggingface.co/datasets, hf:NAME or hf:NAME:CONFIGURATION, or a "
            "folder, hf:FOLDER; to fetch one, `hf download --repo-type dataset NAME`"
        ) from error
    return opened if isinstance(opened, Mapping) else {"train": opened}


def _names_of_splits(parts: Mapping[str, Any], name: str) -> dict[Split, str]:
    """What the splits are called here; only `train` where nothing is held out."""
    if "train" not in parts:
        raise BraddError(f"{name} has no split 'train', only {', '.join(parts)}")
    validation = next((each for each in _VALIDATION if each in parts), None)
    if "test" in parts and validation:
        return {"train": "train", "val": validation, "test": "test"}
    if "test" in parts or validation:
        return {"train": "train", "test": validation or "test"}
    return {"train": "train"}


def _images(part: Any, name: str, split: str) -> HuggingFaceImages:
    from datasets import Image as ImageFeature

    columns = [key for key, kind in part.features.items() if isinstance(kind, ImageFeature)]
    if len(columns) != 1:
        raise BraddError(
            f"{name} has {len(columns)} columns of images ({', '.join(columns) or 'none'} of "
            f"{', '.join(part.features)}), but one is needed"
        )
    column = part.select_columns(columns).rename_columns({columns[0]: "image"})
    return HuggingFaceImages(column.cast_column("image", ImageFeature(decode=False)), split)


def _label_column(part: Any, name: str) -> tuple[str, list[str]]:
    """The column of labels and the names of its classes."""
    from datasets import ClassLabel

    declared = {
        key: [str(each) for each in kind.names]
        for key, kind in part.features.items()
        if isinstance(kind, ClassLabel)
    }
    if declared:
        return max(declared.items(), key=lambda item: len(item[1]))
    for key in _LABEL_COLUMNS:
        if key in part.features:
            return key, [str(value) for value in sorted(set(part[key]))]
    raise BraddError(
        f"{name} has no labels: none of its columns ({', '.join(part.features)}) is declared as "
        f"classes or called {' or '.join(_LABEL_COLUMNS)}"
    )


def _labels(part: Any, column: str, classes: list[str], where: str) -> npt.NDArray[np.int64]:
    """Indices into `classes`, `[N]`."""
    from datasets import ClassLabel

    values = list(part[column])
    if not isinstance(part.features[column], ClassLabel):
        index_of = {each: index for index, each in enumerate(classes)}
        values = [index_of.get(str(value), -1) for value in values]
    labels = np.asarray([-1 if value is None else value for value in values], np.int64)
    if np.any(labels < 0):
        raise BraddError(
            f"{where}: {np.count_nonzero(labels < 0)} of {len(labels)} images have no label, or "
            "one that the training split lacks"
        )
    return labels


def _file_size(path: str | None) -> int:
    try:
        return Path(path).stat().st_size if path else -1
    except OSError:
        return -1
