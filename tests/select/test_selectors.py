from __future__ import annotations

import numpy as np
import pytest

from bradd.errors import BraddError
from bradd.select import KNNDistance, Selector, Uniform, neighbour_distances

POINTS = np.random.default_rng(0).normal(size=(80, 8)).astype(np.float32)


def test_knn_distance_takes_the_largest_kth_distances() -> None:
    selection = KNNDistance(3).select(POINTS, 10, seed=0)
    scores = neighbour_distances(POINTS, 3)[:, 2]
    np.testing.assert_array_equal(selection.scores, scores)
    assert scores[selection.indices].min() >= np.delete(scores, selection.indices).max()
    assert np.all(np.diff(scores[selection.indices]) <= 1e-5)


def test_a_planted_outlier_comes_first() -> None:
    points = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32) * 0.1 + 1
    points[37] = -1
    assert KNNDistance(5).select(points, 3, seed=0).indices[0] == 37


def test_selection_follows_the_images_not_their_order() -> None:
    order = np.random.default_rng(2).permutation(len(POINTS))
    straight = KNNDistance(5).select(POINTS, 20, seed=0).indices
    shuffled = KNNDistance(5).select(POINTS[order], 20, seed=0).indices
    assert straight.tolist() == order[shuffled].tolist()


def test_noise_of_another_batch_size_does_not_change_ties() -> None:
    points = np.repeat(POINTS[:20], 2, axis=0)  # every score occurs twice
    noise = np.random.default_rng(3).normal(size=points.shape).astype(np.float32) * 1e-8
    first = KNNDistance(5).select(points, 7, seed=0).indices
    assert first.tolist() == KNNDistance(5).select(points + noise, 7, seed=0).indices.tolist()


@pytest.mark.parametrize("selector", [KNNDistance(2), Uniform()])
def test_only_candidates_are_chosen(selector: Selector) -> None:
    candidates = np.zeros(len(POINTS), dtype=bool)
    candidates[::4] = True
    chosen = selector.select(POINTS, 20, 0, candidates).indices
    assert sorted(chosen) == np.flatnonzero(candidates).tolist()


@pytest.mark.parametrize("selector", [KNNDistance(2), Uniform()])
@pytest.mark.parametrize("n", [0, 81])
def test_an_impossible_number_is_refused_by_name(selector: Selector, n: int) -> None:
    with pytest.raises(BraddError, match=f"n_anchors is {n}, but 80 of 80"):
        selector.select(POINTS, n, seed=0)


def test_uniform_depends_on_the_seed_alone_and_is_uniform() -> None:
    first = Uniform().select(POINTS, 10, seed=1).indices
    assert first.tolist() == Uniform().select(POINTS * 2, 10, seed=1).indices.tolist()
    counts = np.zeros(len(POINTS))
    for seed in range(800):
        counts[Uniform().select(POINTS, 10, seed).indices] += 1
    # 100 expected for each; a binomial's standard deviation is 9.4.
    assert counts.min() > 60
    assert counts.max() < 140
