"""What every selector promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bradd.errors import BraddError
from bradd.select import (
    Band,
    ClusterInverse,
    KNNDistance,
    LocalDensity,
    Rare,
    ScoreSelector,
    Uniform,
    device_candidates,
)
from bradd.select.device_candidates import DeviceCandidates

POINTS = np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32)

# Score the same whatever the seed, and whatever the order of the rows.
DETERMINISTIC: list[ScoreSelector] = [
    KNNDistance(3),
    Rare(neighbourhood=12),  # all rows are searched
    LocalDensity(10),
]
DRAWN: list[ScoreSelector] = [
    Uniform(),
    Rare(neighbourhood=80),
    ClusterInverse((4, 8), repeats=2),
]
BANDS: list[ScoreSelector] = [Band(KNNDistance(3), 0.2, 0.9), Band(Rare(80), 0.0, 1.0)]
BEST_FIRST = DETERMINISTIC + DRAWN
ALL = BEST_FIRST + BANDS

every_selector = pytest.mark.parametrize(
    "selector", ALL, ids=lambda selector: f"{type(selector).__name__}-{ALL.index(selector)}"
)


@every_selector
def test_the_same_seed_chooses_the_same_rows(selector: ScoreSelector) -> None:
    first, second = (selector.select(POINTS, 20, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.indices, second.indices)
    np.testing.assert_array_equal(first.scores, second.scores)
    assert first.signal == second.signal


@pytest.mark.parametrize("selector", DRAWN, ids=lambda selector: type(selector).__name__)
def test_another_seed_draws_anew(selector: ScoreSelector) -> None:
    assert not np.array_equal(selector.score(POINTS, 0), selector.score(POINTS, 1))


@every_selector
def test_the_score_is_that_of_the_selection(selector: ScoreSelector) -> None:
    scores = selector.score(POINTS, seed=5)
    np.testing.assert_array_equal(scores, selector.select(POINTS, 20, seed=5).scores)
    assert scores.shape == (400,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()


@every_selector
def test_the_input_is_left_as_it_was(selector: ScoreSelector) -> None:
    points = POINTS.copy()
    selector.select(points, 20, seed=0)
    np.testing.assert_array_equal(points, POINTS)


@every_selector
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(1, 30))
def test_distinct_candidates_are_chosen_as_many_as_asked(
    selector: ScoreSelector, seed: int, n: int
) -> None:
    candidates = np.random.default_rng(seed).random(len(POINTS)) < 0.3
    chosen = selector.select(POINTS, n, seed, candidates).indices
    assert chosen.shape == (n,)
    assert chosen.dtype == np.int64
    assert len(set(chosen.tolist())) == n
    assert candidates[chosen].all()


@pytest.mark.parametrize("selector", BEST_FIRST, ids=lambda s: type(s).__name__)
def test_the_highest_scores_are_chosen_best_first(selector: ScoreSelector) -> None:
    candidates = np.arange(len(POINTS)) % 3 > 0
    selection = selector.select(POINTS, 25, 0, candidates)
    chosen = selection.scores[selection.indices]
    rest = np.delete(selection.scores, selection.indices)[np.delete(candidates, selection.indices)]
    assert np.all(np.diff(chosen) <= 1e-5)
    assert chosen.min() >= rest.max() - 1e-5


@pytest.mark.parametrize("selector", DETERMINISTIC, ids=lambda s: type(s).__name__)
def test_scores_follow_the_images_not_their_order(selector: ScoreSelector) -> None:
    order = np.random.default_rng(2).permutation(len(POINTS))
    np.testing.assert_allclose(selector.score(POINTS[order]), selector.score(POINTS)[order], 1e-5)
    np.testing.assert_array_equal(selector.score(POINTS, 0), selector.score(POINTS, 1))
    straight = selector.select(POINTS, 20, seed=0).indices
    assert straight.tolist() == order[selector.select(POINTS[order], 20, seed=0).indices].tolist()


@every_selector
def test_length_of_an_embedding_does_not_matter(selector: ScoreSelector) -> None:
    lengths = np.random.default_rng(4).uniform(0.5, 20, (len(POINTS), 1)).astype(np.float32)
    np.testing.assert_allclose(
        selector.score(POINTS), selector.score(POINTS * lengths), rtol=1e-3, atol=1e-6
    )


@every_selector
@pytest.mark.parametrize("kind", ["all equal", "copies", "zeros", "one column"])
def test_degenerate_embeddings_get_finite_scores(selector: ScoreSelector, kind: str) -> None:
    points = {
        "all equal": np.ones((200, 4)),
        "copies": np.repeat(POINTS[:20], 10, axis=0),
        "zeros": np.where(np.arange(200)[:, None] % 2, POINTS[:200], 0),
        "one column": POINTS[:200, :1],
    }[kind].astype(np.float32)
    selection = selector.select(points, 10, seed=0)
    assert np.isfinite(selection.scores).all()
    assert len(set(selection.indices.tolist())) == 10


@every_selector
def test_as_few_images_as_it_says_are_enough(selector: ScoreSelector) -> None:
    fewest = selector.minimum_images()
    assert len(selector.select(POINTS[:fewest], 1, seed=0).indices) == 1


@pytest.mark.parametrize(
    "selector", [*DETERMINISTIC, *DRAWN[1:], *BANDS], ids=lambda s: type(s).__name__
)
def test_fewer_images_are_refused(selector: ScoreSelector) -> None:
    with pytest.raises(BraddError, match="images"):
        selector.select(POINTS[: selector.minimum_images() - 1], 1, seed=0)


@every_selector
@pytest.mark.parametrize("n", [0, 401])
def test_an_impossible_number_is_refused_by_name(selector: ScoreSelector, n: int) -> None:
    with pytest.raises(BraddError, match=f"n_anchors is {n}, but 400 of 400"):
        selector.select(POINTS, n, seed=0)


@pytest.mark.parametrize("selector", [KNNDistance(3), Rare(12), Rare(80), Band(Rare(80), 0.0, 1.0)])
def test_the_device_is_searched_on_and_changes_no_score(
    selector: ScoreSelector, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = selector.score(POINTS, seed=1)
    made = []

    class OnProcessor(DeviceCandidates):
        def __init__(self, base: np.ndarray, device: str | torch.device) -> None:
            made.append(device)
            super().__init__(base, "cpu")

    monkeypatch.setattr(device_candidates, "DeviceCandidates", OnProcessor)
    monkeypatch.setattr(selector, "device", torch.device("cuda"))
    np.testing.assert_allclose(selector.score(POINTS, seed=1), expected, rtol=1e-5)
    assert set(made) == {torch.device("cuda")}


@every_selector
@pytest.mark.parametrize("shape", [(0, 4), (400, 0)])
def test_empty_embeddings_are_refused(selector: ScoreSelector, shape: tuple[int, int]) -> None:
    with pytest.raises(BraddError, match="empty"):
        selector.score(np.empty(shape, np.float32))


@every_selector
def test_values_that_are_not_finite_are_refused_by_row(selector: ScoreSelector) -> None:
    points = POINTS.copy()
    points[7, 1] = np.inf
    with pytest.raises(BraddError, match="row 7"):
        selector.select(points, 5, seed=0)


@pytest.mark.parametrize(
    ("cls", "arguments", "setting"),
    [
        (KNNDistance, {"k": 0}, "selector.k is 0"),
        (LocalDensity, {"k": 0}, "selector.k is 0"),
        (Rare, {"neighbourhood": 0}, "selector.neighbourhood is 0"),
        (Rare, {"draws": 0}, "selector.draws is 0"),
        (ClusterInverse, {"clusters": ()}, r"selector.clusters is \[\]"),
        (ClusterInverse, {"clusters": (20, 1)}, r"selector.clusters is \[20, 1\]"),
        (ClusterInverse, {"repeats": 0}, "selector.repeats is 0"),
        (Band, {"low": 0.5, "high": 0.5}, "selector.low is 0.5 and selector.high is 0.5"),
        (Band, {"low": -0.1}, "selector.low is -0.1"),
        (Band, {"high": 1.5}, "selector.high is 1.5"),
    ],
)
def test_impossible_settings_are_refused_by_name(
    cls: type, arguments: dict[str, object], setting: str
) -> None:
    with pytest.raises(BraddError, match=setting):
        cls(**arguments)


@pytest.mark.parametrize(
    "selector",
    [KNNDistance(5), Rare(), Rare(60), LocalDensity(), ClusterInverse()],
    ids=lambda s: type(s).__name__,
)
def test_a_planted_outlier_is_found(selector: ScoreSelector) -> None:
    points = np.random.default_rng(1).normal(size=(1500, 8)).astype(np.float32) * 0.1 + 1
    points[137] = -1
    assert 137 in selector.select(points, 30, seed=0).indices


def test_noise_of_another_batch_size_does_not_change_ties() -> None:
    points = np.repeat(POINTS[:20], 2, axis=0)  # every score occurs twice
    noise = np.random.default_rng(3).normal(size=points.shape).astype(np.float32) * 1e-8
    first = KNNDistance(5).select(points, 7, seed=0).indices
    assert first.tolist() == KNNDistance(5).select(points + noise, 7, seed=0).indices.tolist()


def test_uniform_depends_on_the_seed_alone_and_is_uniform() -> None:
    points = POINTS[:80]
    first = Uniform().select(points, 10, seed=1).indices
    assert first.tolist() == Uniform().select(points * 2, 10, seed=1).indices.tolist()
    counts = np.zeros(len(points))
    for seed in range(800):
        counts[Uniform().select(points, 10, seed).indices] += 1
    # 100 expected for each; a binomial's standard deviation is 9.4.
    assert counts.min() > 60
    assert counts.max() < 140
