"""Datasets that are known by name."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import numpy as np

from bradd.data.hugging_face import PREFIX, hugging_face_labelled, hugging_face_splits
from bradd.data.idx import read_idx
from bradd.data.imagenet100 import imagenet100
from bradd.data.images import ArrayImages
from bradd.data.labelled import LabelledImages, Split, check_split, stratified_split
from bradd.data.torchvision_sets import TORCHVISION_SETS, read_torchvision_set
from bradd.errors import BraddError

__all__ = [
    "DEBIAN_FASHION_MNIST",
    "NAMES",
    "default_data_root",
    "is_named",
    "named_images",
    "named_splits",
    "nearest_name",
    "unknown_name",
]

NAMES = ("digits", *TORCHVISION_SETS, "imagenet100")
"""The named datasets; beside them there are Hugging Face's, as `hf:NAME`."""

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


def named_images(name: str, split: Split, root: Path | None = None) -> LabelledImages:
    """Load a dataset by its name, in its official splits. Nothing is downloaded, but from `hf:`.

    - `digits`: scikit-learn's 1,797 handwritten digits, 8x8, grey. They come in no official split;
      this is a fixed one, 70/30 within each class.
    - `fashion-mnist` (Xiao et al., 2017): 60,000 + 10,000 images, 28x28, grey. Debian's package
      `dataset-fashion-mnist` is used where `root` lacks it.
    - `cifar10`, `cifar100` (Krizhevsky, 2009): 50,000 + 10,000 images, 32x32, colour.
    - `cars` (Stanford Cars; Krause et al., 2013): 196 models, 8,144 + 8,041 photographs.
    - `aircraft` (FGVC-Aircraft; Maji et al., 2013): 100 variants, 3,334 + 3,333 (val) + 3,333.
    - `flowers` (Oxford Flowers-102; Nilsback and Zisserman, 2008): 1,020 + 1,020 (val) + 6,149.
    - `pets` (Oxford-IIIT Pets; Parkhi et al., 2012): 37 breeds, 3,680 + 3,669.
    - `imagenet100` (Tian et al., 2020): 100 classes of ImageNet, about 127,000 + 5,000.
    - `hf:NAME`, `hf:NAME:CONFIGURATION` or `hf:FOLDER`: a data set of Hugging Face with a column of
      images and one of labels, see `hugging_face_labelled`; needs the optional extra `datasets`.

    Args:
        name: One of `NAMES`, or `hf:` and a name or folder.
        split: One of `named_splits(name)`.
        root: The folder to read from, in torchvision's layout. Default: `default_data_root()`.

    Returns:
        The split. Its images are named by their files relative to `root` (`imagenet100`: to its
        own folder), or else `<split>/<index in the dataset>`.

    Raises:
        BraddError: The name is unknown, there is no such split, or the files are not there; the
            message names the folder and says how to get them.
    """
    check_split(split)
    check_split(split, name, named_splits(name))
    if name.startswith(PREFIX):
        return hugging_face_labelled(name, split)
    if name == "digits":
        return _digits(split)
    root = default_data_root() if root is None else root
    if name == "imagenet100":
        return imagenet100(split, root)
    in_root = (root / TORCHVISION_SETS[name].folder).is_dir()
    if name == "fashion-mnist" and not in_root and DEBIAN_FASHION_MNIST.is_dir():
        return _fashion_mnist_from_idx(DEBIAN_FASHION_MNIST, split)
    return read_torchvision_set(name, split, root)


def named_splits(name: str) -> tuple[Split, ...]:
    """The splits of a named dataset: `train`, `test` and, where it is official, `val`.

    Raises:
        BraddError: The name is unknown.
    """
    if name.startswith(PREFIX):
        return hugging_face_splits(name)
    if name not in NAMES:
        raise BraddError(unknown_name(name))
    if name in TORCHVISION_SETS:
        return tuple(TORCHVISION_SETS[name].splits)
    return ("train", "test")


def is_named(data: object) -> bool:
    """Whether `data` is the name of a dataset, `hf:...` included, rather than a path."""
    return isinstance(data, str) and (data in NAMES or data.startswith(PREFIX))


def default_data_root() -> Path:
    """The folder that named datasets lie in: `$BRADD_DATA`, or else `~/.cache/bradd`."""
    return Path(os.environ.get("BRADD_DATA") or "~/.cache/bradd").expanduser()


def nearest_name(name: str) -> str | None:
    """The named dataset whose name is spelt most like `name`, if any is close."""
    matches = difflib.get_close_matches(name.lower(), NAMES, n=1)
    return matches[0] if matches else None


def unknown_name(name: str) -> str:
    """What to tell whoever wrote a name that is unknown."""
    nearest = nearest_name(name)
    hint = f" Did you mean {nearest!r}?" if nearest else ""
    return f"unknown dataset {name!r}.{hint} Known are {', '.join(NAMES)} and hf:NAME"


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


def _fashion_mnist_from_idx(folder: Path, split: Split) -> LabelledImages:
    prefix = "train" if split == "train" else "t10k"
    arrays = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
    names = [f"{split}/{index:05d}" for index in range(len(arrays))]
    images = ArrayImages(arrays, names)
    return LabelledImages(images, labels.astype(np.int64), list(_FASHION_MNIST_CLASSES))
