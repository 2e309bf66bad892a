"""Statistics of a comparison: intervals, paired tests, and their correction for many tests."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

__all__ = ["holm", "mean_interval", "paired_test"]

# Differences that spread less than this, relative to the values, differ by rounding alone.
ROUNDING = 1e-12


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """The mean and the half width of its confidence interval, by Student's t (Student 1908).

    Args:
        values: [n] results of independent runs, such as one accuracy for each seed; n >= 1.
        confidence: Share of such intervals that hold the true mean, between 0 and 1.

    Returns:
        Mean and half width; the half width of a single value is infinite, for nothing is known of
        its spread.

    Raises:
        ValueError: No values, NaN or infinite ones, or a confidence outside of 0 to 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    numbers = _finite_values(values, "values")
    count = len(numbers)
    mean = float(numbers.mean())
    if count == 1:
        return mean, math.inf
    quantile = float(stdtrit(count - 1, (1 + confidence) / 2))
    return mean, quantile * float(numbers.std(ddof=1)) / math.sqrt(count)


def paired_test(first: ArrayLike, second: ArrayLike) -> float:
    """How probable a mean difference as large as this is if there is none: two-sided paired t test.

    Where all n differences are the same, t is 0 / 0 or infinite, although two or three equal values
    prove little. The exact sign-flip test (Fisher 1935) decides then: p = 1 if the differences
    are 0, else 2 ** (1 - n), the share of the 2 ** n ways to sign them whose mean is as far from 0.
    So one pair gives 1: it says nothing.

    Args:
        first: [n] results, one for each seed; n >= 1.
        second: [n] results for the same seeds in the same order.

    Returns:
        The p value, from 0 to 1.

    Raises:
        ValueError: Not equally many values, none, or NaN or infinite ones.
    """
    one, other = _finite_values(first, "first"), _finite_values(second, "second")
    if len(one) != len(other):
        raise ValueError(f"{len(one)} values cannot be paired with {len(other)}")
    differences = one - other
    count = len(differences)
    rounding = ROUNDING * float(max(np.abs(one).max(), np.abs(other).max()))
    if np.abs(differences).max() <= rounding:
        return 1.0
    if np.ptp(differences) <= rounding:
        return float(2.0 ** (1 - count))
    t = differences.mean() / (differences.std(ddof=1) / math.sqrt(count))
    return 2 * float(stdtr(count - 1, -abs(t)))


def holm(p_values: ArrayLike) -> list[float]:
    """Correct the p values of several tests made together (Holm 1979).

    "A Simple Sequentially Rejective Multiple Test Procedure": whatever the tests' dependence, the
    chance that any corrected value of a true null hypothesis is at most alpha is at most alpha.

    Args:
        p_values: [m] from 0 to 1, uncorrected.

    Returns:
        [m] corrected p values, in the same order; each is at least the uncorrected one.

    Raises:
        ValueError: A value is not between 0 and 1.
    """
    p = np.asarray(p_values, np.float64).reshape(-1)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p values must lie between 0 and 1, not {p.tolist()}")
    order = np.argsort(p, kind="stable")
    # The smallest is compared with alpha / m, the next with alpha / (m - 1), and so on.
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1)
    return [float(value) for value in corrected]


def _finite_values(values: ArrayLike, name: str) -> NDArray[np.float64]:
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or len(numbers) == 0 or not np.isfinite(numbers).all():
        raise ValueError(f"{name} must be a list of at least one finite number, not {values!r}")
    return numbers
