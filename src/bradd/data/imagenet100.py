"""ImageNet-100: a hundred classes of ImageNet, in a tree that the user has."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bradd.data.images import FileImages, folder_images
from bradd.data.labelled import LabelledImages, Split
from bradd.errors import BraddError

__all__ = ["IMAGENET100_CLASSES", "imagenet100", "refuse_validation_images"]

_CLASSES = """
    n01558993 n01692333 n01729322 n01735189 n01749939 n01773797 n01820546 n01855672 n01978455
    n01980166 n01983481 n02009229 n02018207 n02085620 n02086240 n02086910 n02087046 n02089867
    n02089973 n02090622 n02091831 n02093428 n02099849 n02100583 n02104029 n02105505 n02106550
    n02107142 n02108089 n02109047 n02113799 n02113978 n02114855 n02116738 n02119022 n02123045
    n02138441 n02172182 n02231487 n02259212 n02326432 n02396427 n02483362 n02488291 n02701002
    n02788148 n02804414 n02859443 n02869837 n02877765 n02974003 n03017168 n03032252 n03062245
    n03085013 n03259280 n03379051 n03424325 n03492542 n03494278 n03530642 n03584829 n03594734
    n03637318 n03642806 n03764736 n03775546 n03777754 n03785016 n03787032 n03794056 n03837869
    n03891251 n03903868 n03930630 n03947888 n04026417 n04067472 n04099969 n04111531 n04127249
    n04136333 n04229816 n04238763 n04336792 n04418357 n04429376 n04435653 n04485082 n04493381
    n04517823 n04589890 n04592741 n07714571 n07715103 n07753275 n07831146 n07836838 n13037406
    n13040303
"""
IMAGENET100_CLASSES = tuple(_CLASSES.split())
"""WordNet numbers of the classes that Tian et al. ("Contrastive Multiview Coding", ECCV 2020) drew,
sorted."""

FOLDERS = ("imagenet100", "imagenet", ".")
"""Where below the root the tree is looked for, in this order."""

# How every file of ILSVRC 2012's validation set is called, whatever folder it was sorted into.
_VALIDATION_IMAGE = re.compile(r"(^|/)ILSVRC2012_val_\d{8}\.[A-Za-z]+$")


def imagenet100(split: Split, root: Path) -> LabelledImages:
    """ImageNet-100 from a tree of ImageNet-1k or of these classes alone.

    The tree is `train/<WordNet number>/*.JPEG` and `val/<WordNet number>/*.JPEG`, the form that
    PyTorch's examples expect; it is looked for in `root/imagenet100`, `root/imagenet` and `root`.
    ImageNet's test images have no labels, so its validation images are the test split.

    Args:
        split: `"train"` or `"test"`.
        root: The folder to look in.

    Returns:
        The split, its images named relative to the tree.

    Raises:
        BraddError: There is no such tree, or classes are missing in it.
    """
    trees = [(root / folder).resolve() for folder in FOLDERS]
    tree = next((tree for tree in trees if (tree / "train").is_dir()), None)
    if tree is None:
        raise BraddError(
            "imagenet100 is not there: none of the folders "
            f"{', '.join(map(str, trees))} has the subfolders train and val with ImageNet's "
            "classes (n01558993 and so on) in them. ImageNet (ILSVRC 2012) is given to those who "
            "register at https://image-net.org; sort its validation images into class folders. Or "
            "set BRADD_DATA to the folder that has it"
        )
    folder = tree / ("train" if split == "train" else "val")
    missing = [name for name in IMAGENET100_CLASSES if not (folder / name).is_dir()]
    if missing:
        raise BraddError(
            f"{len(missing)} of the 100 classes of imagenet100 have no folder in {folder}, the "
            f"first of them {missing[0]}. If yours are other classes, give the folder itself: "
            f"--data {tree}"
        )
    names: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(IMAGENET100_CLASSES):
        files = folder_images(folder / name).names
        names.extend(f"{folder.name}/{name}/{file}" for file in files)
        labels.extend([label] * len(files))
    images = FileImages(tree, names)
    return LabelledImages(images, np.asarray(labels, np.int64), list(IMAGENET100_CLASSES))


def refuse_validation_images(names: Iterable[str], where: str) -> None:
    """Refuse ImageNet's validation images, on which results are measured, for training.

    Args:
        names: The names of the images to train on.
        where: What names them, for the message.

    Raises:
        BraddError: Some of them are ImageNet's validation images.
    """
    found = [name for name in names if _VALIDATION_IMAGE.search(name)]
    if found:
        raise BraddError(
            f"{where} has {len(found)} of ImageNet's validation images, the first of them "
            f"{found[0]}. They are what results on ImageNet are measured on, and are never trained "
            "on: take images of its training set alone"
        )
