from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bradd.errors import BraddError
from bradd.select import Band, KNNDistance, Rare, Uniform
from bradd.select.band import farthest_points

POINTS = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)


def brute_force(points: np.ndarray, n: int, first: int) -> list[int]:
    chosen = [first]
    while len(chosen) < n:
        rest = [row for row in range(len(points)) if row not in chosen]
        distance = [min(np.linalg.norm(points[row] - points[c]) for c in chosen) for row in rest]
        chosen.append(rest[int(np.argmax(distance))])
    return chosen


@given(st.integers(0, 1000), st.integers(1, 12), st.integers(0, 4))
def test_farthest_points_equal_brute_force(seed: int, rows: int, copies: int) -> None:
    rng = np.random.default_rng(seed)
    # Whole numbers, so that distances tie and sums are exact.
    points = rng.integers(0, 4, (rows, 2)).astype(np.float32)
    points = np.concatenate([points, points[:copies]])
    n, first = int(rng.integers(1, len(points) + 1)), int(rng.integers(len(points)))
    assert farthest_points(points, n, first).tolist() == brute_force(points, n, first)


def test_it_samples_the_band_from_its_highest_score_on() -> None:
    candidates = np.arange(300) % 2 == 0
    scores = KNNDistance(4).score(POINTS)
    low, high = np.quantile(scores[candidates], [0.5, 0.9])
    band = np.flatnonzero(candidates & (scores >= low) & (scores <= high))
    unit = POINTS[band] / np.linalg.norm(POINTS[band], axis=1, keepdims=True)
    expected = band[brute_force(unit, 15, int(np.argmax(scores[band])))]
    selection = Band(KNNDistance(4), 0.5, 0.9).select(POINTS, 15, 0, candidates)
    assert selection.indices.tolist() == expected.tolist()
    np.testing.assert_array_equal(selection.scores, scores)


def test_the_highest_scores_are_left_out() -> None:
    points = POINTS * 0.1 + 1
    points[37] = -1
    assert KNNDistance(5).select(points, 30, seed=0).indices[0] == 37
    assert 37 not in Band(KNNDistance(5), 0.5, 0.99).select(points, 100, seed=0).indices


def test_the_seed_and_the_signal_are_the_inner_selectors() -> None:
    inner = Rare(60).select(POINTS, 10, seed=4)
    band = Band(Rare(60), 0.5, 1.0).select(POINTS, 10, seed=4)
    assert band.signal == inner.signal
    np.testing.assert_array_equal(band.scores, inner.scores)
    first, second = (set(Band(Uniform()).select(POINTS, 10, seed).indices) for seed in (0, 1))
    assert first != second


def test_a_band_of_too_few_images_is_refused() -> None:
    with pytest.raises(BraddError, match=r"n_anchors is 40.*selector.low = 0.9 and selector.high"):
        Band(KNNDistance(3)).select(POINTS, 40, seed=0)
