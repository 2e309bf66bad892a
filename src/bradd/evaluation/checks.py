"""Checks of what evaluation is handed: a wrong array is an error here, not a wrong number later."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bradd.errors import BraddError

__all__ = ["checked_features", "checked_labels", "checked_pair"]


def checked_features(features: ArrayLike, name: str) -> NDArray[np.float32]:
    """Read features as finite float32 numbers.

    Args:
        features: [N, D] with N, D >= 1, a NumPy array or anything `np.asarray` reads, such as a
            detached tensor on the CPU.
        name: What the message calls them.

    Returns:
        [N, D] float32, row-major; the same memory where `features` is so already.

    Raises:
        BraddError: Not a matrix, empty, not numbers, or NaN or infinite (the first row is named).
    """
    try:
        # An entry beyond float32's range becomes infinite, and is reported below.
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(np.asarray(features), dtype=np.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BraddError(
            f"{name} cannot be read as float32 ({error}): give a NumPy array or a detached "
            "float32 tensor on the CPU."
        ) from error
    if np.ndim(features) != 2 or array.size == 0:
        raise BraddError(
            f"{name} must be a matrix with one row for each image, but its shape is "
            f"{tuple(np.shape(features))}."
        )
    finite_rows = np.isfinite(array).all(axis=1)
    if not finite_rows.all():
        raise BraddError(
            f"{name} has NaN or infinite values in {np.count_nonzero(~finite_rows)} of "
            f"{len(array)} rows, first in row {int(np.argmin(finite_rows))}: "
            "check that image and the encoder's weights."
        )
    return array


def checked_labels(
    labels: ArrayLike, name: str, length: int, num_classes: int | None = None
) -> NDArray[np.int64]:
    """Read class numbers, one for each of `length` images.

    Args:
        labels: [length] integers of at least 0.
        name: What the message calls them.
        length: How many there must be.
        num_classes: Each must be below this; None for no such bound.

    Returns:
        [length] int64.

    Raises:
        BraddError: Another length, not integers, or out of range (the first row is named).
    """
    array = np.asarray(labels)
    if array.shape != (length,):
        raise BraddError(
            f"{name} must be {length} class numbers, one for each image, but its shape is "
            f"{array.shape}."
        )
    if not np.issubdtype(array.dtype, np.integer):
        raise BraddError(f"{name} must be integer class numbers, but they are {array.dtype}.")
    outside = array < 0
    if num_classes is not None:
        outside |= array >= num_classes
    if outside.any():
        row = int(np.argmax(outside))
        upper = "" if num_classes is None else f" and below the number of classes, {num_classes}"
        raise BraddError(f"{name}[{row}] is {array[row]}: class numbers are at least 0{upper}.")
    return array.astype(np.int64)


def checked_pair(
    train: ArrayLike, test: ArrayLike
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`checked_features` of both, which must have equally many columns.

    Raises:
        BraddError: As `checked_features`, or the widths differ.
    """
    train_array = checked_features(train, "training features")
    test_array = checked_features(test, "test features")
    if train_array.shape[1] != test_array.shape[1]:
        raise BraddError(
            f"training features have {train_array.shape[1]} columns and test features "
            f"{test_array.shape[1]}: embed both with the same encoder."
        )
    return train_array, test_array
