from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from bradd.errors import BraddError
from bradd.select import exact_search, neighbour_distances
from bradd.select import neighbours as module
from bradd.select.device_candidates import DeviceCandidates, largest, matmul_precision

CLOSE = {"rtol": 1e-5, "atol": 1e-12}


@pytest.fixture(autouse=True, scope="module")
def expanded_form() -> Iterator[None]:
    """Have faiss multiply matrices at any size; by itself it does so for large ones alone."""
    before = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = 0
    yield
    faiss.cvar.distance_compute_blas_threshold = before


def brute_force(
    points: np.ndarray, k: int, normalise: bool = True, reference: np.ndarray | None = None
) -> np.ndarray:
    """All pairs by differences in float64, the row itself left out by its number."""
    exact = points.astype(np.float64)
    if normalise:
        lengths = np.linalg.norm(exact, axis=1, keepdims=True)
        exact /= np.where(lengths > 0, lengths, 1)
    numbers = np.arange(len(exact)) if reference is None else reference
    nearest = np.empty((len(exact), k))
    for row, point in enumerate(exact):
        distances = np.linalg.norm(exact[numbers] - point, axis=1)
        distances[numbers == row] = np.inf
        nearest[row] = np.sort(distances)[:k]
    return nearest


@st.composite
def collections(draw: st.DrawFn, most: int = 250) -> np.ndarray:
    """Clusters, lone points, exact and near duplicates, zeros, with or without a large offset."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    width = draw(st.sampled_from([1, 2, 3, 8, 33, 384, 2048]))
    rows = draw(st.integers(3, most))
    centres = rng.normal(size=(draw(st.integers(1, 6)), width))
    spread = draw(st.sampled_from([0.0, 1e-7, 1e-4, 0.05, 1.0]))
    points = centres[rng.integers(0, len(centres), rows)] + spread * rng.normal(size=(rows, width))
    lone = rng.integers(0, rows, draw(st.integers(0, 3)))
    points[lone] = 5 * rng.normal(size=(len(lone), width))
    points += draw(st.sampled_from([0.0, 1000.0]))
    copies = rng.integers(0, rows, (draw(st.integers(0, rows // 2)), 2))
    points[copies[:, 0]] = points[copies[:, 1]]
    points[rng.integers(0, rows, draw(st.integers(0, 2)))] = 0
    return points.astype(np.float32)


@settings(max_examples=80, deadline=None)
@given(points=collections(), k=st.integers(1, 30), normalise=st.booleans())
def test_equals_brute_force(points: np.ndarray, k: int, normalise: bool) -> None:
    k = min(k, len(points) - 1)
    np.testing.assert_allclose(
        neighbour_distances(points, k, normalise=normalise),
        brute_force(points, k, normalise),
        **CLOSE,
    )


@settings(max_examples=40, deadline=None)
@given(points=collections(), k=st.integers(1, 5), data=st.data())
def test_a_reference_alone_is_searched(points: np.ndarray, k: int, data: st.DataObject) -> None:
    k = min(k, len(points) - 1)
    reference = np.array(data.draw(st.permutations(range(len(points)))))
    reference = reference[: data.draw(st.integers(k + 1, len(points)))]
    np.testing.assert_allclose(
        neighbour_distances(points, k, reference=reference),
        brute_force(points, k, reference=reference),
        **CLOSE,
    )


def on_torch(base: np.ndarray, _: str | torch.device | None) -> module._Plan:
    """The search that a GPU makes, on the processor."""
    search = DeviceCandidates(base, "cpu")
    highest = partial(search, precision="highest")
    return module._Plan([module._Pass(search, 3), module._Pass(highest, 9)], [])


@settings(max_examples=40, deadline=None)
@given(points=collections(), k=st.integers(1, 30), normalise=st.booleans())
def test_the_search_for_gpus_equals_brute_force(
    points: np.ndarray, k: int, normalise: bool
) -> None:
    k = min(k, len(points) - 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_plan", on_torch)
        found = neighbour_distances(points, k, normalise=normalise)
    np.testing.assert_allclose(found, brute_force(points, k, normalise), **CLOSE)


def clustered(rows: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, width))
    points = centres[rng.integers(0, 40, rows)] + 0.3 * rng.normal(size=(rows, width))
    points[:50] = points[0]
    points[50:90] = points[50] + 1e-5 * rng.normal(size=(40, width))
    return points.astype(np.float32)


@pytest.mark.parametrize("path", ["faiss", "torch"])
def test_equals_scikit_learn_at_5000_rows(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if path == "torch":
        monkeypatch.setattr(module, "_plan", on_torch)
    points = clustered(5000, 24)
    found = neighbour_distances(points, 7, normalise=False)
    exact = points.astype(np.float64)
    oracle = NearestNeighbors(n_neighbors=7, algorithm="kd_tree").fit(exact).kneighbors()[0]
    np.testing.assert_allclose(found, oracle, **CLOSE)


def test_rows_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    points = clustered(700, 16)
    whole = neighbour_distances(points, 5)
    monkeypatch.setattr(module, "ROWS_PER_BLOCK", (64, 64))
    monkeypatch.setattr(exact_search, "FIRST_BASE_BLOCK", 16)
    monkeypatch.setattr(exact_search, "BASE_BLOCK", 100)
    monkeypatch.setattr(exact_search, "QUERIES_PER_BLOCK", 10)
    np.testing.assert_array_equal(neighbour_distances(points, 5), whole)


def test_near_duplicates_are_right_where_the_expanded_form_is_not() -> None:
    """More of them than candidates, far from the origin, closer than the products' rounding."""
    rng = np.random.default_rng(1)
    points = np.repeat(rng.normal(size=(2, 64)) + 100, 200, axis=0)
    points = (points + 1e-3 * rng.normal(size=points.shape)).astype(np.float32)
    squares = (points**2).sum(axis=1)
    expanded = squares[:, None] + squares - 2 * points @ points.T
    np.fill_diagonal(expanded, np.inf)
    expected = brute_force(points, 5, normalise=False)
    wrong = np.sqrt(np.maximum(np.sort(expanded, axis=1)[:, :5], 0))
    assert np.abs(wrong / expected - 1).max() > 0.5
    np.testing.assert_allclose(neighbour_distances(points, 5, normalise=False), expected, **CLOSE)


