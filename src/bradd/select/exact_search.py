"""Nearest neighbours that are proven to be the nearest."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import faiss
import numpy as np

from bradd.select.centred_rows import CentredRows, blocks

__all__ = [
    "FLOAT32_ROUNDING",
    "UNDERFLOW",
    "CandidateSearch",
    "Candidates",
    "ExactSearch",
    "FaissCandidates",
    "Found",
    "possible_error",
    "product_rounding",
    "squared_differences",
]

FLOAT32_ROUNDING = 2.0**-24
# Where rows differ by less than this part of their length, the rounding of the rows themselves to
# float32 would show in the sixth digit of their distance.
NEAR = 1 / 16
# Squares of less than this (of rows that are about 1 long) may be lost below float32's range.
UNDERFLOW = 1e-30
QUERIES_PER_BLOCK = 512
FIRST_BASE_BLOCK = 1024
BASE_BLOCK = 8192


class Candidates(NamedTuple):
    """What a fast search found for Q queries, F rows each.

    Attributes:
        places: Where in the base, `[Q, F]`.
        squared: Squared distances, by differences in float32, `[Q, F]`.
        outside: The fast search's squared distance of the farthest row found, `[Q]`; no row that it
            left out seemed nearer.
        rounding: The relative rounding error of the fast search's squared distances.
    """

    places: np.ndarray
    squared: np.ndarray
    outside: np.ndarray
    rounding: float


class Found(NamedTuple):
    """What is known of Q queries.

    Attributes:
        distances: Ascending, `[Q, k]`.
        sure: Of which queries they are proven, `[Q]`.
        close: For each query a place in the base that is no farther than its k-th distance, `[Q]`.
    """

    distances: np.ndarray
    sure: np.ndarray
    close: np.ndarray


class CandidateSearch(Protocol):
    """A fast search, whose squared distances may be rounded."""

    def __call__(self, queries: np.ndarray, found: int) -> Candidates:
        """The rows of the base that seem nearest to each query."""


class FaissCandidates:
    """faiss' exhaustive search, which runs at the processor's matrix product peak.

    Args:
        base: float32 `[R, D]`.
    """

    def __init__(self, base: np.ndarray) -> None:
        self.base = base

    def __call__(self, queries: np.ndarray, found: int) -> Candidates:
        """See `CandidateSearch`."""
        approximate, places = faiss.knn(queries, self.base, found)
        first = np.repeat(np.arange(len(queries)), found)
        squared = squared_differences(queries, self.base, first, places.ravel())
        return Candidates(
            places,
            squared.reshape(places.shape),
            approximate[:, -1],
            product_rounding(self.base.shape[1]),
        )


class ExactSearch:
    """Exact distances from rows to their nearest others in a base of rows.

    |a|² + |b|² - 2ab finds candidates at the speed of a matrix product, but rounds: among near
    duplicates it orders rows by its errors. So distances are those of differences, and a row is
    done only when the possible error cannot have hidden a nearer one.

    Args:
        rows: All rows.
        numbers: Which of them form the base, in this order, int64 `[R]`. Default: all.
    """

    def __init__(self, rows: CentredRows, numbers: np.ndarray | None = None) -> None:
        self.rows = rows
        self.holds_all = numbers is None
        self.numbers = np.arange(len(rows)) if numbers is None else numbers
        self.base = rows.single(self.numbers)
        self.squared_lengths = np.einsum("nd,nd->n", self.base, self.base)

    def queries(self, numbers: np.ndarray) -> np.ndarray:
        """The rows of these numbers as the base has them, float32 `[Q, D]`."""
        return self.base[numbers] if self.holds_all else self.rows.single(numbers)

    def nearest(self, numbers: np.ndarray, k: int, search: CandidateSearch, extra: int) -> Found:
        """Distances of rows to their `k` nearest others among those that `search` finds.

        Args:
            numbers: The rows' numbers `[Q]`.
            k: How many neighbours; the base holds more than that.
            search: Finds candidates in the base.
            extra: How many candidates more than needed to take.

        Returns:
            The distances, and for which rows no other row can be nearer.
        """
        queries = self.queries(numbers)
        found = min(len(self.base), k + 1 + extra)
        places, squared, outside, rounding = search(queries, found)
        # A row is at most once among its candidates, so that k others are as near as the (k + 1)th.
        kth_squared = np.partition(squared, k, axis=1)[:, k]
        long = lengths(queries)
        limits = rounded_up(np.sqrt(kth_squared + UNDERFLOW, dtype=np.float64), long, rounding)
        limits = rounded_up(limits, long, rounding) ** 2 + UNDERFLOW
        first, second = np.nonzero(squared <= limits[:, None])
        distances = np.full(places.shape, np.inf)
        distances[first, second] = self.from_squares(
            numbers, queries, first, places[first, second], squared[first, second]
        )
        close = places[np.arange(len(places)), distances.argmin(axis=1)]
        distances = np.sort(distances, axis=1)[:, :k]
        kth = distances[:, -1]
        error = possible_error(long, kth, rounding)
        sure = (kth == 0) | (outside - error >= kth**2) | (found == len(self.base))
        return Found(distances, sure, close)

    def within(
        self, numbers: np.ndarray, k: int, limits: np.ndarray, floor: float = -np.inf
    ) -> np.ndarray:
        """Distances of rows to their `k` nearest others, given that the k-th is within a limit.

        Blocks of the base are compared one after the other, and a row is given up as soon as `k`
        others are known nearer than `floor` (Bay and Schwabacher, 2003).

        Args:
            numbers: The rows' numbers `[Q]`.
            k: How many neighbours.
            limits: No k-th distance is larger, `[Q]`.
            floor: A k-th distance below it is not wanted.

        Returns:
            Ascending float64 `[Q, k]`; a row that was given up has NaN.
        """
        distances = np.empty((len(numbers), k))
        for start in range(0, len(numbers), QUERIES_PER_BLOCK):
            part = slice(start, start + QUERIES_PER_BLOCK)
            distances[part] = self._block_within(numbers[part], k, limits[part], floor)
        return distances

    def _block_within(
        self, numbers: np.ndarray, k: int, limits: np.ndarray, floor: float
    ) -> np.ndarray:
        queries = self.queries(numbers)
        best = np.full((len(queries), k), np.inf)
        limits = limits.copy()
        wanted = np.arange(len(queries))
        start, size = 0, FIRST_BASE_BLOCK
        while start < len(self.base) and len(wanted):
            some, block = queries[wanted], slice(start, start + size)
            first, second, squared = self._pairs_within(some, limits[wanted], block)
            found = self.from_squares(numbers[wanted], some, first, second, squared)
            best[wanted] = smallest(best[wanted], first, found)
            limits[wanted] = np.minimum(limits[wanted], best[wanted, -1])
            wanted = wanted[(limits[wanted] >= floor) & (limits[wanted] > 0)]
            start, size = start + size, min(2 * size, BASE_BLOCK)
        best[limits < floor] = np.nan
        return best

    def _pairs_within(
        self, queries: np.ndarray, limits: np.ndarray, block: slice
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pairs (query, place in a block of the base) that may be within the query's limit.

        With their squared distances by differences in float32.
        """
        # -(squared distance - |a|²) / 2, so that one subtraction is all that a product needs.
        closeness = queries @ self.base[block].T
        closeness -= self.squared_lengths[block] / 2
        long = lengths(queries)
        rounding = product_rounding(queries.shape[1])
        reach = limits**2 + possible_error(long, limits, rounding)
        lowest = np.nextafter(((long**2 - reach) / 2).astype(np.float32), np.float32(-np.inf))
        first, second = np.nonzero(closeness >= lowest[:, None])
        second += block.start
        squared = squared_differences(queries, self.base, first, second)
        kept = np.flatnonzero(
            squared <= (rounded_up(limits, long, rounding) ** 2 + UNDERFLOW)[first]
        )
        return first[kept], second[kept], squared[kept]

    def from_squares(
        self,
        numbers: np.ndarray,
        queries: np.ndarray,
        first: np.ndarray,
        second: np.ndarray,
        squared: np.ndarray,
    ) -> np.ndarray:
        """Distances of pairs (query, place in the base), infinite from a row to itself."""
        distances: np.ndarray = np.sqrt(squared, dtype=np.float64)
        one, other = numbers[first], self.numbers[second]
        distances[one == other] = np.inf
        near = np.flatnonzero(distances <= NEAR * lengths(queries)[first])
        for part in blocks(len(near), self.base.shape[1]):
            pairs = near[part]
            distances[pairs] = lengths(self.rows.differences(one[pairs], other[pairs]))
        return distances


