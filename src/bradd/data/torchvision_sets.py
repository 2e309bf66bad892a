"""Data sets that torchvision can read, as lists of files or arrays with labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bradd.data.images import ArrayImages, FileImages, Images
from bradd.data.labelled import LabelledImages, Split
from bradd.errors import BraddError

__all__ = ["TORCHVISION_SETS", "read_torchvision_set"]


@dataclass(frozen=True)
class _Source:
    """How torchvision reads a data set.

    Attributes:
        class_name: Of the class in torchvision.datasets.
        folder: Its folder below the root.
        splits: The arguments of the class for each official split.
        files: The image files of a data set object, where it does not hold arrays.
        labels: The labels of a data set object.
        how_to_get: What to do where `download=True` does not help any more.
    """

    class_name: str
    folder: str
    splits: Mapping[Split, dict[str, Any]]
    files: Callable[[Any], list[Any]] | None = None
    labels: Callable[[Any], list[int]] = field(default=lambda dataset: list(dataset.targets))
    how_to_get: str = ""


_TRAIN_OR_NOT: dict[Split, dict[str, Any]] = {"train": {"train": True}, "test": {"train": False}}
_THREE_SPLITS: dict[Split, dict[str, Any]] = {
    "train": {"split": "train"},
    "val": {"split": "val"},
    "test": {"split": "test"},
}

# Files and labels of the newer data sets are kept in private attributes: their public interface
# gives decoded images alone. Tests read each format, so that a change there is noticed.
TORCHVISION_SETS: dict[str, _Source] = {
    "fashion-mnist": _Source("FashionMNIST", "FashionMNIST/raw", _TRAIN_OR_NOT),
    "cifar10": _Source("CIFAR10", "cifar-10-batches-py", _TRAIN_OR_NOT),
    "cifar100": _Source("CIFAR100", "cifar-100-python", _TRAIN_OR_NOT),
    "cars": _Source(
        "StanfordCars",
        "stanford_cars",
        {"train": {"split": "train"}, "test": {"split": "test"}},
        files=lambda dataset: [file for file, _ in dataset._samples],
        labels=lambda dataset: [label for _, label in dataset._samples],
        how_to_get=(
            "The original site is gone; https://github.com/pytorch/vision/issues/7545 says where "
            "to find cars_train, cars_test, devkit and cars_test_annos_withlabels.mat, which "
            "belong into that folder"
        ),
    ),
    "aircraft": _Source(
        "FGVCAircraft",
        "fgvc-aircraft-2013b",
        _THREE_SPLITS,
        files=lambda dataset: dataset._image_files,
        labels=lambda dataset: dataset._labels,
    ),
    "flowers": _Source(
        "Flowers102",
        "flowers-102",
        _THREE_SPLITS,
        files=lambda dataset: dataset._image_files,
        labels=lambda dataset: dataset._labels,
    ),
    "pets": _Source(
        "OxfordIIITPet",
        "oxford-iiit-pet",
        {"train": {"split": "trainval"}, "test": {"split": "test"}},
        files=lambda dataset: dataset._images,
        labels=lambda dataset: dataset._labels,
    ),
}


def read_torchvision_set(name: str, split: Split, root: Path) -> LabelledImages:
    """Read one split of a data set that lies in torchvision's layout; nothing is downloaded.

    Args:
        name: A key of `TORCHVISION_SETS`.
        split: One of its splits.
        root: The folder that torchvision calls root.

    Returns:
        The split. Files are named by their paths relative to `root`, arrays
        `<split>/<index in the split>`.

    Raises:
        BraddError: The data set is not there, incomplete or damaged.
    """
    from torchvision import datasets

    source = TORCHVISION_SETS[name]
    try:
        dataset = getattr(datasets, source.class_name)(root, download=False, **source.splits[split])
        labels = np.asarray(source.labels(dataset), np.int64)
        if labels.size == 0:
            raise ValueError("no image is listed")
    except MemoryError:
        raise
    # RuntimeError is what torchvision raises when files are missing or have another checksum, but
    # lists of labels that are missing, empty or cut off make its parsers raise nearly anything.
    except Exception as error:
        raise _absent(name, source, root, error) from error
    # Before torchvision 0.22 the flowers had no names: then their numbers, as in the annotations.
    numbers = range(1, labels.max(initial=-1) + 2)
    classes = [str(each) for each in getattr(dataset, "classes", numbers)]
    if source.files is None:
        arrays = np.asarray(dataset.data)
        images: Images = ArrayImages(arrays, [f"{split}/{i:05d}" for i in range(len(arrays))])
    else:
        paths = [Path(file) for file in source.files(dataset)]
        images = FileImages(root, [path.relative_to(root).as_posix() for path in paths])
    return LabelledImages(images, labels, classes)


def _absent(name: str, source: _Source, root: Path, error: Exception) -> BraddError:
    folder = root / source.folder
    if folder.is_dir():
        problem = f"{name} in {folder} is incomplete or damaged ({error})"
    else:
        problem = f"{name} is not in {root}: there is no folder {folder}"
    how = source.how_to_get or (
        f'On a machine with a network connection, run `python -c "from torchvision.datasets import '
        f"{source.class_name}; {source.class_name}('bradd-data', download=True)\"` and move what "
        f"then lies in bradd-data into {root}"
    )
    return BraddError(f"{problem}. {how}. Or set BRADD_DATA to the folder that has it")
