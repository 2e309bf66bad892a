"""Long-tailed subsets of labelled images."""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bradd.data.labelled import LabelledImages
from bradd.data.manifest import Manifest
from bradd.errors import BraddError
from bradd.seeds import random_generator

__all__ = [
    "check_shape",
    "class_counts",
    "draw",
    "images_per_class",
    "long_tailed",
    "members_by_name",
]

_Counts = npt.NDArray[np.int64]
_Values = npt.NDArray[np.float64]

_ACCEPTED = (
    "Accepted are exponential:RATIO, with RATIO >= 1 the largest class's size over the smallest's "
    "(for example exponential:100), and pareto:ALPHA, with ALPHA in 0.1 to 1000 (for example "
    "pareto:6)"
)

# Keeps a quotient such as 5000 * 0.01 from being cut to one less by the last bit of a float.
_ROUNDING_ERROR = 1e-9


def class_counts(spec: str, available: npt.ArrayLike) -> _Counts:
    """How many images of each class a long-tailed subset has, the first class having most.

    - `exponential:RATIO` (Cui et al., CVPR 2019): n_i = int(n_0 * RATIO ** (-i / (C - 1))).
    - `pareto:ALPHA`: quantiles of the Lomax distribution, as for ImageNet-LT (Liu et al., CVPR
      2019) but not drawn at random: n_i = n_min + (n_0 - n_min) * v_i / v_0 with
      v_i = u_i ** (-1 / ALPHA) - 1, u_i = (10 i + 1) / (10 C) and
      n_min = max(1, round(n_0 * 5 / 1280)), which the tail approaches. Rounded by largest
      remainders, so that the total is the rounded total of the n_i.

    In both, n_0 is the largest integer for which every class has enough images.

    Args:
        spec: The shape, as above.
        available: How many images each class has, `[C]`, in the order of the classes.

    Returns:
        How many to take of each class, `[C]`.

    Raises:
        BraddError: `spec` is none of these, or some class would have no image.
    """
    values, to_integers = _shape(spec)
    limits = np.asarray(available, np.int64)
    if limits.ndim != 1 or limits.size == 0:
        raise BraddError("a long-tailed subset needs at least one class")

    def fits(counts: _Counts) -> bool:
        return bool(np.all(counts <= limits))

    # Rounded-down values only grow with n_0, so bisection finds the most that can be feasible;
    # largest remainders may ask for one more image somewhere, so from there on one by one.
    candidates = range(1, int(limits[0]) + 1)
    n_0 = bisect_left(candidates, True, key=lambda n: not fits(_floor(values(n, limits.size))))
    while n_0 > 0 and not fits(to_integers(values(n_0, limits.size))):
        n_0 -= 1
    counts = to_integers(values(n_0, limits.size)) if n_0 > 0 else np.zeros_like(limits)
    if np.any(counts < 1):
        empty = np.flatnonzero(counts < 1)
        raise BraddError(
            f"{spec!r} leaves {empty.size} of {limits.size} classes without an image, the first "
            f"of them class {empty[0]}: with the images there are, the largest class has {n_0}. "
            "Choose a shape that is less long-tailed, or leave out classes with few images"
        )
    return counts


def long_tailed(
    labelled: LabelledImages, spec: str, seed: int
) -> tuple[npt.NDArray[np.int64], Manifest]:
    """Draw a long-tailed subset.

    Which images of a class are drawn follows from the seed, the class's name and the names of its
    images; it does not depend on the order in which the images are listed.

    Args:
        labelled: The images to draw from.
        spec: The shape, see `class_counts`.
        seed: The seed of the draw.

    Returns:
        Sorted indices into the images, and the manifest.

    Raises:
        BraddError: See `class_counts`.
    """
    indices = draw(labelled, class_counts(spec, images_per_class(labelled)), seed)
    return indices, Manifest.of(labelled, indices, spec, seed)


def check_shape(spec: str) -> None:
    """Refuse a shape that `class_counts` does not understand.

    Raises:
        BraddError: It is one; the nearest is suggested.
    """
    _shape(spec)


def draw(labelled: LabelledImages, counts: npt.ArrayLike, seed: int) -> _Counts:
    """Draw so many images of each class.

    With one seed a larger count takes the images of a smaller one and more, so that two subsets
    differ in no more images than their counts do.

    Args:
        labelled: The images to draw from.
        counts: How many of each class, `[C]`, at most as many as there are.
        seed: The seed of the draw.

    Returns:
        Sorted indices into the images.
    """
    drawn: list[int] = []
    for label, count in enumerate(np.asarray(counts, np.int64)):
        members = members_by_name(labelled, label)
        class_name = labelled.classes[label]
        order = random_generator(seed, "longtail", class_name).permutation(len(members))
        drawn.extend(members[position] for position in order[:count])
    return np.sort(np.asarray(drawn, np.int64))


def images_per_class(labelled: LabelledImages) -> _Counts:
    """How many images each class has, `[C]`."""
    return np.bincount(labelled.labels, minlength=len(labelled.classes)).astype(np.int64)


def members_by_name(labelled: LabelledImages, label: int) -> list[int]:
    """Indices of a class's images, in an order that does not depend on how they are listed."""
    members: list[int] = np.flatnonzero(labelled.labels == label).tolist()
    return sorted(members, key=labelled.images.name)


def _shape(spec: str) -> tuple[Callable[[int, int], _Values], Callable[[_Values], _Counts]]:
    """The class sizes as a function of (n_0, C), and how they are made integers."""
    kind, _, text = spec.partition(":")
    try:
        parameter = float(text)
    except ValueError:
        raise BraddError(_not_understood(spec)) from None
    if kind == "exponential" and 1 <= parameter < np.inf:
        return lambda n_0, n_classes: _exponential(n_0, n_classes, parameter), _floor
    if kind == "pareto" and 0.1 <= parameter <= 1000:
        return lambda n_0, n_classes: _pareto(n_0, n_classes, parameter), _largest_remainders
    raise BraddError(_not_understood(spec))


def _not_understood(spec: str) -> str:
    kind, _, parameter = spec.partition(":")
    near = difflib.get_close_matches(kind.lower(), ("exponential", "pareto"), n=1)
    hint = f" Did you mean {near[0]}:{parameter or '...'}?" if near and near[0] != kind else ""
    return f"the shape {spec!r} is not understood.{hint} {_ACCEPTED}"


def _exponential(n_0: int, n_classes: int, ratio: float) -> _Values:
    position = np.arange(n_classes) / max(n_classes - 1, 1)
    return np.asarray(n_0 * ratio**-position, np.float64)


def _pareto(n_0: int, n_classes: int, alpha: float) -> _Values:
    n_min = max(1, round(n_0 * 5 / 1280))
    u = (10 * np.arange(n_classes) + 1) / (10 * n_classes)
    quantiles = u ** (-1 / alpha) - 1
    return np.asarray(n_min + (n_0 - n_min) * quantiles / quantiles[0], np.float64)


def _floor(values: _Values) -> _Counts:
    return np.floor(values + _ROUNDING_ERROR).astype(np.int64)


def _largest_remainders(values: _Values) -> _Counts:
    """Integers next to `values` whose total is the rounded total (Hamilton's apportionment)."""
    counts = _floor(values)
    missing = round(float(values.sum())) - int(counts.sum())
    by_remainder = np.argsort(counts - values, kind="stable")
    counts[by_remainder[:missing]] += 1
    return counts
