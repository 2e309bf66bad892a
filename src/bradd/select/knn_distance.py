"""The paper's score: the distance to the k-th nearest neighbour."""

from __future__ import annotations

import numpy as np

from bradd.errors import BraddError
from bradd.select.neighbours import neighbour_distances
from bradd.select.selector import Selection, Selector, check_request, top

__all__ = ["KNNDistance"]


class KNNDistance(Selector):
    """The images farthest from their k-th nearest neighbour (Sun et al. 2022; the paper, k = 5).

    Distances are Euclidean between L2-normalised embeddings, to all rows, exact.

    Args:
        k: Which neighbour. A group of fewer than k + 1 like images counts as rare.
    """

    def __init__(self, k: int = 5) -> None:
        if k < 1:
            raise BraddError(f"selector.k is {k}: it must be at least 1.")
        self.k = k

    def select(
        self, embeddings: np.ndarray, n: int, seed: int, candidates: np.ndarray | None = None
    ) -> Selection:
        """See `Selector.select`; the seed is not used."""
        mask = check_request(len(embeddings), n, candidates)
        scores = neighbour_distances(embeddings, self.k)[:, -1]
        return Selection(top(scores, n, mask), scores)

    def minimum_images(self) -> int:
        """`k` neighbours and the image itself."""
        return self.k + 1
