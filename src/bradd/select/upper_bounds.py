"""Cheap upper bounds of neighbour distances."""

from __future__ import annotations

import numpy as np

from bradd.select.exact_search import possible_error, product_rounding

__all__ = ["upper_bounds"]

# Pivots for N rows: this many times the square root of N, where the comparisons with the pivots
# cost about as much as those within their cells.
PIVOTS = 1.5
# Rows go on to the next level as long as they are this many times the number wanted.
ENOUGH = 8
# So few are compared with each other at once.
FEW_ROWS = 2048
ROWS_PER_BLOCK = 1024


def upper_bounds(
    base: np.ndarray, squared_lengths: np.ndarray, n: int, k: int, wanted: np.ndarray
) -> np.ndarray:
    """An upper bound of the distance of each row to its k-th nearest other.

    Rows in random order are gathered in cells around some of them, the pivots, and the k-th
    distance within its cell bounds a row's. Members of a clump that has no pivot are scattered over
    cells and keep a large bound, as outliers do: so the half of the rows with the largest bounds
    is gathered again around pivots of its own, and so on, until little more than the `n` rows with
    the largest bounds is left.

    Args:
        base: Rows in random order, float32 `[N, D]`.
        squared_lengths: Of the rows, `[N]`.
        n: How many rows of the largest distance are looked for.
        k: Which neighbour.
        wanted: Rows among which they are looked for, bool `[N]`.

    Returns:
        The bounds, float64 `[N]`.
    """
    bounds = _Bounds(base, squared_lengths, k)
    rows = np.arange(len(base))
    while len(rows) > max(ENOUGH * n, FEW_ROWS):
        bounds.lower_in_cells(rows)
        rows = rows[wanted[rows]]
        half = max(len(rows) // 2, min(len(rows), n))
        rows = np.sort(rows[np.argsort(-bounds.values[rows], kind="stable")[:half]])
    bounds.lower(rows)
    return bounds.values


class _Bounds:
    """Upper bounds that fall as rows are compared."""

    def __init__(self, base: np.ndarray, squared_lengths: np.ndarray, k: int) -> None:
        self.base = base
        self.squared_lengths = squared_lengths
        self.lengths = np.sqrt(squared_lengths, dtype=np.float64)
        self.k = k
        # No two rows are farther apart than their lengths together.
        self.values: np.ndarray = 1.001 * (self.lengths + self.lengths.max())

    def lower_in_cells(self, rows: np.ndarray) -> None:
        """Lower the bounds of rows by the distances within cells around the first of them."""
        count = min(int(PIVOTS * len(rows) ** 0.5), len(rows) // (4 * (self.k + 1)))
        cells = self._nearest_of(rows[: max(1, count)], rows)
        order = np.argsort(cells, kind="stable")
        ends = np.flatnonzero(np.diff(cells[order], append=-1)) + 1
        # A cell several times as large as the average is cut, to bound the work.
        largest = 4 * len(rows) // max(1, count)
        for cell in np.split(order, ends[:-1]):
            for start in range(0, len(cell), largest):
                self.lower(rows[cell[start : start + largest]])

    def lower(self, rows: np.ndarray) -> None:
        """Lower the bounds of rows by their k-th distance to each other."""
        if len(rows) <= self.k:
            return
        points = self.base[rows]
        for start in range(0, len(rows), ROWS_PER_BLOCK):
            part = rows[start : start + ROWS_PER_BLOCK]
            squared = points[start : start + ROWS_PER_BLOCK] @ points.T
            squared *= -2
            squared += self.squared_lengths[rows]
            # A row is at most once among its k + 1 nearest, so that k others are as near as the
            # last of them.
            squared.partition(self.k, axis=1)
            kth = np.maximum(squared[:, self.k] + self.squared_lengths[part], 0, dtype=np.float64)
            error = possible_error(
                self.lengths[part], np.sqrt(kth), product_rounding(points.shape[1])
            )
            self.values[part] = np.minimum(self.values[part], np.sqrt(kth + error))

    def _nearest_of(self, pivots: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Which pivot is nearest to each row, int64 `[len(rows)]`."""
        half_squares = self.squared_lengths[pivots] / 2
        transposed = np.ascontiguousarray(self.base[pivots].T)
        nearest = np.empty(len(rows), np.int64)
        for start in range(0, len(rows), ROWS_PER_BLOCK):
            closeness = self.base[rows[start : start + ROWS_PER_BLOCK]] @ transposed
            closeness -= half_squares
            nearest[start : start + ROWS_PER_BLOCK] = closeness.argmax(axis=1)
        return nearest
