from __future__ import annotations

import numpy as np
from sklearn.neighbors import LocalOutlierFactor

from bradd.select import KNNDistance, LocalDensity

POINTS = np.random.default_rng(0).normal(size=(150, 5)).astype(np.float32)


def test_equals_the_definition() -> None:
    """Breunig et al. (2000), definitions 5 to 7."""
    k = 7
    unit = POINTS.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    distances = np.linalg.norm(unit[:, None] - unit[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    neighbours = np.argsort(distances, axis=1)[:, :k]
    kth = np.sort(distances, axis=1)[:, k - 1]
    density = np.array(
        [1 / np.mean(np.maximum(kth[near], distances[row, near]))
         for row, near in enumerate(neighbours)]
    )  # fmt: skip
    np.testing.assert_allclose(
        LocalDensity(k).score(POINTS), density[neighbours].mean(axis=1) / density, rtol=1e-4
    )


def test_equals_scikit_learn() -> None:
    unit = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
    oracle = LocalOutlierFactor(n_neighbors=20).fit(unit)
    np.testing.assert_allclose(
        LocalDensity().score(POINTS), -oracle.negative_outlier_factor_, rtol=1e-5
    )


def test_it_finds_the_odd_one_in_a_dense_group_which_distance_does_not() -> None:
    rng = np.random.default_rng(1)
    # Directions around two axes: a dense group with one row beside it, and a wide group.
    dense = np.eye(3)[0] + 0.001 * rng.normal(size=(100, 3))
    beside = np.eye(3)[[0]] + [[0, 0.03, 0]]
    wide = np.eye(3)[1] + 0.2 * rng.normal(size=(100, 3))
    points = np.concatenate([beside, dense, wide]).astype(np.float32)
    assert LocalDensity(10).select(points, 1, seed=0).indices.tolist() == [0]
    assert 0 not in KNNDistance(10).select(points, 20, seed=0).indices
