"""Images in sparser surroundings than their neighbours."""

from __future__ import annotations

import numpy as np

from bradd.errors import BraddError
from bradd.select.selector import ScoreSelector, unit_rows

__all__ = ["LocalDensity"]


class LocalDensity(ScoreSelector):
    """The local outlier factor (Breunig et al., 2000), by scikit-learn.

    How many times denser it is around an image's neighbours than around the image. It finds what
    is odd among its like, wherever that lies, and so not what is rare; the time grows with N².

    Args:
        k: Number of neighbours.
    """

    def __init__(self, k: int = 20) -> None:
        if k < 1:
            raise BraddError(f"selector.k is {k}: it must be at least 1.")
        self.k = k

    def score(self, embeddings: np.ndarray, seed: int = 0) -> np.ndarray:
        """The local outlier factor, about 1 inside a cluster; the seed is not used."""
        points = unit_rows(embeddings)
        if len(points) < self.minimum_images():
            raise BraddError(
                f"selector.k is {self.k}, but there are {len(points)} images: it must be below "
                "that."
            )
        # Only here: scikit-learn takes a second to import.
        from sklearn.neighbors import LocalOutlierFactor

        factor = LocalOutlierFactor(n_neighbors=self.k, novelty=False).fit(points)
        scores: np.ndarray = -factor.negative_outlier_factor_.astype(np.float64)
        return scores

    def minimum_images(self) -> int:
        """`k` neighbours and the image itself."""
        return self.k + 1
