"""Balanced subsets, and what a subset leaves out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bradd.data.labelled import LabelledImages
from bradd.data.longtail import draw, images_per_class
from bradd.data.manifest import Manifest
from bradd.errors import BraddError

__all__ = ["balanced", "balanced_counts", "left_out"]


def balanced_counts(total: int, available: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """How many images of each class a balanced subset has: as many of one as of another.

    Args:
        total: Images in all. Where it is no multiple of the number of classes, the first classes
            have one more.
        available: How many images each class has, `[C]`.

    Returns:
        How many to take of each class, `[C]`.

    Raises:
        BraddError: Some class has too few images.
    """
    limits = np.asarray(available, np.int64)
    each, more = divmod(total, limits.size)
    counts = np.full(limits.size, each, np.int64)
    counts[:more] += 1
    if np.any(counts > limits):
        short = int(np.argmax(counts - limits))
        raise BraddError(
            f"a balanced subset of {total} images in {limits.size} classes needs {counts[short]} "
            f"of class {short}, which has {limits[short]}"
        )
    return counts


def balanced(
    labelled: LabelledImages, total: int, seed: int
) -> tuple[npt.NDArray[np.int64], Manifest]:
    """Draw a balanced subset.

    Args:
        labelled: The images to draw from.
        total: Images in all.
        seed: The seed of the draw.

    Returns:
        Sorted indices into the images, and the manifest.

    Raises:
        BraddError: See `balanced_counts`.
    """
    indices = draw(labelled, balanced_counts(total, images_per_class(labelled)), seed)
    return indices, Manifest.of(labelled, indices, f"balanced:{total}", seed, "balanced")


def left_out(
    labelled: LabelledImages, indices: npt.NDArray[np.int64], subset: Manifest
) -> tuple[npt.NDArray[np.int64], Manifest]:
    """What a subset leaves out of the split it was drawn from.

    Args:
        labelled: The split.
        indices: The subset's indices into it.
        subset: The subset's manifest.

    Returns:
        Sorted indices into the images, and the manifest.
    """
    rest = np.setdiff1d(np.arange(len(labelled.images), dtype=np.int64), indices)
    return rest, Manifest.of(labelled, rest, subset.spec, subset.seed, "removed", subset.data)
