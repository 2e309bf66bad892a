from __future__ import annotations

import numpy as np
import pytest

from bradd.seeds import random_generator
from bradd.select import KNNDistance, Rare
from bradd.select.rare import default_neighbourhood

POINTS = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)


def all_distances(points: np.ndarray) -> np.ndarray:
    """Between unit vectors, by differences in float64; infinite to the row itself."""
    unit = points.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    distances = np.linalg.norm(unit[:, None] - unit[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return distances


def clump_among_many(size: int) -> np.ndarray:
    """A tight group of `size` rows before 3,000 in ten wide ones."""
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(11, 16))
    common = centres[rng.integers(1, 11, 3000)] + 0.5 * rng.normal(size=(3000, 16))
    rare = centres[0] + 0.1 * rng.normal(size=(size, 16))
    return np.concatenate([rare, common]).astype(np.float32)


def test_equals_brute_force_over_the_drawn_subsamples() -> None:
    neighbourhood, draws, seed = 100, 3, 11
    distances = all_distances(POINTS)
    product = np.ones(len(POINTS))
    for draw in range(draws):
        # 5 / 30 = 100 / 600
        reference = random_generator(seed, "rare", draw).choice(600, 30, replace=False)
        product *= np.sort(distances[:, reference], axis=1)[:, 4]
    np.testing.assert_allclose(
        Rare(neighbourhood, draws).score(POINTS, seed), product ** (1 / draws), rtol=1e-5
    )


@pytest.mark.parametrize("neighbourhood", [1, 5, 15])
def test_small_neighbourhoods_are_searched_among_all_rows(neighbourhood: int) -> None:
    selection = Rare(neighbourhood).select(POINTS, 10, seed=0)
    oracle = np.sort(all_distances(POINTS), axis=1)[:, neighbourhood - 1]
    np.testing.assert_allclose(selection.scores, oracle, rtol=1e-5)
    assert selection.signal is None


def test_the_size_of_the_subsample() -> None:
    assert Rare(100).subsample(600) == 30
    assert Rare(100).subsample(601) == 31  # no fewer than 5 of a neighbourhood
    assert Rare(15).subsample(600) is None
    assert Rare(16).subsample(600) == 188
    assert Rare().subsample(1_000_000) == 5_000


def test_subsamples_stand_for_the_whole() -> None:
    points = clump_among_many(30)
    n = 150
    exact = set(KNNDistance(100).select(points, n, seed=0).indices.tolist())
    drawn = set(Rare(100).select(points, n, seed=0).indices.tolist())
    assert len(exact & drawn) > 0.7 * n


def test_a_clump_is_rare_but_not_isolated() -> None:
    points = clump_among_many(30)
    rare = Rare().select(points, 150, seed=0).indices
    isolated = KNNDistance(5).select(points, 150, seed=0).indices
    assert np.sum(rare < 30) == 30
    assert np.sum(isolated < 30) == 0


def test_a_group_of_more_than_the_neighbourhood_is_not_rare() -> None:
    points = clump_among_many(120)
    assert np.sum(Rare(60).select(points, 150, seed=0).indices < 120) == 0
    assert np.sum(Rare(240).select(points, 150, seed=0).indices < 120) == 120


def test_copies_are_least_rare() -> None:
    points = POINTS.copy()
    points[:150] = points[0]
    scores = Rare(100).score(points)
    assert np.isfinite(scores).all()
    assert scores[:150].max() < scores[150:].min()


def test_the_signal_is_that_of_the_candidates() -> None:
    points = clump_among_many(30)
    strong = Rare().select(points, 30, seed=0).signal
    without = Rare().select(points, 30, seed=0, candidates=np.arange(3030) >= 30).signal
    assert strong is not None
    assert without is not None
    assert strong.stability == 1.0
    assert without.stability < 0.9
    assert strong.share_of_variance > without.share_of_variance > 0.3


@pytest.mark.parametrize(
    ("rows", "neighbourhood"),
    [(6, 5), (250, 5), (500, 10), (5_000, 100), (100_000, 100), (1_000_000, 1000)],
)
def test_default_neighbourhood(rows: int, neighbourhood: int) -> None:
    assert default_neighbourhood(rows) == neighbourhood
    assert Rare().neighbourhood_of(rows) == neighbourhood
    assert Rare(7).neighbourhood_of(rows) == 7
