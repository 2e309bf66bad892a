from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bradd.errors import BraddError
from bradd.select import neighbour_distances, outliers, top_outliers, upper_bounds
from bradd.select.centred_rows import CentredRows
from bradd.select.exact_search import ExactSearch
from bradd.select.selector import top


@pytest.fixture
def bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds and pruning at any size."""
    monkeypatch.setattr(outliers, "FEW_ROWS", 0)
    monkeypatch.setattr(outliers, "LARGE_SHARE", 1.0)
    monkeypatch.setattr(upper_bounds, "FEW_ROWS", 8)


def clustered(seed: int, rows: int, width: int, copies: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, rows // 40), width))
    points = centres[rng.integers(0, len(centres), rows)]
    points += rng.choice([0.02, 0.1, 0.4]) * rng.normal(size=points.shape)
    points[: rows // 50] = rng.normal(size=(rows // 50, width))
    pairs = rng.integers(0, rows, (copies, 2))
    points[pairs[:, 0]] = points[pairs[:, 1]]
    return rng.permutation(points).astype(np.float32)


def expected(
    points: np.ndarray, n: int, k: int, candidates: np.ndarray, normalise: bool
) -> tuple[list[int], np.ndarray]:
    scores = neighbour_distances(points, k, normalise=normalise)[:, -1]
    indices = top(scores, n, candidates)
    return indices.tolist(), scores[indices]


@pytest.mark.usefixtures("bounded")
@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(3, 400),
    width=st.sampled_from([1, 2, 5, 16, 300, 2048]),
    copies=st.integers(0, 100),
    k=st.integers(1, 20),
    share=st.floats(0, 1),
    normalise=st.booleans(),
    masked=st.booleans(),
)
def test_equals_the_top_of_all_distances(
    seed: int,
    rows: int,
    width: int,
    copies: int,
    k: int,
    share: float,
    normalise: bool,
    masked: bool,
) -> None:
    points = clustered(seed, rows, width, copies)
    candidates = np.ones(rows, dtype=bool)
    if masked:
        candidates[1:] = np.random.default_rng(seed).random(rows - 1) < 0.5
    k = min(k, rows - 1)
    n = max(1, int(share * candidates.sum()))
    found = top_outliers(points, n, k, candidates=candidates, normalise=normalise)
    indices, distances = expected(points, n, k, candidates, normalise)
    assert found.indices.tolist() == indices
    np.testing.assert_array_equal(found.distances, distances)
    assert n <= found.verified <= candidates.sum()


@pytest.mark.parametrize(("n", "k"), [(1, 1), (50, 5), (100, 40), (400, 5)])
def test_few_rows_are_verified_at_8000_rows(n: int, k: int) -> None:
    points = clustered(1, 8000, 24)
    found = top_outliers(points, n, k)
    indices, distances = expected(points, n, k, np.ones(8000, dtype=bool), True)
    assert found.indices.tolist() == indices
    np.testing.assert_array_equal(found.distances, distances)
    assert found.verified < 2000


def test_all_are_verified_where_that_is_as_quick() -> None:
    points = clustered(2, 500, 8)
    found = top_outliers(points, 20, 5)
    assert found.verified == 500
    assert found.indices.tolist() == expected(points, 20, 5, np.ones(500, dtype=bool), True)[0]


@pytest.mark.usefixtures("bounded")
def test_ties_go_to_the_lower_row() -> None:
    rng = np.random.default_rng(3)
    points = np.repeat(rng.permutation(np.eye(60)), 4, axis=0)  # every distance occurs 240 times
    points += 1e-7 * rng.normal(size=points.shape)
    assert top_outliers(points, 17, 5).indices.tolist() == list(range(17))


@pytest.mark.usefixtures("bounded")
def test_rows_that_are_all_equal_are_at_distance_zero() -> None:
    found = top_outliers(np.ones((300, 7)), 10, 3)
    assert found.indices.tolist() == list(range(10))
    assert not found.distances.any()


@pytest.mark.usefixtures("bounded")
def test_the_random_order_does_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    points = clustered(4, 600, 12, copies=60)
    found = top_outliers(points, 30, 5)
    monkeypatch.setattr(outliers, "random_generator", lambda *_: np.random.default_rng(99))
    other = top_outliers(points, 30, 5)
    assert other.indices.tolist() == found.indices.tolist()
    np.testing.assert_array_equal(other.distances, found.distances)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999),
    rows=st.integers(4, 300),
    width=st.sampled_from([1, 3, 64]),
    k=st.integers(1, 12),
    n=st.integers(1, 20),
)
def test_bounds_are_never_below_the_distance(
    seed: int, rows: int, width: int, k: int, n: int
) -> None:
    points = clustered(seed, rows, width, copies=rows // 4)
    k = min(k, rows - 1)
    search = ExactSearch(CentredRows.of(points, normalise=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upper_bounds, "FEW_ROWS", 8)
        everything = np.ones(rows, dtype=bool)
        bounds = upper_bounds.upper_bounds(search.base, search.squared_lengths, n, k, everything)
    assert np.all(bounds >= neighbour_distances(points, k)[:, -1])


def test_planted_rows_come_first_where_they_are_no_more_than_k() -> None:
    rng = np.random.default_rng(5)
    points = 1 + 0.1 * rng.normal(size=(6000, 16))
    points[[37, 2500]] = -1
    points[4000] = np.repeat([-1, 1], 8)
    assert top_outliers(points, 1, 1).indices.tolist() == [4000]  # 37 and 2500 are a pair
    assert set(top_outliers(points, 3, 2).indices) == {37, 2500, 4000}


def test_tight_clusters_are_searched_whole() -> None:
    rng = np.random.default_rng(8)
    points = rng.normal(size=(2, 64))[rng.integers(0, 2, 6000)]
    points += 1e-4 * rng.normal(size=points.shape)
    found = top_outliers(points, 50, 5)
    assert found.verified == 6000
    distances = neighbour_distances(points, 5)[:, -1]
    np.testing.assert_array_equal(found.distances, distances[found.indices])


@pytest.mark.parametrize("n", [0, 81])
def test_an_impossible_number_is_refused(n: int) -> None:
    with pytest.raises(BraddError, match=f"^n is {n}, but 80 of 80"):
        top_outliers(clustered(6, 80, 4), n, 5)


@pytest.mark.parametrize("k", [0, 80])
def test_an_impossible_k_is_refused(k: int) -> None:
    with pytest.raises(BraddError, match="at least k \\+ 1 images"):
        top_outliers(clustered(6, 80, 4), 3, k)


@pytest.mark.parametrize("shape", [(0, 4), (80, 0)])
def test_empty_embeddings_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(BraddError, match="empty"):
        top_outliers(np.empty(shape, np.float32), 3, 5)


def test_values_that_are_not_finite_are_refused_by_row() -> None:
    points = clustered(7, 80, 4)
    points[11, 0] = np.inf
    with pytest.raises(BraddError, match="row 11"):
        top_outliers(points, 3, 5)
