"""Pictures of a few colours, by which a local change is seen that a perceptual hash is blind to."""

from __future__ import annotations

import numpy as np

__all__ = ["CELLS", "SAME", "largest_difference", "thumbnails"]

CELLS = 9
"""Cells along a side: an object of an eighth of the side fills a third of one wherever it is."""

SAME = 24
"""Thumbnails of one picture differ by no more levels (of 255) than this, in any cell and colour.

Where images have only 32 pixels a side, 95 % of those re-encoded as JPEG of quality 75 differ by 5
levels and less, of quality 50 by 26, brightened by a tenth by 15; larger images differ by less. An
object whose colour differs from what it covers by 75 levels is seen from an eighth of the side on
wherever it is, most of half that contrast are.
"""

_ROWS_PER_BLOCK = 4096


def thumbnails(images: np.ndarray) -> np.ndarray:
    """The mean colour of each cell of a grid of 9 x 9, in which pixels count by their area.

    Computed in whole numbers, so it does not depend on how images are batched.

    Args:
        images: 8-bit RGB `[B, 3, H, W]`, of any size.

    Returns:
        Rounded, uint8 `[B, 3, 9, 9]`.
    """
    _, _, height, width = images.shape
    rows, columns = _shares(height), _shares(width)
    found = [np.empty((0, 3, CELLS, CELLS), dtype=np.uint8)]
    for image in images:  # one at a time: it stays in the processor's cache
        sums = np.rint(rows @ image.astype(np.float64) @ columns.T).astype(np.int64)
        found.append(((sums + height * width // 2) // (height * width)).astype(np.uint8)[None])
    return np.concatenate(found)


def largest_difference(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """By how much the cell and colour that differs most does, each thumbnail less its mean.

    Less its mean, since a brighter copy is a copy.

    Args:
        one: A thumbnail, uint8 `[3, 9, 9]`.
        others: uint8 `[M, 3, 9, 9]`.

    Returns:
        Levels, float64 `[M]`.
    """
    own = _less_mean(one[None])
    largest = [np.empty(0)]
    for start in range(0, len(others), _ROWS_PER_BLOCK):
        difference = np.abs(_less_mean(others[start : start + _ROWS_PER_BLOCK]) - own)
        largest.append(difference.max(axis=1) / own.size)
    return np.concatenate(largest)


def _less_mean(images: np.ndarray) -> np.ndarray:
    """Times the number of values, so that it is a whole number, int32 `[M, 3 * 9 * 9]`."""
    values = images.reshape(len(images), -1).astype(np.int32)
    less_mean: np.ndarray = values.shape[1] * values - values.sum(axis=1, keepdims=True)
    return less_mean


def _shares(length: int) -> np.ndarray:
    """How much of each cell lies in each pixel; a whole number, `length` in sum. `[9, length]`."""
    cell = np.arange(CELLS)[:, None] * length
    pixel = np.arange(length) * CELLS
    overlap = np.minimum(cell + length, pixel + CELLS) - np.maximum(cell, pixel)
    shares: np.ndarray = np.maximum(overlap, 0).astype(np.float64)
    return shares
