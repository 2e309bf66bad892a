"""Datasets that are known by name."""

from __future__ import annotations

import difflib
import logging
import os
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bradd.data.idx import read_idx
from bradd.data.images import ArrayImages
from bradd.data.labelled import (
    LabelledImages,
    Split,
    check_split,
    labelled_folder,
    stratified_split,
)
from bradd.errors import BraddError

__all__ = [
    "DEBIAN_FASHION_MNIST",
    "NAMES",
    "LabelledImages",
    "Split",
    "default_data_root",
    "labelled_folder",
    "named_images",
    "nearest_name",
]

logger = logging.getLogger(__name__)

NAMES = ("digits", "fashion-mnist", "cifar10")
"""The named datasets."""

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts its files."""

_FASHION_MNIST_CLASSES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]

_TORCHVISION_CLASS = {"fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10"}


def named_images(name: str, split: Split, root: Path | None = None) -> LabelledImages:
    """Load a dataset by its name.

    - `digits`: scikit-learn's 1,797 handwritten digits, 8x8, grey. They come in no official split;
      this is a fixed one, 70/30 within each class. Needs no download.
    - `fashion-mnist` (Xiao et al., 2017): 60,000 + 10,000 images, 28x28, grey. Debian's package
      `dataset-fashion-mnist` is used where `root` lacks it.
    - `cifar10` (Krizhevsky, 2009): 50,000 + 10,000 images, 32x32, colour.

    Args:
        name: One of `NAMES`.
        split: `"train"` or `"test"`.
        root: The folder to read from and to download to, in torchvision's layout. Default:
            `default_data_root()`.

    Returns:
        The split, its images named `<split>/<index in the dataset>`.

    Raises:
        BraddError: The name is unknown, or the files are neither there nor can be downloaded.
    """
    check_split(split)
    if name not in NAMES:
        nearest = nearest_name(name)
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        raise BraddError(f"unknown dataset {name!r}.{hint} Known are {', '.join(NAMES)}")
    if name == "digits":
        return _digits(split)
    root = default_data_root() if root is None else root
    dataset = _downloaded(name, split, root)
    if dataset is None and name == "fashion-mnist" and DEBIAN_FASHION_MNIST.is_dir():
        return _fashion_mnist_from_idx(DEBIAN_FASHION_MNIST, split)
    if dataset is None:
        dataset = _download(name, split, root)
    arrays, labels = np.asarray(dataset.data), np.asarray(dataset.targets)
    return _labelled(arrays, labels, list(dataset.classes), split)


def default_data_root() -> Path:
    """The folder for downloads: `$BRADD_DATA`, or else `~/.cache/bradd`."""
    return Path(os.environ.get("BRADD_DATA") or "~/.cache/bradd").expanduser()


def nearest_name(name: str) -> str | None:
    """The named dataset whose name is spelt most like `name`, if any is close."""
    matches = difflib.get_close_matches(name.lower(), NAMES, n=1)
    return matches[0] if matches else None


def _digits(split: Split) -> LabelledImages:
    from sklearn.datasets import load_digits

    digits = load_digits()
    labels = digits.target.astype(np.int64)
    classes = [str(name) for name in digits.target_names]
    train, test = stratified_split(labels, classes, train_share=0.7)
    chosen = train if split == "train" else test
    arrays = np.rint(digits.images[chosen] * (255 / 16)).astype(np.uint8)
    names = [f"{split}/{index:05d}" for index in chosen]
    return LabelledImages(ArrayImages(arrays, names), labels[chosen], classes)


def _downloaded(name: str, split: Split, root: Path) -> Any | None:
    """The torchvision dataset in `root`, or None if it is not there."""
    from torchvision import datasets

    kind = getattr(datasets, _TORCHVISION_CLASS[name])
    try:
        return kind(root, train=split == "train", download=False)
    except RuntimeError:  # what torchvision raises when files are missing or incomplete
        return None


def _download(name: str, split: Split, root: Path) -> Any:
    from torchvision import datasets

    class_name = _TORCHVISION_CLASS[name]
    logger.info("downloading %s to %s", name, root)
    try:
        return getattr(datasets, class_name)(root, train=split == "train", download=True)
    except (OSError, RuntimeError, HTTPException) as error:
        package = " or install Debian's package dataset-fashion-mnist," if "mnist" in name else ""
        raise BraddError(
            f"{name} is not in {root}, and downloading it failed ({error}). On a machine with a "
            f'network connection, run `python -c "from torchvision.datasets import {class_name}; '
            f"{class_name}('bradd-data', download=True)\"` and copy what lies in bradd-data to "
            f"{root},{package} or set BRADD_DATA to a folder that has it"
        ) from error


def _fashion_mnist_from_idx(folder: Path, split: Split) -> LabelledImages:
    prefix = "train" if split == "train" else "t10k"
    arrays = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
    return _labelled(arrays, labels, _FASHION_MNIST_CLASSES, split)


def _labelled(
    arrays: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.integer[Any]],
    classes: list[str],
    split: Split,
) -> LabelledImages:
    names = [f"{split}/{index:05d}" for index in range(len(arrays))]
    return LabelledImages(ArrayImages(arrays, names), labels.astype(np.int64), list(classes))
