"""The control: images chosen at random."""

from __future__ import annotations

import numpy as np

from bradd.seeds import random_generator
from bradd.select.selector import ScoreSelector, check_embeddings

__all__ = ["Uniform"]


class Uniform(ScoreSelector):
    """Every candidate with the same probability (the paper's Table 3c control)."""

    def score(self, embeddings: np.ndarray, seed: int = 0) -> np.ndarray:
        """A random order: each of 0 to N - 1 once."""
        rows = len(check_embeddings(embeddings))
        return random_generator(seed, "uniform selection").permutation(rows).astype(np.float64)
