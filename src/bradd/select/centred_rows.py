"""The rows that distances are taken between: of unit length, less their mean."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from bradd.select.selector import check_embeddings

__all__ = ["CentredRows", "blocks"]

logger = logging.getLogger(__name__)

BLOCK_BYTES = 2**21


@dataclass(frozen=True)
class CentredRows:
    """Embeddings, and what to do to a row of them: scale it, then subtract the mean.

    The mean shifts no distance, but what is far from the origin loses digits in every product. Rows
    are made when asked for, so that float64 never needs more memory than a block of them.

    Attributes:
        points: The embeddings as given, float32 `[N, D]`.
        factors: What each row is multiplied by, float64 `[N]`.
        mean: Of the rows so multiplied, float64 `[D]`.
        unit: The distance in the embeddings' own measure that is 1 between these rows.
    """

    points: np.ndarray
    factors: np.ndarray
    mean: np.ndarray
    unit: float

    @classmethod
    def of(cls, embeddings: np.ndarray, normalise: bool) -> CentredRows:
        """Scale each row to unit length, or all of them by one power of two that tames overflow.

        Raises:
            BraddError: Not `[N, D]`, or a value that is not finite.
        """
        points = check_embeddings(embeddings)
        unit = 1.0
        if not normalise:
            largest = max(float(np.abs(points[rows]).max()) for rows in blocks(*points.shape))
            unit = 2.0 ** np.frexp(largest)[1]
        factors = np.full(len(points), 1 / unit)
        total = np.zeros(points.shape[1])
        for rows in blocks(*points.shape):
            exact = points[rows].astype(np.float64)
            if normalise:
                lengths = np.sqrt(np.einsum("nd,nd->n", exact, exact))
                factors[rows] = 1 / np.where(lengths > 0, lengths, np.inf)
            total += factors[rows] @ exact
        zeros = np.flatnonzero(factors == 0)
        if len(zeros):
            logger.warning(
                "The embeddings of %d images are all zeros, the first in row %d: they have no "
                "direction and count as the origin.",
                len(zeros),
                zeros[0],
            )
        return cls(points, factors, total / len(points), unit)

    def __len__(self) -> int:
        return len(self.points)

    def about(self, centre: np.ndarray) -> CentredRows:
        """The same rows less `centre` `[D]`, given as one of these rows."""
        return replace(self, mean=self.mean + centre)

    def single(self, numbers: np.ndarray) -> np.ndarray:
        """The rows of these numbers in float32, `[B, D]`."""
        made = np.empty((len(numbers), self.points.shape[1]), np.float32)
        for part in blocks(*made.shape):
            made[part] = self._scaled(numbers[part]) - self.mean
        return made

    def differences(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Row `one[i]` less row `other[i]` in float64 `[B, D]`, without the mean's rounding."""
        differences: np.ndarray = self._scaled(one) - self._scaled(other)
        return differences

    def _scaled(self, numbers: np.ndarray) -> np.ndarray:
        scaled: np.ndarray = self.points[numbers].astype(np.float64)
        scaled *= self.factors[numbers, None]
        return scaled


def blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices of rows, each so small that a few float64 copies of it stay in the cache."""
    step = max(1, BLOCK_BYTES // (8 * width))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
