from __future__ import annotations

import numpy as np

from bradd.generate import anchor_distances


def test_distances_are_to_the_own_and_to_another_anchor() -> None:
    rng = np.random.default_rng(0)
    anchors = rng.normal(size=(6, 5))
    own = np.repeat(np.arange(6), 50)
    variations = anchors[own] * rng.uniform(0.5, 2, size=(300, 1))  # the same direction
    own_distance, random_distance = anchor_distances(variations, anchors, own, seed=3)
    np.testing.assert_allclose(own_distance, 0, atol=1e-7)
    unit = anchors / np.linalg.norm(anchors, axis=1, keepdims=True)
    between = np.linalg.norm(unit[:, None] - unit[None], axis=2)
    drawn = np.abs(between[own] - random_distance[:, None]).argmin(axis=1)
    assert np.all(drawn != own)
    assert all(set(drawn[own == anchor]) == set(range(6)) - {anchor} for anchor in range(6))


def test_without_any_relation_half_are_nearer() -> None:
    rng = np.random.default_rng(1)
    anchors, variations = rng.normal(size=(50, 16)), rng.normal(size=(4000, 16))
    own_distance, random_distance = anchor_distances(
        variations, anchors, rng.integers(0, 50, 4000), seed=0
    )
    assert abs((own_distance < random_distance).mean() - 0.5) < 0.04
