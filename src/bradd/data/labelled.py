"""Images with class labels, for evaluation and for making long-tailed subsets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from bradd.data.images import FileImages, Images, SubsetImages, folder_images
from bradd.errors import BraddError
from bradd.seeds import random_generator

__all__ = [
    "SPLITS",
    "LabelledImages",
    "Split",
    "check_split",
    "folder_splits",
    "labelled_folder",
    "stratified_split",
]

Split = Literal["train", "val", "test"]

SPLITS: tuple[Split, ...] = ("train", "val", "test")
"""The splits a data set may have; `val` only where it is official."""


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images and the class of each.

    Attributes:
        images: The images, N of them.
        labels: Indices into `classes`, `[N]`, int64.
        classes: The classes' names; a class may have no image.

    Raises:
        BraddError: There is not one label for each image, or a label names no class.
    """

    images: Images
    labels: npt.NDArray[np.int64]
    classes: list[str]

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.images),):
            raise BraddError(
                f"{len(self.images)} images were given with labels of shape "
                f"{list(self.labels.shape)}"
            )
        if np.any((self.labels < 0) | (self.labels >= len(self.classes))):
            raise BraddError(f"labels must lie in 0 to {len(self.classes) - 1}")

    def subset(self, indices: npt.ArrayLike) -> LabelledImages:
        """The images at `indices`, with their labels and the same classes."""
        chosen = np.asarray(indices, np.int64)
        return LabelledImages(SubsetImages(self.images, chosen), self.labels[chosen], self.classes)


def labelled_folder(root: Path, split: Split) -> LabelledImages:
    """A folder with one subfolder for each class.

    With subfolders `train` and `test`, which then hold the class folders, these are the splits, and
    `val` beside them is a third. With `train` and `val` alone, `val` is the test split. Without
    them, a fixed 80/20 split is drawn within each class.

    Args:
        root: The folder.
        split: One of `folder_splits(root)`.

    Returns:
        The split's images, named relative to `root`; its classes are sorted by name and the same
        in both splits.

    Raises:
        BraddError: There is no such split, there are fewer than two class folders, one of them
            holds no image, an image lies outside of them, or the splits differ in their classes.
    """
    check_split(split)
    folders = _folder_of_each_split(root)
    if folders:
        check_split(split, str(root), tuple(folders))
        return _split_folders(root, folders, split)
    everything = _class_folders(root, root)
    check_split(split, str(root), ("train", "test"))
    train, test = stratified_split(everything.labels, everything.classes, train_share=0.8)
    return everything.subset(train if split == "train" else test)


def folder_splits(root: Path) -> tuple[Split, ...]:
    """The splits that `labelled_folder` finds in a folder."""
    return tuple(_folder_of_each_split(root)) or ("train", "test")


def stratified_split(
    labels: npt.NDArray[np.int64], classes: list[str], train_share: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Split images within each class, the same way on every machine and in every run.

    Args:
        labels: `[N]`, indices into `classes`.
        classes: The classes' names.
        train_share: Share of each class's images to train on, rounded. A class of two images or
            more has at least one on either side; a single image is for training.

    Returns:
        Sorted indices of the training images and of the test images.
    """
    train, test = [], []
    for label, name in enumerate(classes):
        members = np.flatnonzero(labels == label)
        shuffled = random_generator(0, "split", name).permutation(members)
        n_train = min(max(round(train_share * len(members)), 1), max(len(members) - 1, 1))
        train.append(shuffled[:n_train])
        test.append(shuffled[n_train:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))


def check_split(
    split: str, data: str = "a labelled data set", splits: tuple[Split, ...] = SPLITS
) -> None:
    """Raise a BraddError unless `split` is one of the splits of `data`."""
    if split not in splits:
        raise BraddError(f"{data} has the splits {', '.join(splits)}, but no split {split!r}")


def _folder_of_each_split(root: Path) -> dict[Split, str]:
    """The subfolder of each split; none where the split is to be drawn."""
    if not (root / "train").is_dir():
        return {}
    held_out = [name for name in ("test", "val") if (root / name).is_dir()]
    if not held_out:
        return {}
    if len(held_out) == 2:
        return {"train": "train", "val": "val", "test": "test"}
    return {"train": "train", "test": held_out[0]}


def _split_folders(root: Path, folders: dict[Split, str], split: Split) -> LabelledImages:
    wanted = {"train", "test", split}  # a `val` that nobody asks for may look as it likes
    parts = {
        name: _class_folders(root, root / folder)
        for name, folder in folders.items()
        if name in wanted
    }
    train = parts["train"]
    for name, part in parts.items():
        if train.classes != part.classes:
            only_train = sorted(set(train.classes) - set(part.classes))
            only_other = sorted(set(part.classes) - set(train.classes))
            raise BraddError(
                f"the class folders of {root / 'train'} and {root / folders[name]} differ. "
                f"Only in train: {', '.join(only_train) or 'none'}. "
                f"Only in {folders[name]}: {', '.join(only_other) or 'none'}"
            )
    return parts[split]


def _class_folders(root: Path, folder: Path) -> LabelledImages:
    """The class folders in `folder`, with names relative to `root`."""
    names = folder_images(folder).names
    outside = [name for name in names if "/" not in name]
    if outside:
        raise BraddError(
            f"{len(outside)} image(s) in {folder} lie outside of the class folders, for example "
            f"{outside[0]}. Move them into the folder of their class"
        )
    of_class = [name.split("/", 1)[0] for name in names]
    classes = sorted(set(of_class))
    subfolders = {path.name for path in folder.iterdir() if path.is_dir()}
    empty = sorted(name for name in subfolders - set(classes) if not name.startswith("."))
    if empty:
        raise BraddError(f"class folder(s) of {folder} without images: {', '.join(empty)}")
    if len(classes) < 2:
        raise BraddError(
            f"{folder} has the single class folder {classes[0]!r}; labels need at least two. "
            "Expected is <folder>/<class>/..., or <folder>/train/<class>/... beside "
            "<folder>/test/<class>/..."
        )
    label_of = {name: label for label, name in enumerate(classes)}
    labels = np.asarray([label_of[name] for name in of_class], np.int64)
    prefix = "" if folder == root else f"{folder.name}/"
    return LabelledImages(FileImages(root, [prefix + name for name in names]), labels, classes)
