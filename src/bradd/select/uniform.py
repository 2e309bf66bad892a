"""The control: images chosen at random."""

from __future__ import annotations

import numpy as np

from bradd.seeds import random_generator
from bradd.select.selector import Selection, Selector, check_embeddings, check_request, top

__all__ = ["Uniform"]


class Uniform(Selector):
    """Every candidate with the same probability (the paper's Table 3c control)."""

    def select(
        self, embeddings: np.ndarray, n: int, seed: int, candidates: np.ndarray | None = None
    ) -> Selection:
        """See `Selector.select`; the scores are the random numbers drawn."""
        rows = len(check_embeddings(embeddings))
        mask = check_request(rows, n, candidates)
        scores = random_generator(seed, "uniform selection").permutation(rows).astype(np.float64)
        return Selection(top(scores, n, mask), scores)
