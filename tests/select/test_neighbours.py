from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from bradd.errors import BraddError
from bradd.select import neighbour_distances
from bradd.select import neighbours as module


def brute_force(points: np.ndarray, k: int) -> np.ndarray:
    """All pairs by differences in float64, the row itself left out by its number."""
    exact = points.astype(np.float64)
    exact /= np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), 1e-300)
    distances = np.linalg.norm(exact[:, None] - exact[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return np.sort(distances, axis=1)[:, :k]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(2, 60),
    width=st.integers(1, 20),
    k=st.integers(1, 8),
    duplicates=st.integers(0, 10),
)
def test_equals_brute_force(seed: int, rows: int, width: int, k: int, duplicates: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(rows, width)).astype(np.float32)
    points = np.concatenate([points, points[rng.integers(0, rows, duplicates)]])
    k = min(k, len(points) - 1)
    # What float32 makes of unit vectors less their mean.
    np.testing.assert_allclose(
        neighbour_distances(points, k), brute_force(points, k), rtol=1e-5, atol=2e-7
    )


def test_equals_scikit_learn_over_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_PER_BLOCK", 64)
    points = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
    oracle = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(points).kneighbors()[0]
    np.testing.assert_allclose(neighbour_distances(points, 5, normalise=False), oracle, rtol=1e-5)


def test_near_duplicates_under_a_large_offset_get_right_distances() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(50, 64)) + 1000.0
    points[1] = points[0] + 1e-2
    points = points.astype(np.float32)
    expected = np.linalg.norm((points[1] - points[0]).astype(np.float64))
    assert neighbour_distances(points, 1, normalise=False)[0, 0] == pytest.approx(
        expected, rel=1e-2
    )


def test_many_copies_are_each_others_neighbours_at_distance_zero() -> None:
    points = np.ones((40, 4), dtype=np.float32)
    points[-1] = [1, -1, 1, -1]
    distances = neighbour_distances(points, 5)
    assert np.all(distances[:-1] == 0)
    assert np.all(distances[-1] > 1)


def test_zero_vectors_are_finite() -> None:
    points = np.eye(5, dtype=np.float32)
    points[2] = 0
    assert np.isfinite(neighbour_distances(points, 3)).all()


@pytest.mark.parametrize("k", [0, 5, 6])
def test_impossible_k_is_refused(k: int) -> None:
    with pytest.raises(BraddError, match="at least k \\+ 1 images"):
        neighbour_distances(np.eye(5, dtype=np.float32), k)


def test_values_that_are_not_finite_are_refused_by_row() -> None:
    points = np.eye(5, dtype=np.float32)
    points[3, 1] = np.nan
    with pytest.raises(BraddError, match="row 3"):
        neighbour_distances(points, 1)
