"""Exact distances to nearest neighbours."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bradd.errors import BraddError
from bradd.select.centred_rows import CentredRows
from bradd.select.exact_search import CandidateSearch, ExactSearch, FaissCandidates
from bradd.select.local_search import search_locally

if TYPE_CHECKING:
    import torch

__all__ = ["neighbour_distances", "neighbour_distances_of"]

# Large blocks keep several threads busy. The products of one with 1024 rows of the base, as faiss
# makes them, shall take no more than a twelfth of the embeddings' memory.
ROWS_PER_BLOCK = (1024, 4096)


class _Pass(NamedTuple):
    """One search for candidates, and how many more than needed it takes."""

    search: CandidateSearch
    extra: int


class _Plan(NamedTuple):
    """Passes for the rows left unproven, before and after tight groups are searched locally."""

    first: list[_Pass]
    last: list[_Pass]


def neighbour_distances(
    embeddings: np.ndarray,
    k: int,
    *,
    normalise: bool = True,
    reference: np.ndarray | None = None,
    device: str | torch.device | None = None,
) -> np.ndarray:
    """Distance of every row to each of its `k` nearest other rows, exact.

    Candidates come from a matrix product and their distances from differences; where the product's
    rounding may have hidden a nearer row, it is searched for again. A row is left out of its own
    neighbours by its number, never by distance 0, so a duplicate of an image is its neighbour.
    Memory beyond the embeddings: one float32 copy of the rows that are searched, and blocks.

    Args:
        embeddings: `[N, D]`.
        k: Number of neighbours, at least 1.
        normalise: Scale each row to unit length first (default). A row of zeros stays zero, and a
            warning is logged.
        reference: Numbers of the rows that may be neighbours, distinct, `[R]`. Default: all.
        device: A torch device to search on, for example `"cuda"`. Default: the processor.

    Returns:
        Euclidean distances in ascending order, float64 `[N, k]`.

    Raises:
        BraddError: `k` below 1 or not below the number of rows searched, or embeddings that are
            not finite.
        ValueError: Reference numbers that are no rows, or not distinct.
    """
    rows = CentredRows.of(embeddings, normalise)
    return neighbour_distances_of(rows, k, reference, device)


def neighbour_distances_of(
    rows: CentredRows,
    k: int,
    reference: np.ndarray | None = None,
    device: str | torch.device | None = None,
) -> np.ndarray:
    """`neighbour_distances` of rows that are prepared."""
    numbers = None if reference is None else check_reference(reference, len(rows))
    check_neighbours(k, len(rows) if numbers is None else len(numbers))
    exact = ExactSearch(rows, numbers)
    at_once = int(np.clip(rows.points.nbytes // (12 * 1024 * 4), *ROWS_PER_BLOCK))
    distances = np.empty((len(rows), k))
    close = np.empty(len(rows), np.int64)

    def unproven(unsure: np.ndarray, passes: list[_Pass]) -> np.ndarray:
        left = [unsure[:0]]
        for start in range(0, len(unsure), at_once):
            block = unsure[start : start + at_once]
            for search, extra in passes:
                found = exact.nearest(block, k, search, extra)
                distances[block], close[block] = found.distances, found.close
                block = block[~found.sure]
                if not len(block):
                    break
            left.append(block)
        return np.concatenate(left)

    plan = _plan(exact.base, device)
    unsure = unproven(np.arange(len(rows)), plan.first)
    unsure = search_locally(exact, unsure, distances, close)
    unsure = unproven(unsure, plan.last)
    distances[unsure] = exact.within(unsure, k, distances[unsure, -1])
    return distances * rows.unit


def check_neighbours(k: int, rows: int) -> None:
    """Refuse a number of neighbours that `rows` rows do not have.

    Raises:
        BraddError: `k` below 1 or not below `rows`.
    """
    if k < 1 or rows < k + 1:
        raise BraddError(
            f"The distance to the {k}. nearest neighbour needs k >= 1 and at least k + 1 images; "
            f"there are {rows}. Use more images or a smaller k."
        )


def check_reference(reference: np.ndarray, rows: int) -> np.ndarray:
    """Return the reference's row numbers as int64 `[R]`.

    Raises:
        ValueError: Not distinct integers from 0 to `rows` - 1.
    """
    numbers = np.asarray(reference)
    if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.integer):
        raise ValueError("reference must be a list of row numbers.")
    if len(numbers) and (numbers.min() < 0 or numbers.max() >= rows):
        raise ValueError(f"reference holds row numbers outside 0 to {rows - 1}.")
    if len(np.unique(numbers)) < len(numbers):
        raise ValueError("reference holds a row number twice.")
    return numbers.astype(np.int64)


def _plan(base: np.ndarray, device: str | torch.device | None) -> _Plan:
    if device is None or str(device) == "cpu":
        search = FaissCandidates(base)
        return _Plan([_Pass(search, 8)], [_Pass(search, 128)])
    # Imported here because torch takes seconds to import and the processor's path needs none.
    from bradd.select.device_candidates import DeviceCandidates

    on_device = DeviceCandidates(base, device)
    return _Plan([_Pass(on_device, 32), _Pass(partial(on_device, precision="highest"), 256)], [])
