from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bradd.ssl.schedules import cosine, cosine_period, learning_rate_at, linear_warmup

values = st.floats(-10, 10)


@st.composite
def schedules(draw: st.DrawFn) -> tuple[int, int, float]:
    steps = draw(st.integers(2, 300))
    return steps, draw(st.integers(0, steps - 2)), draw(st.floats(1e-5, 10))


@given(schedules())
def test_the_learning_rate_rises_linearly_then_falls_as_a_cosine(
    schedule: tuple[int, int, float],
) -> None:
    steps, warmup, peak = schedule
    rates = [learning_rate_at(step, steps, warmup, peak) for step in range(steps)]
    ramp, fall = rates[:warmup], rates[warmup:]
    assert ramp == pytest.approx([peak * (s + 1) / warmup for s in range(warmup)])
    last = len(fall) - 1
    assert fall == pytest.approx(
        [peak * (1 + math.cos(math.pi * s / last)) / 2 for s in range(last + 1)], abs=1e-12
    )
    assert ramp == sorted(ramp)
    assert fall == sorted(fall, reverse=True)
    assert fall[0] == peak == pytest.approx(max(rates))
    assert rates[-1] == 0
    assert min(rates) >= 0


@given(st.integers(1, 50))
def test_a_run_that_is_all_warm_up_ends_at_the_peak(steps: int) -> None:
    rates = [learning_rate_at(step, steps, steps, 0.5) for step in range(steps)]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.5)


@given(st.integers(2, 500), values, values)
def test_cosine_is_that_of_dinos_published_schedule(steps: int, start: float, end: float) -> None:
    """DINO's has one step more, so that its last value is one step short of the end."""
    published = end + 0.5 * (start - end) * (1 + np.cos(np.pi * np.arange(steps) / (steps - 1)))
    ours = [cosine(step, steps, start, end) for step in range(steps)]
    assert ours == pytest.approx(published.tolist(), abs=1e-9)
    assert ours[0] == pytest.approx(start, abs=1e-12)
    assert ours[-1] == end


def test_cosine_is_halfway_in_the_middle_and_stays_at_the_end() -> None:
    assert cosine(50, 101, 0.04, 0.4) == pytest.approx(0.22)
    assert cosine(0, 101, 0.996, 1.0) == pytest.approx(0.996)
    assert [cosine(step, 101, 0.996, 1.0) for step in (100, 101, 5000)] == [1.0] * 3
    assert cosine(0, 1, 0.04, 0.4) == 0.4
    assert cosine(7, 20, 0.3, 0.3) == pytest.approx(0.3)


@given(st.floats(0, 2000), st.floats(0.01, 1), st.floats(0, 2), st.floats(0.5, 400))
def test_the_temperature_of_ts_swings_between_its_bounds(
    epoch: float, low: float, width: float, half_period: float
) -> None:
    high = low + width
    value = cosine_period(epoch, low, high, half_period)
    # cos(2x) = 2 cos(x)^2 - 1
    expected = low + width * math.cos(math.pi * epoch / half_period / 2) ** 2
    assert value == pytest.approx(expected, abs=1e-6)
    assert low - 1e-9 <= value <= high + 1e-9
    assert cosine_period(epoch + 2 * half_period, low, high, half_period) == pytest.approx(
        value, abs=1e-6
    )


def test_the_temperature_of_ts_begins_high_and_is_low_at_half_a_period() -> None:
    at = [cosine_period(epoch, 0.1, 1.0, 200) for epoch in (0, 100, 200, 300, 400)]
    assert at == pytest.approx([1.0, 0.55, 0.1, 0.55, 1.0])
    with pytest.raises(ValueError, match="half_period"):
        cosine_period(1, 0.1, 1.0, 0)


@given(st.integers(1, 100), values, values)
def test_linear_warmup_is_a_straight_line_then_constant(
    warmup: int, start: float, end: float
) -> None:
    line = np.linspace(start, end, warmup + 1)
    ours = [linear_warmup(epoch, warmup, start, end) for epoch in range(warmup + 1)]
    assert ours == pytest.approx(line.tolist(), abs=1e-9)
    assert ours[0] == start
    assert [linear_warmup(e, warmup, start, end) for e in (warmup, warmup + 0.5, 999)] == [end] * 3


def test_linear_warmup_takes_fractions_and_no_warm_up_at_all() -> None:
    assert linear_warmup(7.5, 30, 0.04, 0.07) == pytest.approx(0.0475)
    assert linear_warmup(0, 0, 0.04, 0.07) == 0.07
