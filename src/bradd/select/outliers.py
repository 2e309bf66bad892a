"""The rows farthest from their neighbours, without the distances of all rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bradd.seeds import random_generator
from bradd.select.centred_rows import CentredRows
from bradd.select.exact_search import (
    ExactSearch,
    lengths,
    possible_error,
    product_rounding,
)
from bradd.select.neighbours import check_neighbours, neighbour_distances_of
from bradd.select.selector import SCORE_DECIMALS, check_embeddings, check_request, top
from bradd.select.upper_bounds import upper_bounds

if TYPE_CHECKING:
    import torch

__all__ = ["Outliers", "top_outliers"]

# Below this many rows, or where more than this share of them is asked for, all distances are as
# quick.
FEW_ROWS = 5_000
LARGE_SHARE = 0.1
# Scores that are equal in their decimals are ordered by row, so rows this much below are needed.
TIE = 1.1 * 10.0**-SCORE_DECIMALS


@dataclass(frozen=True)
class Outliers:
    """The rows of the largest k-th neighbour distance.

    Attributes:
        indices: The rows, the largest distance first, int64 `[n]`.
        distances: Their distances, float64 `[n]`.
        verified: How many rows' distances to all others were computed to know that.
    """

    indices: np.ndarray
    distances: np.ndarray
    verified: int


def top_outliers(
    embeddings: np.ndarray,
    n: int,
    k: int,
    *,
    candidates: np.ndarray | None = None,
    normalise: bool = True,
    device: str | torch.device | None = None,
) -> Outliers:
    """The `n` rows whose k-th neighbour is farthest: exactly those, for a fraction of the work.

    The k-th distance to a part of the rows is never below that to all. So every row gets a cheap
    upper bound; rows are compared with all others in decreasing order of it, each given up once it
    is known nearer than the n-th best; and when the n-th best exceeds the next bound, no other row
    can be among the first n (Ramaswamy et al., 2000; Bay and Schwabacher, 2003). Where that saves
    nothing (few rows, many of them wanted, tight groups far apart, or a GPU), all distances are
    computed.

    Args:
        embeddings: Every row counts as a neighbour, `[N, D]`.
        n: How many rows to find.
        k: Which neighbour, at least 1.
        candidates: Which rows may be found, bool `[N]`. Default: all.
        normalise: Scale each row to unit length first (default).
        device: A torch device to search on, for example `"cuda"`. Default: the processor.

    Returns:
        The rows that `top` would choose by `neighbour_distances(embeddings, k)[:, k - 1]`.

    Raises:
        BraddError: `k` below 1 or not below N, fewer than `n` candidates, or embeddings that are
            not finite.
    """
    embeddings = check_embeddings(embeddings)
    mask = check_request(len(embeddings), n, candidates, "n")
    check_neighbours(k, len(embeddings))
    few = len(embeddings) < FEW_ROWS or n > LARGE_SHARE * len(embeddings)
    rows = CentredRows.of(embeddings, normalise)
    if few or (device is not None and str(device) != "cpu"):
        scores = neighbour_distances_of(rows, k, device=device)[:, -1]
        verified = np.ones(len(embeddings), dtype=bool)
    else:
        scores = _scores_of_the_first(rows, n, k, mask) * rows.unit
        verified = ~np.isnan(scores)
    indices = top(scores, n, mask & verified)
    return Outliers(indices, scores[indices], int(verified.sum()))


def _scores_of_the_first(rows: CentredRows, n: int, k: int, mask: np.ndarray) -> np.ndarray:
    """k-th distances of all rows that can be among the first `n`, NaN for the others, `[N]`."""
    # In a random order every part of the base is a random sample. The result does not depend on it.
    order = random_generator(0, "order of comparison").permutation(len(rows))
    search = ExactSearch(rows, order)
    bounds = np.empty(len(rows))
    bounds[order] = upper_bounds(search.base, search.squared_lengths, n, k, mask[order])
    bounds[~mask] = -np.inf
    waiting = np.argsort(-bounds, kind="stable")
    if _blurred(search, bounds[waiting[:n]], waiting[:n]) > LARGE_SHARE:
        return neighbour_distances_of(rows, k)[:, -1] / rows.unit
    scores = np.full(len(rows), np.nan)
    floor = -np.inf
    batch = n
    following = max(64, n // 4)
    while len(waiting) and bounds[waiting[0]] >= floor:
        numbers, waiting = waiting[:batch], waiting[batch:]
        numbers = numbers[bounds[numbers] >= floor]
        scores[numbers] = search.within(numbers, k, bounds[numbers], floor)[:, -1]
        known = scores[~np.isnan(scores)]
        floor = np.partition(known, -n)[-n] - TIE / rows.unit
        # Small batches at first, while each raises the floor much: fewer rows searched in vain.
        batch, following = following, min(2 * following, 1024)
    return scores


def _blurred(search: ExactSearch, bounds: np.ndarray, numbers: np.ndarray) -> float:
    """The share of rows whose bounds are mostly rounding, as in tight groups far apart."""
    queries = search.queries(numbers)
    error = possible_error(lengths(queries), bounds, product_rounding(queries.shape[1]))
    return float((error > bounds**2 / 2).mean())
