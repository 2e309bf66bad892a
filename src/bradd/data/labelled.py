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

__all__ = ["LabelledImages", "Split", "check_split", "labelled_folder", "stratified_split"]

Split = Literal["train", "test"]


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

    With subfolders `train` and `test` (or `train` and `val`), which then hold the class folders,
    these are the splits. Without them, a fixed 80/20 split is drawn within each class.

    Args:
        root: The folder.
        split: `"train"` or `"test"`.

    Returns:
        The split's images, named relative to `root`; its classes are sorted by name and the same
        in both splits.

    Raises:
        BraddError: There are fewer than two class folders, one of them holds no image, an image
            lies outside of them, or the two splits differ in their classes.
    """
    check_split(split)
    # Checked here so that a missing folder is reported as such, not as one without classes.
    if root.is_dir() and (root / "train").is_dir():
        for held_out in ("test", "val"):
            if (root / held_out).is_dir():
                return _split_folders(root, held_out, split)
    everything = _class_folders(root, root)
    train, test = stratified_split(everything.labels, everything.classes, train_share=0.8)
    return everything.subset(train if split == "train" else test)


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


def check_split(split: str) -> None:
    """Raise a BraddError unless `split` is one of the two there are."""
    if split not in ("train", "test"):
        raise BraddError(f"the split must be 'train' or 'test', not {split!r}")


def _split_folders(root: Path, held_out: str, split: Split) -> LabelledImages:
    train = _class_folders(root, root / "train")
    test = _class_folders(root, root / held_out)
    if train.classes != test.classes:
        only_train = sorted(set(train.classes) - set(test.classes))
        only_test = sorted(set(test.classes) - set(train.classes))
        raise BraddError(
            f"the class folders of {root / 'train'} and {root / held_out} differ. "
            f"Only in train: {', '.join(only_train) or 'none'}. "
            f"Only in {held_out}: {', '.join(only_test) or 'none'}"
        )
    return train if split == "train" else test


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
