"""Images of a band of scores, spread out."""

from __future__ import annotations

import numpy as np

from bradd.errors import BraddError
from bradd.select.rare import Rare
from bradd.select.selector import ScoreSelector, Selection, check_request, unit_rows

__all__ = ["Band"]


class Band(ScoreSelector):
    """Images whose score is high but not highest, as unlike each other as can be.

    Of the candidates whose score lies between two quantiles, the one of the highest score, and then
    ever the one farthest from those chosen (farthest-point sampling: Gonzalez, 1985; Euclidean
    between L2-normalised embeddings).

    Args:
        selector: Gives the scores. Default: `Rare()`.
        low: Quantile of the candidates' scores where the band begins, from 0.
        high: Quantile where it ends, up to 1.
    """

    def __init__(
        self, selector: ScoreSelector | None = None, low: float = 0.9, high: float = 0.99
    ) -> None:
        if not 0 <= low < high <= 1:
            raise BraddError(
                f"selector.low is {low} and selector.high is {high}: they must be in order, from "
                "0 to 1."
            )
        self.selector = Rare() if selector is None else selector
        self.low = low
        self.high = high

    def score(self, embeddings: np.ndarray, seed: int = 0) -> np.ndarray:
        """The inner selector's score."""
        self.selector.device = self.device
        return self.selector.score(embeddings, seed)

    def select(
        self, embeddings: np.ndarray, n: int, seed: int, candidates: np.ndarray | None = None
    ) -> Selection:
        """See `Selector.select`; the order is that of the sampling, and the signal the inner one.

        Raises:
            BraddError: There are fewer than `n` candidates in the band.
        """
        mask = check_request(len(embeddings), n, candidates)
        self.selector.device = self.device
        inner = self.selector.select(embeddings, n, seed, mask)
        low, high = np.quantile(inner.scores[mask], [self.low, self.high])
        band = np.flatnonzero(mask & (low <= inner.scores) & (inner.scores <= high))
        if len(band) < n:
            raise BraddError(
                f"n_anchors is {n}, but {len(band)} of {mask.sum()} images lie between the "
                f"quantiles selector.low = {self.low} and selector.high = {self.high}: choose "
                "fewer anchors or a wider band."
            )
        first = int(np.argmax(inner.scores[band]))
        order = farthest_points(unit_rows(embeddings[band]), n, first)
        return Selection(band[order].astype(np.int64), inner.scores, inner.signal)

    def minimum_images(self) -> int:
        """As many as the inner selector needs."""
        return self.selector.minimum_images()

    def most_anchors(self, candidates: int) -> int:
        """Those in the band, whatever their scores are."""
        return int((self.high - self.low) * (candidates - 1))


def farthest_points(points: np.ndarray, n: int, first: int) -> np.ndarray:
    """`n` distinct rows, each the farthest from those before it; ties go to the lower row.

    Args:
        points: `[N, D]`.
        n: From 1 to N.
        first: The row to begin with.

    Returns:
        int64 `[n]`.
    """
    order = np.empty(n, dtype=np.int64)
    nearest = np.full(len(points), np.inf)
    chosen = first
    for position in range(n):
        order[position] = chosen
        difference = points - points[chosen]
        nearest = np.minimum(nearest, np.einsum("nd,nd->n", difference, difference))
        nearest[chosen] = -np.inf  # a copy of it may follow, but not itself
        chosen = int(np.argmax(nearest))
    return order
