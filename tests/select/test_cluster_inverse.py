from __future__ import annotations

import numpy as np

from bradd.seeds import derive_seed
from bradd.select import ClusterInverse
from bradd.select.cluster_inverse import cluster, cluster_rarity
from bradd.select.selector import unit_rows

RNG = np.random.default_rng(0)
CENTRES = np.eye(4, 8)
# Groups of 400, 60, 30 and 10 far apart from each other.
SIZES = np.array([400, 60, 30, 10])
GROUPS = np.repeat(np.arange(4), SIZES)
POINTS = (CENTRES[GROUPS] + 0.01 * RNG.normal(size=(500, 8))).astype(np.float32)


def test_rarity_is_minus_the_log_of_the_share_of_the_cluster() -> None:
    labels = np.array([3, 0, 3, 3])
    np.testing.assert_allclose(cluster_rarity(labels), -np.log([3 / 4, 1 / 4, 3 / 4, 3 / 4]))


def test_the_score_is_the_mean_over_clusterings() -> None:
    selector = ClusterInverse((3, 7), repeats=2)
    unit = unit_rows(POINTS)
    expected = []
    for number in (3, 7):
        for repeat in range(2):
            labels = cluster(unit, number, derive_seed(9, "k-means", number, repeat)).tolist()
            expected.append([-np.log(labels.count(label) / 500) for label in labels])
    np.testing.assert_allclose(selector.draw_scores(POINTS, 9), expected)
    np.testing.assert_allclose(selector.score(POINTS, 9), np.mean(expected, axis=0))


def test_clusters_are_kmeans_clusters() -> None:
    unit = unit_rows(POINTS)
    labels = cluster(unit, 12, seed=1)
    assert len(np.unique(labels)) == 12
    means = np.stack([unit[labels == label].mean(axis=0) for label in range(12)])
    nearest = np.linalg.norm(unit[:, None] - means[None], axis=2).argmin(axis=1)
    assert np.mean(nearest == labels) > 0.97


def test_many_points_are_clustered_by_a_sample_of_them() -> None:
    points = np.random.default_rng(3).normal(size=(5000, 4)).astype(np.float32)
    labels = cluster(points, 3, seed=0)
    assert labels.shape == (5000,)
    assert np.bincount(labels).min() > 1000


def test_smaller_groups_score_higher() -> None:
    scores = ClusterInverse((8, 12), repeats=3).score(POINTS)
    means = [scores[group == GROUPS].mean() for group in range(4)]
    assert means == sorted(means)
    selection = ClusterInverse((8, 12), repeats=3).select(POINTS, 10, seed=0)
    assert np.mean(GROUPS[selection.indices] == 3) == 1
    assert selection.signal is not None


def test_one_clustering_has_no_signal_to_compare() -> None:
    assert ClusterInverse((5,), repeats=1).select(POINTS, 5, seed=0).signal is None
