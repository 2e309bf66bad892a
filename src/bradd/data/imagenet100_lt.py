"""ImageNet-100-LT: three long-tailed subsets of ImageNet-100 that go by this name."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bradd.data.imagenet100 import refuse_validation_images
from bradd.data.labelled import LabelledImages
from bradd.data.longtail import class_counts, draw, images_per_class, members_by_name
from bradd.data.manifest import Manifest
from bradd.errors import BraddError
from bradd.seeds import random_generator

__all__ = [
    "IMAGENET100_LT",
    "check_imagenet100_lt",
    "expected_counts",
    "imagenet100_long_tailed",
]

IMAGENET100_LT = ("imagenet100-lt:pareto", "imagenet100-lt:sdclr", "imagenet100-lt:bradd")
"""The three; numbers on one are not comparable with those on another."""

CLASSES = 100
LARGEST, SMALLEST = 1280, 5  # images of a class, as in ImageNet-LT (Liu et al., CVPR 2019)
ALPHA = 6.0
BRADD_ALPHA = 2.5

# split/imagenet-100/imageNet_100_LT_train.txt of github.com/VITA-Group/SDCLR. It carries no
# licence, so it does not come with this package.
SDCLR_CHECKSUM = "0f94d6eef6935578a1e287a35d337cc0fe4c41059b023247d35a4119c93820bb"


def imagenet100_long_tailed(
    labelled: LabelledImages, spec: str, seed: int, listed: Path | None = None
) -> tuple[npt.NDArray[np.int64], Manifest]:
    """Cut ImageNet-100 to a long tail.

    - `imagenet100-lt:pareto`: `pareto:6` with 1,280 images in the largest class, 12,912 in all. The
      classes shrink in the order of their WordNet numbers.
    - `imagenet100-lt:sdclr`: the 12,205 images of SDCLR's list (Jiang et al., ICML 2021).
    - `imagenet100-lt:bradd`: each image is kept or not by chance, see `expected_counts`; the
      classes shrink in an order drawn by the seed. About 14,900 images where each class has 1,280.

    Args:
        labelled: The training split.
        spec: One of `IMAGENET100_LT`.
        seed: The seed of the draw; `sdclr` draws nothing.
        listed: SDCLR's list, for `sdclr` alone.

    Returns:
        Sorted indices into the images, and the manifest.

    Raises:
        BraddError: `spec` is none of these, there are not 100 classes, or not the images that are
            needed, or the list is missing or another.
    """
    check_imagenet100_lt(spec, listed)
    if len(labelled.classes) != CLASSES:
        raise BraddError(
            f"{spec} is a subset of 100 classes, but the data have {len(labelled.classes)}: "
            "--data imagenet100 takes the 100 out of an ImageNet tree"
        )
    if listed is not None:
        indices = _listed(labelled, listed)
    elif spec == "imagenet100-lt:pareto":
        indices = draw(labelled, _pareto_counts(images_per_class(labelled)), seed)
    else:
        indices = _kept_by_chance(labelled, seed)
    return indices, Manifest.of(labelled, indices, spec, seed)


def check_imagenet100_lt(spec: str, listed: Path | None) -> None:
    """Refuse what is none of `IMAGENET100_LT`, and a list that is missing or not asked for.

    Raises:
        BraddError: It is; the nearest name is suggested.
    """
    if spec not in IMAGENET100_LT:
        near = difflib.get_close_matches(spec, IMAGENET100_LT, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise BraddError(
            f"{spec!r} is no ImageNet-100-LT.{hint} There are {', '.join(IMAGENET100_LT)}"
        )
    if (listed is None) != (spec != "imagenet100-lt:sdclr"):
        raise BraddError(
            "imagenet100-lt:sdclr needs SDCLR's list, --list imageNet_100_LT_train.txt (in "
            "split/imagenet-100 of https://github.com/VITA-Group/SDCLR)"
            if listed is None
            else f"list is for imagenet100-lt:sdclr alone, not for {spec}"
        )


def expected_counts() -> npt.NDArray[np.float64]:
    """Expected sizes of `bradd`'s classes where each class has 1,280 images, `[100]`.

    k ** (-1 / 2.5) for k = 1 to 100, stretched linearly to 1,280 down to 5: 14,909.4 in all. The
    paper says Pareto with alpha = 6; this is what its authors' code does.
    """
    values = np.arange(1, CLASSES + 1) ** (-1 / BRADD_ALPHA)
    stretched = (values - values[-1]) / (values[0] - values[-1])
    return np.asarray(SMALLEST + (LARGEST - SMALLEST) * stretched, np.float64)


def _pareto_counts(available: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    counts = class_counts(f"pareto:{ALPHA:g}", np.minimum(available, LARGEST))
    if counts[0] != LARGEST:
        raise BraddError(
            f"imagenet100-lt:pareto needs {LARGEST} images of the first class, but those there are "
            f"allow {counts[0]}. Is the training split complete? pareto:6 takes what there is"
        )
    return counts


def _kept_by_chance(labelled: LabelledImages, seed: int) -> npt.NDArray[np.int64]:
    order = random_generator(seed, "imagenet100-lt").permutation(CLASSES)
    shares = expected_counts()[order] / LARGEST
    kept: list[int] = []
    for label, name in enumerate(labelled.classes):
        members = members_by_name(labelled, label)
        numbers = random_generator(seed, "imagenet100-lt", name).random(len(members))
        kept.extend(np.asarray(members, np.int64)[numbers < shares[label]].tolist())
    return np.sort(np.asarray(kept, np.int64))


def _listed(labelled: LabelledImages, listed: Path) -> npt.NDArray[np.int64]:
    """Indices of the images in SDCLR's list, whose lines are `train/<class>/<file> <number>`."""
    try:
        content = listed.read_bytes()
    except OSError as error:
        raise BraddError(f"list: {listed} cannot be read: {error.strerror}") from error
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != SDCLR_CHECKSUM:
        raise BraddError(
            f"list: {listed} is not SDCLR's list: its SHA-256 is {checksum}, not {SDCLR_CHECKSUM}. "
            "Take imageNet_100_LT_train.txt from split/imagenet-100 of "
            "https://github.com/VITA-Group/SDCLR as it is, without converting line ends"
        )
    names = [line.rsplit(" ", 1)[0] for line in content.decode().splitlines()]
    refuse_validation_images(names, str(listed))
    row_of = {labelled.images.name(row): row for row in range(len(labelled.images))}
    missing = [name for name in names if name not in row_of]
    if missing:
        raise BraddError(
            f"{len(missing)} of the {len(names)} images in {listed} are not in the data, the first "
            f"of them {missing[0]}: the list needs ImageNet's own file names, in train/<class>/"
        )
    return np.sort(np.asarray([row_of[name] for name in names], np.int64))
