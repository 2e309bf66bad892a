from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bradd.evaluation.statistics import holm, mean_interval, paired_test

FAMILY_ALPHA = 0.05
STUDIES = 200
# With a true rate of 5 %, more than this many of 200 studies alarm with a probability below 1 %.
BOUND = int(stats.binom.ppf(0.99, STUDIES, FAMILY_ALPHA))

accuracies = st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 3)), min_size=2, max_size=8)
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=6)


@given(accuracies, st.floats(0.5, 0.999))
def test_the_interval_is_scipys(values: list[float], confidence: float) -> None:
    mean, half = mean_interval(values, confidence)
    error = stats.sem(values)
    assert mean == pytest.approx(np.mean(values))
    if error > 1e-9:
        low, high = stats.t.interval(confidence, len(values) - 1, np.mean(values), error)
        assert (mean - half, mean + half) == pytest.approx((low, high), rel=1e-6, abs=1e-9)
    else:
        assert half == pytest.approx(0, abs=1e-6)


def test_a_single_value_has_no_interval() -> None:
    assert mean_interval([7.5]) == (7.5, math.inf)


def test_19_of_20_intervals_hold_the_mean() -> None:
    draws = np.random.default_rng(0).normal(3, 2, (4000, 4))
    held = sum(abs(mean - 3) <= half for mean, half in map(mean_interval, draws))
    assert held / 4000 == pytest.approx(0.95, abs=0.011)


@given(accuracies, st.integers(0, 2**32))
def test_the_paired_test_is_scipys(values: list[float], seed: int) -> None:
    other = np.array(values) + np.random.default_rng(seed).normal(0.1, 1, len(values))
    assert paired_test(values, other) == pytest.approx(stats.ttest_rel(values, other).pvalue)
    assert paired_test(values, other) == paired_test(other, values)


@given(accuracies)
def test_identical_arms_do_not_differ(values: list[float]) -> None:
    assert paired_test(values, values) == 1.0


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_equal_differences_prove_only_what_their_signs_do(count: int) -> None:
    first = np.random.default_rng(count).uniform(40, 60, count)
    signs = list(itertools.product([-1, 1], repeat=count))
    as_extreme = sum(abs(sum(one)) == count for one in signs) / len(signs)
    # 0.1 has no exact binary form: the differences are equal only up to rounding.
    assert paired_test(first, first + 0.1) == as_extreme


@given(p_values)
def test_holm_is_bonferroni_on_every_subset(p: list[float]) -> None:
    """Closed testing (Marcus et al. 1976): reject what every intersection containing it rejects."""
    subsets = [
        subset
        for size in range(1, len(p) + 1)
        for subset in itertools.combinations(range(len(p)), size)
    ]
    expected = [
        max(min(1, len(s) * min(p[j] for j in s)) for s in subsets if i in s) for i in range(len(p))
    ]
    assert holm(p) == pytest.approx(expected)


def test_holm_of_none_is_none() -> None:
    assert holm([]) == []


def study(generator: np.random.Generator, effect: float = 0.0) -> float:
    """The smallest corrected p value of nine arms against `none`, over five seeds.

    Accuracies are those of 10,000 test images, to a hundredth of a percent; a seed's luck is shared
    by all arms, an arm's is its own. The first arm is better by `effect` points.
    """
    shared = generator.normal(60, 1.0, 5)
    chances = shared + generator.normal(0, 0.3, (10, 5))
    chances[1] += effect
    accuracy = generator.binomial(10_000, chances / 100) / 100
    return min(holm([paired_test(accuracy[0], arm) for arm in accuracy[1:]]))


def test_studies_without_an_effect_alarm_in_at_most_one_of_twenty() -> None:
    generator = np.random.default_rng(0)
    alarms = sum(study(generator) <= FAMILY_ALPHA for _ in range(STUDIES))
    assert BOUND == 18
    assert alarms <= BOUND


def test_uncorrected_tests_alarm_far_more_often() -> None:
    """So the bound above is one that a wrong correction would break."""
    generator = np.random.default_rng(0)
    alarms = 0
    for _ in range(STUDIES):
        accuracy = generator.normal(60, 0.5, (10, 5))
        alarms += min(paired_test(accuracy[0], arm) for arm in accuracy[1:]) <= FAMILY_ALPHA
    assert alarms > BOUND


def test_studies_with_few_test_images_do_not_alarm_more() -> None:
    """Three seeds and 50 images: equal differences are frequent."""
    generator = np.random.default_rng(1)
    alarms = 0
    for _ in range(STUDIES):
        accuracy = generator.binomial(50, 0.6, (4, 3)) / 50
        alarms += min(holm([paired_test(accuracy[0], arm) for arm in accuracy[1:]])) <= FAMILY_ALPHA
    assert alarms <= BOUND


def test_a_large_effect_is_found() -> None:
    generator = np.random.default_rng(0)
    found = sum(study(generator, effect=5.0) <= FAMILY_ALPHA for _ in range(STUDIES))
    assert found > 0.9 * STUDIES


def test_wrong_inputs_are_named() -> None:
    with pytest.raises(ValueError, match="2 values cannot be paired with 3"):
        paired_test([1, 2], [1, 2, 3])
    for values in ([], [1, float("nan")], [[1, 2]]):
        with pytest.raises(ValueError, match="at least one finite number"):
            mean_interval(values)
    with pytest.raises(ValueError, match="confidence"):
        mean_interval([1, 2], 1.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, 1.5])
