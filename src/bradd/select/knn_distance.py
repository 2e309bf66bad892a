"""The paper's score: the distance to the k-th nearest neighbour."""

from __future__ import annotations

import numpy as np

from bradd.errors import BraddError
from bradd.select.neighbours import neighbour_distances
from bradd.select.selector import ScoreSelector

__all__ = ["KNNDistance"]


class KNNDistance(ScoreSelector):
    """Isolated images: those farthest from their k-th nearest neighbour (the paper, k = 5).

    As an out-of-distribution score: Sun et al. (2022). Distances are Euclidean between
    L2-normalised embeddings, to all rows, exact. Groups of more than k like images are not
    isolated, however rare they are; see `Rare`.

    Args:
        k: Which neighbour. A group of fewer than k + 1 like images counts as isolated.
    """

    def __init__(self, k: int = 5) -> None:
        if k < 1:
            raise BraddError(f"selector.k is {k}: it must be at least 1.")
        self.k = k

    def score(self, embeddings: np.ndarray, seed: int = 0) -> np.ndarray:
        """The distance to the k-th nearest other row; the seed is not used."""
        return neighbour_distances(embeddings, self.k, device=self.device)[:, -1]

    def minimum_images(self) -> int:
        """`k` neighbours and the image itself."""
        return self.k + 1
