"""Exact neighbours within tight groups of rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bradd.select.exact_search import (
    FLOAT32_ROUNDING,
    UNDERFLOW,
    ExactSearch,
    FaissCandidates,
    lengths,
    product_rounding,
    squared_differences,
)

__all__ = ["search_locally"]

# A group is as wide as lets gaps of this part of a squared distance be proven within it.
PROVABLE_GAP = 0.02
# To find a group costs about as much as to search so many rows one by one: smaller groups do not
# pay. So many rows may be spent on looking whether there are any groups.
ROWS_PER_GROUP = 32
ROWS_TO_TRY = 256
CANDIDATES = 8
ROWS_PER_BLOCK = 1024


class _Group(NamedTuple):
    """Rows of like limits around a row of the base.

    Attributes:
        rows: Which of the waiting rows, bool `[Q]`.
        places: Of the base, all that any of them can have within its limit, ascending.
        centre: A row of the base, `[D]`.
    """

    rows: np.ndarray
    places: np.ndarray
    centre: np.ndarray


def search_locally(
    exact: ExactSearch, unsure: np.ndarray, distances: np.ndarray, close: np.ndarray
) -> np.ndarray:
    """Search again for rows whose neighbours are far nearer than the rows are long.

    The rounding of a product grows with the rows' length, which is that of their distance from the
    mean of all. So the rows of a tight group are searched about a centre of their own. By the
    triangle inequality no row far from the centre is a neighbour, and it is left out.

    Args:
        exact: The search among all rows.
        unsure: Numbers of the rows to search for, `[Q]`.
        distances: Of all rows, where no k-th is too small; those found are written here, `[N, k]`.
        close: For each row a place in the base within its k-th distance, `[N]`.

    Returns:
        Numbers of the rows that are in no group worth the search.
    """
    waiting = unsure
    left = [unsure[:0]]
    groups, grouped = 0, 0
    k = distances.shape[1]
    while len(waiting) and ROWS_PER_GROUP * groups <= grouped + ROWS_TO_TRY:
        limits = distances[waiting, -1]
        group = _group_around(
            exact, int(np.argsort(limits)[len(limits) // 2]), limits, close[waiting]
        )
        numbers = waiting[group.rows]
        groups += 1
        if len(numbers) >= ROWS_PER_GROUP:
            grouped += len(numbers)
            local = _LocalSearch(exact, group.places, group.centre)
            distances[numbers] = local.distances(numbers, k, limits[group.rows])
        else:
            left.append(numbers)
        waiting = waiting[~group.rows]
    return np.concatenate([*left, waiting])


def _group_around(exact: ExactSearch, chosen: int, limits: np.ndarray, close: np.ndarray) -> _Group:
    """The rows around the one chosen, given by their limits and places close to them, `[Q]`."""
    centre = exact.base[close[chosen]]
    everywhere = np.arange(len(exact.base))
    squared = squared_differences(centre[None], exact.base, np.zeros_like(everywhere), everywhere)
    from_centre = np.sqrt(squared, dtype=np.float64)
    rounding = product_rounding(len(centre))
    # The possible error of rows this long is the provable gap.
    width = limits[chosen] * max(1.0, ((PROVABLE_GAP / (2 * rounding)) ** 0.5 - 1) / 2)
    rows = (from_centre[close] <= width) & (limits <= 2 * limits[chosen])
    rows &= limits >= limits[chosen] / 2
    rows[chosen] = True
    # From the centre to the place close to a row, to the row, to its neighbour.
    reach = float((from_centre[close[rows]] + 2 * limits[rows]).max())
    length = float(lengths(centre[None])[0])
    # Twice: what was measured to the places close by is rounded, and what is compared with it.
    reach = reach * (1 + 2 * rounding) + 8 * FLOAT32_ROUNDING * (2 * length + reach)
    return _Group(rows, np.flatnonzero(squared <= reach**2 + UNDERFLOW), centre)


class _LocalSearch(ExactSearch):
    """A search among some places of another's base, about a centre near them.

    Its distances are the other's to the last bit: only what is compared by products is centred.
    """

    def __init__(self, whole: ExactSearch, places: np.ndarray, centre: np.ndarray) -> None:
        super().__init__(whole.rows.about(centre.astype(np.float64)), whole.numbers[places])
        self.whole = whole
        self.places = places

    def distances(self, numbers: np.ndarray, k: int, limits: np.ndarray) -> np.ndarray:
        """Distances of rows to their `k` nearest others, all within the limits, `[Q, k]`."""
        distances = np.empty((len(numbers), k))
        sure = np.empty(len(numbers), dtype=bool)
        search = FaissCandidates(self.base)
        for start in range(0, len(numbers), ROWS_PER_BLOCK):
            part = slice(start, start + ROWS_PER_BLOCK)
            found = self.nearest(numbers[part], k, search, CANDIDATES)
            distances[part], sure[part] = found.distances, found.sure
        limits = np.minimum(limits, distances[:, -1])
        distances[~sure] = self.within(numbers[~sure], k, limits[~sure])
        return distances

    def from_squares(
        self,
        numbers: np.ndarray,
        queries: np.ndarray,
        first: np.ndarray,
        second: np.ndarray,
        squared: np.ndarray,
    ) -> np.ndarray:
        """See `ExactSearch.from_squares`."""
        places = self.places[second]
        queries = self.whole.queries(numbers)
        squared = squared_differences(queries, self.whole.base, first, places)
        return self.whole.from_squares(numbers, queries, first, places, squared)