def product_rounding(width: int) -> float:
    """Relative rounding error of |a|² + |b|² - 2ab in float32, in whatever order it is summed.

    Higham (2002), section 3.1, plus a few roundings for the terms' sum and the rows themselves.
    """
    return (width + 8) * FLOAT32_ROUNDING


def possible_error(row_lengths: np.ndarray, distances: np.ndarray, rounding: float) -> np.ndarray:
    """By how much rounding can change a squared distance |a|² + |b|² - 2ab.

    The error is at most `rounding` (|a| + |b|)², and a row b within a distance r of a is at most
    |a| + r long; longer ones cannot be the nearer. Doubled, as it is itself computed from rounded
    values.
    """
    error: np.ndarray = 2 * rounding * (2 * row_lengths + distances) ** 2 + UNDERFLOW
    return error


def rounded_up(distances: np.ndarray, row_lengths: np.ndarray, rounding: float) -> np.ndarray:
    """What a distance by differences in float32 can seem, or be that seems so: at most this.

    Differences are rounded too: the rows to float32, and their sum.
    """
    above: np.ndarray = distances * (1 + rounding)
    above += 4 * FLOAT32_ROUNDING * (2 * row_lengths + distances)
    return above


def lengths(rows: np.ndarray) -> np.ndarray:
    """Euclidean length of each row, float64 `[B]`."""
    euclidean: np.ndarray = np.sqrt(np.einsum("nd,nd->n", rows, rows), dtype=np.float64)
    return euclidean


def squared_differences(
    one: np.ndarray, other: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """|one[first] - other[second]|² of pairs of float32 rows, float32 `[P]`.

    The result for a pair does not depend on the other pairs, nor on which row is the first.
    """
    first = np.ascontiguousarray(first, np.int64)
    second = np.ascontiguousarray(second, np.int64)
    squared = np.empty(len(first), np.float32)
    pointers = [faiss.swig_ptr(array) for array in (one, first, other, second, squared)]
    faiss.pairwise_indexed_L2sqr(one.shape[1], len(first), *pointers)  # type: ignore[attr-defined]
    return squared


def smallest(best: np.ndarray, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The smallest values of each row, old `[Q, k]` and new: `values[i]` in row `rows[i]`."""
    order = np.lexsort((values, rows))
    rows, values = rows[order], values[order]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    k = best.shape[1]
    added = np.full_like(best, np.inf)
    added[rows[rank < k], rank[rank < k]] = values[rank < k]
    merged: np.ndarray = np.sort(np.concatenate([best, added], axis=1), axis=1)[:, :k]
    return merged
