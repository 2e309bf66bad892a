"""Exact distances to nearest neighbours."""

from __future__ import annotations

import faiss
import numpy as np

from bradd.errors import BraddError
from bradd.select.selector import check_embeddings

__all__ = ["neighbour_distances"]

# faiss finds candidates by |a|^2 + |b|^2 - 2ab, whose rounding can swap near neighbours: this many
# more than asked for are taken and their distances computed anew, by differences.
EXTRA_CANDIDATES = 16
ROWS_PER_BLOCK = 4096


def neighbour_distances(embeddings: np.ndarray, k: int, *, normalise: bool = True) -> np.ndarray:
    """Distance of every row to each of its `k` nearest other rows, exact.

    A row is left out of its own neighbours by its number, never by distance 0, so a duplicate of
    an image is its neighbour. Memory beyond the embeddings is a few copies of them.

    Args:
        embeddings: `[N, D]`.
        k: Number of neighbours, at least 1.
        normalise: Scale each row to unit length first (default). A row of zeros stays zero.

    Returns:
        Euclidean distances in ascending order, float64 `[N, k]`.

    Raises:
        BraddError: `k` below 1 or not below N, or embeddings that are not finite.
    """
    points = check_embeddings(embeddings)
    rows = len(points)
    if k < 1 or rows < k + 1:
        raise BraddError(
            f"The distance to the {k}. nearest neighbour needs k >= 1 and at least k + 1 images; "
            f"there are {rows}. Use more images or a smaller k."
        )
    points = _centred(points, normalise)
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(points)
    found = min(rows, k + 1 + EXTRA_CANDIDATES)
    distances = np.empty((rows, k), dtype=np.float64)
    for start in range(0, rows, ROWS_PER_BLOCK):
        block = np.arange(start, min(start + ROWS_PER_BLOCK, rows))
        _, neighbours = index.search(points[block], found)
        distances[block] = _exact(points, block, neighbours)[:, :k]
    return distances


def _centred(points: np.ndarray, normalise: bool) -> np.ndarray:
    """Rows of unit length, less their mean: the mean shifts no distance but costs precision."""
    exact = points.astype(np.float64)
    if normalise:
        lengths = np.linalg.norm(exact, axis=1, keepdims=True)
        exact = exact / np.where(lengths > 0, lengths, 1.0)
    return np.ascontiguousarray(exact - exact.mean(axis=0), dtype=np.float32)


def _exact(points: np.ndarray, block: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Sorted distances of the block's rows to their candidates, the rows themselves last."""
    distances = np.empty(neighbours.shape, dtype=np.float64)
    for column in range(neighbours.shape[1]):
        difference = points[block] - points[neighbours[:, column]]
        distances[:, column] = np.linalg.norm(difference.astype(np.float64), axis=1)
    distances[neighbours == block[:, None]] = np.inf
    return np.sort(distances, axis=1)
