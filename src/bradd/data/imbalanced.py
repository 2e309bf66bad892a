"""Imbalanced subsets by the name of their shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bradd.data.imagenet100_lt import check_imagenet100_lt, imagenet100_long_tailed
from bradd.data.labelled import LabelledImages
from bradd.data.longtail import check_shape, long_tailed
from bradd.data.manifest import Manifest
from bradd.errors import BraddError

__all__ = ["IMAGENET100_LT_PREFIX", "check_imbalanced", "imbalanced"]

IMAGENET100_LT_PREFIX = "imagenet100-lt"


def imbalanced(
    labelled: LabelledImages, spec: str, seed: int, listed: Path | None = None
) -> tuple[npt.NDArray[np.int64], Manifest]:
    """Draw an imbalanced subset.

    Args:
        labelled: The images to draw from.
        spec: The shape, as for `long_tailed` or `imagenet100_long_tailed`.
        seed: The seed of the draw.
        listed: SDCLR's list, for `imagenet100-lt:sdclr` alone.

    Returns:
        Sorted indices into the images, and the manifest.

    Raises:
        BraddError: As these two.
    """
    if spec.startswith(IMAGENET100_LT_PREFIX):
        return imagenet100_long_tailed(labelled, spec, seed, listed)
    return long_tailed(labelled, spec, seed)


def check_imbalanced(spec: str, listed: Path | None = None) -> None:
    """Refuse a misspelt shape before the data are opened.

    Raises:
        BraddError: It is no shape, or the list is missing or not asked for.
    """
    if spec.startswith(IMAGENET100_LT_PREFIX):
        check_imagenet100_lt(spec, listed)
        return
    check_shape(spec)
    if listed:
        raise BraddError("list is for --longtail imagenet100-lt:sdclr alone.")