def test_many_copies_are_each_others_neighbours_at_distance_zero() -> None:
    points = np.ones((500, 4), dtype=np.float32)
    points[-1] = [1, -1, 1, -1]
    distances = neighbour_distances(points, 5)
    assert np.all(distances[:-1] == 0)
    np.testing.assert_allclose(distances[-1], np.sqrt(2), rtol=1e-6)


def test_rows_of_very_different_length_stay_exact() -> None:
    rng = np.random.default_rng(2)
    points = rng.normal(size=(200, 6)) * 10.0 ** rng.integers(-30, 31, (200, 1))
    points = points.astype(np.float32)
    expected = brute_force(points, 4, normalise=False)
    np.testing.assert_allclose(neighbour_distances(points, 4, normalise=False), expected, rtol=1e-5)


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_the_programs_matmul_precision_changes_nothing(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = clustered(400, 32)
    for passes in (module._plan, on_torch):
        monkeypatch.setattr(module, "_plan", passes)
        before = neighbour_distances(points, 5)
        with matmul_precision(precision):
            np.testing.assert_array_equal(neighbour_distances(points, 5), before)
            assert torch.get_float32_matmul_precision() == precision


def test_rounded_products_do_not_hide_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of factors of 11 bits, as on a GPU, with a single candidate more than needed."""
    addmm = torch.addmm

    def rounded(bias: torch.Tensor, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        if torch.get_float32_matmul_precision() == "high":
            one, other = one.half().float(), other.half().float()
        return addmm(bias, one, other)

    points = clustered(600, 48)
    expected = brute_force(points, 5)
    monkeypatch.setattr(module, "_plan", on_torch)
    monkeypatch.setattr(torch, "addmm", rounded)
    np.testing.assert_allclose(neighbour_distances(points, 5), expected, **CLOSE)
    monkeypatch.setattr(exact_search, "possible_error", lambda *_: 0.0)
    assert not np.allclose(neighbour_distances(points, 5), expected, **CLOSE)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), columns=st.integers(1, 1000), count=st.integers(1, 20))
def test_two_stages_find_what_one_does(seed: int, columns: int, count: int) -> None:
    values = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, columns)))
    count = min(count, columns)
    best, places = largest(values, count)
    torch.testing.assert_close(best, values.topk(count).values, rtol=0, atol=0)
    torch.testing.assert_close(values.gather(1, places), best, rtol=0, atol=0)


def test_zero_vectors_are_finite_and_said(caplog: pytest.LogCaptureFixture) -> None:
    points = np.eye(5, dtype=np.float32)
    points[2] = 0
    np.testing.assert_allclose(neighbour_distances(points, 3), brute_force(points, 3), **CLOSE)
    assert "1 images are all zeros, the first in row 2" in caplog.text


@pytest.mark.parametrize("k", [0, 5, 6])
def test_impossible_k_is_refused(k: int) -> None:
    points = np.eye(8, dtype=np.float32)
    with pytest.raises(BraddError, match="at least k \\+ 1 images; there are 5"):
        neighbour_distances(points[:5], k)
    with pytest.raises(BraddError, match="at least k \\+ 1 images; there are 5"):
        neighbour_distances(points, k, reference=np.arange(5))


@pytest.mark.parametrize("reference", [[0, 0, 1], [0, 1, 5], [-1, 0, 1], [[0, 1]], [0.5, 1, 2]])
def test_a_reference_that_is_no_set_of_rows_is_refused(reference: list[int]) -> None:
    with pytest.raises(ValueError, match="reference"):
        neighbour_distances(np.eye(5, dtype=np.float32), 1, reference=np.array(reference))


def test_values_that_are_not_finite_are_refused_by_row() -> None:
    points = np.eye(5, dtype=np.float32)
    points[3, 1] = np.nan
    with pytest.raises(BraddError, match="row 3"):
        neighbour_distances(points, 1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["highest", "high"])
def test_a_gpu_finds_what_the_processor_finds(precision: str) -> None:
    points = clustered(20_000, 64)
    with matmul_precision(precision):
        found = neighbour_distances(points, 5, device="cuda")
    np.testing.assert_allclose(found, neighbour_distances(points, 5), **CLOSE)


def tight_clusters(rows: int, width: int, spread: float) -> np.ndarray:
    """Far tighter than they are apart: most rows are within the rounding of each other."""
    rng = np.random.default_rng(6)
    points = rng.normal(size=(3, width))[rng.integers(0, 3, rows)]
    return (points + spread * rng.normal(size=(rows, width))).astype(np.float32)


@pytest.mark.parametrize("path", ["faiss", "torch"])
@pytest.mark.parametrize("spread", [1e-2, 1e-4, 1e-6])
def test_tight_clusters_are_searched_about_their_own_centres(
    path: str, spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path == "torch":
        monkeypatch.setattr(module, "_plan", on_torch)
    left = []
    search = module.search_locally

    def counted(*arguments: Any) -> np.ndarray:
        left.append((len(arguments[1]), len(search(*arguments))))
        return np.array([], np.int64)  # nothing is repaired behind it

    monkeypatch.setattr(module, "search_locally", counted)
    points = tight_clusters(1500, 256, spread)
    np.testing.assert_allclose(neighbour_distances(points, 5), brute_force(points, 5), **CLOSE)
    [(unsure, ungrouped)] = left
    assert ungrouped == 0
    assert spread > 1e-3 or unsure > 1000


def test_a_subsample_of_tight_clusters_is_searched_as_exactly() -> None:
    points = tight_clusters(1500, 64, 1e-4)
    reference = np.random.default_rng(0).permutation(1500)[:700]
    np.testing.assert_allclose(
        neighbour_distances(points, 5, reference=reference),
        brute_force(points, 5, reference=reference),
        **CLOSE,
    )


def test_tight_groups_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    points = tight_clusters(1500, 64, 1e-3)
    found = neighbour_distances(points, 5)
    monkeypatch.setattr(module, "search_locally", lambda exact, unsure, *_: unsure)
    np.testing.assert_array_equal(neighbour_distances(points, 5), found)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0)])
def test_empty_embeddings_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(BraddError, match="empty"):
        neighbour_distances(np.empty(shape, np.float32), 1)


def test_faiss_alone_would_miss_near_duplicates() -> None:
    """Why candidates are proven: if this fails, the proof has become needless."""
    points = np.repeat(np.random.default_rng(3).normal(size=(4, 64)), 300, axis=0)
    points = (points + 1e-5 * np.random.default_rng(4).normal(size=points.shape)).astype(np.float32)
    _, places = faiss.knn(points, points, 14)
    exact = points.astype(np.float64)
    candidates = np.linalg.norm(exact[:, None] - exact[places], axis=2)
    candidates[places == np.arange(len(points))[:, None]] = np.inf
    expected = brute_force(points, 5, normalise=False)
    assert not np.allclose(np.sort(candidates, axis=1)[:, :5], expected, rtol=1e-3)
    np.testing.assert_allclose(neighbour_distances(points, 5, normalise=False), expected, **CLOSE)
