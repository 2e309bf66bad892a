from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bradd.select import Signal, signal_strength


def icc_3_1(draws: np.ndarray) -> float:
    """Shrout and Fleiss (1979), case 3: (BMS - EMS) / (BMS + (k - 1) EMS), written out."""
    k, n = draws.shape
    grand = draws.mean()
    between = k * sum((draws[:, i].mean() - grand) ** 2 for i in range(n)) / (n - 1)
    error = sum(
        (draws[j, i] - draws[:, i].mean() - draws[j].mean() + grand) ** 2
        for i in range(n)
        for j in range(k)
    ) / ((n - 1) * (k - 1))
    return float((between - error) / (between + (k - 1) * error))


def test_the_published_example() -> None:
    """Shrout and Fleiss (1979), table 2: six targets, four judges, ICC(3,1) = 0.71."""
    ratings = np.array(
        [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    )
    assert signal_strength(ratings.T, 2).share_of_variance == pytest.approx(0.71, abs=0.005)


@given(st.integers(0, 1000), st.integers(2, 5), st.integers(3, 20), st.floats(0, 3))
def test_equals_the_formulae(seed: int, repeats: int, images: int, strength: float) -> None:
    rng = np.random.default_rng(seed)
    draws = strength * rng.normal(size=images) + rng.normal(size=(repeats, images))
    n = int(rng.integers(1, images + 1))
    tops = [set(np.argsort(-draw)[:n].tolist()) for draw in draws]
    pairs = [(a, b) for a in range(repeats) for b in range(a)]
    signal = signal_strength(draws, n)
    assert signal.share_of_variance == pytest.approx(max(0.0, icc_3_1(draws)), abs=1e-9)
    assert signal.stability == pytest.approx(
        np.mean([len(tops[a] & tops[b]) / n for a, b in pairs])
    )


def test_it_recovers_the_share_that_was_put_in() -> None:
    rng = np.random.default_rng(0)
    draws = 2 * rng.normal(size=20_000) + rng.normal(size=(4, 20_000))
    assert signal_strength(draws, 100).share_of_variance == pytest.approx(4 / 5, abs=0.01)


def test_equal_draws_are_all_signal_and_levels_do_not_matter() -> None:
    draw = np.random.default_rng(1).normal(size=50)
    assert signal_strength(np.stack([draw, draw + 3]), 5) == Signal(pytest.approx(1), 1)  # type: ignore[arg-type]


def test_noise_has_no_signal() -> None:
    draws = np.random.default_rng(2).normal(size=(4, 5000))
    signal = signal_strength(draws, 500)
    assert signal.share_of_variance < 0.03
    assert signal.stability == pytest.approx(0.1, abs=0.03)
    assert signal_strength(np.ones((3, 10)), 2).share_of_variance == 0


@pytest.mark.parametrize(
    ("shape", "n"), [((1, 5), 1), ((3, 1), 1), ((5,), 1), ((2, 5), 0), ((2, 5), 6)]
)
def test_impossible_input_is_refused(shape: tuple[int, ...], n: int) -> None:
    with pytest.raises(ValueError, match=r"draws must be|n is"):
        signal_strength(np.ones(shape), n)
