"""How much of a score is signal: what the images differ in, and not the draws."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

__all__ = ["Signal", "signal_strength"]


@dataclass(frozen=True)
class Signal:
    """The strength of a score that was drawn several times.

    Attributes:
        share_of_variance: Part of the variance of a draw's scores that lies between images and
            would be found again in another draw, 0 to 1: the intraclass correlation ICC(3,1) of
            Shrout and Fleiss (1979).
        stability: Mean share of the top n that two draws have in common, 0 to 1. Draws without any
            signal share n / N.
    """

    share_of_variance: float
    stability: float


def signal_strength(draws: np.ndarray, n: int) -> Signal:
    """The strength of a score's signal.

    Args:
        draws: The scores of N images in each of R draws, `[R, N]`. A number that is added to all
            scores of a draw changes nothing.
        n: How many images are selected.

    Raises:
        ValueError: Fewer than two draws or images, or `n` is not from 1 to N.
    """
    draws = np.asarray(draws, dtype=np.float64)
    if draws.ndim != 2 or min(draws.shape) < 2:
        raise ValueError(f"draws must be [R, N] with R and N at least 2, not {draws.shape}.")
    if not 1 <= n <= draws.shape[1]:
        raise ValueError(f"n is {n}, but there are {draws.shape[1]} images.")
    return Signal(_intraclass_correlation(draws), _shared_top(draws, n))


def _intraclass_correlation(draws: np.ndarray) -> float:
    """Variance between images over that and the variance left within them, once draws are level."""
    repeats, images = draws.shape
    level = draws - draws.mean(axis=1, keepdims=True)
    of_image = level.mean(axis=0)
    between = repeats * np.sum(of_image**2) / (images - 1)
    within = np.sum((level - of_image) ** 2) / ((images - 1) * (repeats - 1))
    total = between + (repeats - 1) * within
    return float(max(0.0, (between - within) / total)) if total > 0 else 0.0


def _shared_top(draws: np.ndarray, n: int) -> float:
    tops = np.argsort(-draws, axis=1, kind="stable")[:, :n]
    shared = [
        len(np.intersect1d(first, second, assume_unique=True))
        for first, second in combinations(tops, 2)
    ]
    return float(np.mean(shared) / n)
