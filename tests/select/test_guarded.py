from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bradd.errors import BraddError
from bradd.select import KNNDistance, Selector, Uniform, duplicates_of, select_guarded

ROWS = 80
POINTS = np.random.default_rng(0).normal(size=(ROWS, 8)).astype(np.float32)
NO_REASONS = np.full(ROWS, "", dtype="<U14")
ALONE = np.arange(ROWS)


def around_an_outlier(copies: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings and hashes of 100 images in a crowd, an outlier, and near-copies of it."""
    rng = np.random.default_rng(1)
    crowd = rng.normal(size=(100, 8)) * 0.1 + 1
    outlier = -np.ones((1, 8))
    near = outlier + rng.normal(size=(copies, 8)) * 0.002
    hashes = rng.integers(0, 2**64, 101, dtype=np.uint64)
    near_hashes = hashes[100] ^ (np.uint64(1) << rng.integers(0, 64, copies, dtype=np.uint64))
    return np.concatenate([crowd, outlier, near]), np.concatenate([hashes, near_hashes])


def test_near_copies_do_not_hide_an_outlier() -> None:
    embeddings, hashes = around_an_outlier(copies=6)
    plain = KNNDistance(5).select(embeddings, 5, seed=0)
    assert plain.indices.max() < 100  # neither the outlier nor a copy of it
    small = np.zeros((len(hashes), 3, 9, 9), dtype=np.uint8)  # they object to nothing
    stands_for = duplicates_of(hashes, small, embeddings)
    guarded = select_guarded(
        KNNDistance(5),
        embeddings,
        5,
        0,
        reasons=np.full(len(embeddings), ""),
        stands_for=stands_for,
    )
    assert guarded.indices[0] == 100
    assert guarded.indices[1:].max() < 100  # chosen once
    alone = KNNDistance(5).select(embeddings[:101], 5, seed=0)
    np.testing.assert_array_equal(guarded.indices, alone.indices)
    np.testing.assert_array_equal(guarded.scores[:101], alone.scores)
    np.testing.assert_array_equal(guarded.scores[101:], np.repeat(alone.scores[100], 6))


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32),
    st.integers(6, 60),
    st.sampled_from([KNNDistance(3), KNNDistance(5), Uniform()]),
    st.booleans(),
)
def test_without_guarded_images_and_copies_the_selector_decides(
    seed: int, rows: int, selector: Selector, restricted: bool
) -> None:
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(rows, 4)).astype(np.float32)
    candidates = rng.random(rows) < 0.6 if restricted else None
    if candidates is not None:
        candidates[0] = True
    n = int(rng.integers(1, 1 + (rows if candidates is None else candidates.sum())))
    plain = selector.select(embeddings, n, seed, candidates)
    guarded = select_guarded(
        selector,
        embeddings,
        n,
        seed,
        reasons=np.full(rows, ""),
        stands_for=np.arange(rows),
        candidates=candidates,
    )
    np.testing.assert_array_equal(guarded.indices, plain.indices)
    np.testing.assert_array_equal(guarded.scores, plain.scores)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from([KNNDistance(2), Uniform()]))
def test_only_unguarded_candidates_are_chosen_one_of_each_group(
    seed: int, selector: Selector
) -> None:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 40, ROWS)
    stands_for = np.array([np.flatnonzero(group == own)[0] for own in group])
    reasons = np.where(rng.random(ROWS) < 0.2, "blank", "").astype(object)
    candidates = rng.random(ROWS) < 0.8
    # The definition: of each group the first row without a reason, if it is a candidate.
    clean = [np.flatnonzero((group == own) & (reasons == "")) for own in range(40)]
    eligible = {int(rows[0]) for rows in clean if len(rows) and candidates[rows[0]]}
    selection = select_guarded(
        selector,
        POINTS,
        len(eligible),
        seed,
        reasons=reasons,
        stands_for=stands_for,
        candidates=candidates,
    )
    assert set(selection.indices.tolist()) == eligible
    assert len(selection.indices) == len(eligible)
    assert selection.scores.shape == (ROWS,)
    assert np.isfinite(selection.scores).all()
    for own in range(40):
        assert len(set(selection.scores[group == own])) <= 1


def test_guarded_images_remain_neighbours() -> None:
    reasons = NO_REASONS.copy()
    reasons[::7] = "noise"
    selection = select_guarded(KNNDistance(3), POINTS, 10, 0, reasons=reasons, stands_for=ALONE)
    np.testing.assert_array_equal(selection.scores, KNNDistance(3).select(POINTS, 10, 0).scores)
    assert set(selection.indices.tolist()).isdisjoint(range(0, ROWS, 7))


def test_too_few_candidates_are_counted_by_reason() -> None:
    reasons = NO_REASONS.copy()
    reasons[:60] = "blank"
    reasons[60:65] = "noise"
    stands_for = ALONE.copy()
    stands_for[75:] = 74
    with pytest.raises(BraddError, match="n_anchors is 11, but 10 of 80"):
        select_guarded(KNNDistance(3), POINTS, 11, 0, reasons=reasons, stands_for=stands_for)
    with pytest.raises(
        BraddError, match="60 guarded as blank, 5 guarded as noise, 5 copies of others"
    ):
        select_guarded(KNNDistance(3), POINTS, 11, 0, reasons=reasons, stands_for=stands_for)
    enough = select_guarded(KNNDistance(3), POINTS, 10, 0, reasons=reasons, stands_for=stands_for)
    assert sorted(enough.indices) == list(range(65, 75))


def test_too_few_different_images_for_the_selector_are_refused() -> None:
    stands_for = np.where(ALONE < 4, ALONE, 3)
    with pytest.raises(BraddError, match=r"KNNDistance needs 6 to compare.*76 copies of others"):
        select_guarded(KNNDistance(5), POINTS, 2, 0, reasons=NO_REASONS, stands_for=stands_for)


@pytest.mark.parametrize("stands_for", [ALONE[:-1], np.append(ALONE[1:], 0)])
def test_rows_that_cannot_stand_for_others_are_refused(stands_for: np.ndarray) -> None:
    with pytest.raises(ValueError, match="stands_for"):
        select_guarded(KNNDistance(3), POINTS, 5, 0, reasons=NO_REASONS, stands_for=stands_for)
