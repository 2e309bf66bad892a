from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from bradd.errors import BraddError
from bradd.select import duplicates, duplicates_of, perceptual_hash
from photographs import as_jpeg, photos


def by_comparing_all(
    hashes: np.ndarray, embeddings: np.ndarray, candidates: np.ndarray, ratio: float
) -> list[int]:
    """The definition, for at most 1,000 images: the sample is then all of them."""
    lengths = np.linalg.norm(embeddings.astype(float), axis=1, keepdims=True)
    points = embeddings / np.where(lengths > 0, lengths, 1)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    numbers = [int(value) for value in hashes]
    alike = np.array([[(a ^ b).bit_count() <= 4 for b in numbers] for a in numbers])
    different = np.where(alike | ~candidates[None], np.inf, distances).min(axis=1)
    stands_for = list(range(len(points)))
    representatives: list[int] = []
    for row in np.flatnonzero(candidates).tolist():
        compared = [other for other in representatives if alike[row, other]][:64]
        for other in compared:
            if distances[row, other] <= ratio * min(different[row], different[other]):
                stands_for[row] = other
                break
        else:
            representatives.append(row)
    return stands_for


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 120),
    pictures=st.integers(1, 20),
    hashes_of=st.integers(1, 20),
    spread=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    ratio=st.sampled_from([0.01, 0.3, 0.5, 1.0]),
    share=st.sampled_from([0.5, 1.0]),
)
def test_groups_are_those_of_comparing_all(
    seed: int,
    rows: int,
    pictures: int,
    hashes_of: int,
    spread: float,
    ratio: float,
    share: float,
) -> None:
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, pictures, rows)
    # Some pictures share a hash; some copies differ in up to four of their bits, two in up to 8.
    flips = np.uint64(1) << rng.integers(0, 64, (rows, 4), dtype=np.uint64)
    flips[rng.random((rows, 4)) < 0.6] = 0
    hashes = rng.integers(0, 2**64, hashes_of, dtype=np.uint64)[picture % hashes_of]
    hashes = hashes ^ np.bitwise_xor.reduce(flips, axis=1)
    embeddings = rng.normal(size=(pictures, 6))[picture] + spread * rng.normal(size=(rows, 6))
    embeddings = embeddings.astype(np.float32)
    candidates = rng.random(rows) < share
    found = duplicates_of(hashes, embeddings, candidates, ratio)
    assert found.tolist() == by_comparing_all(hashes, embeddings, candidates, ratio)


def pixels(images: np.ndarray) -> np.ndarray:
    """An embedding that needs no model: the pixels, less their mean, [N, 3 * 16 * 16]."""
    side = images.shape[2] // 16
    small = images.reshape(len(images), 3, 16, side, 16, side).mean(axis=(3, 5))
    return (small - small.mean(axis=(0, 2, 3), keepdims=True)).reshape(len(images), -1)


def test_re_encoded_and_brightened_pictures_are_one_group_with_the_first() -> None:
    images = photos()
    brighter = np.clip(images * 1.05, 0, 255).astype(np.uint8)
    every = np.concatenate([images, as_jpeg(images, 40), as_jpeg(images, 90), brighter, images])
    stands_for = duplicates_of(perceptual_hash(every), pixels(every))
    originals = np.tile(np.arange(len(images)), 5)
    np.testing.assert_array_equal(stands_for[: len(images)], originals[: len(images)])
    assert (stands_for == originals).mean() >= 0.97
    assert (stands_for[-len(images) :] == originals[: len(images)]).all()


def test_few_digits_are_taken_for_copies_of_another() -> None:
    digits = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    images = np.repeat(digits[:, None], 3, axis=1)
    embeddings = load_digits().data - load_digits().data.mean(axis=0)
    stands_for = duplicates_of(perceptual_hash(images), embeddings)
    assert (stands_for != np.arange(len(digits))).mean() < 0.01


def test_scale_and_length_of_embeddings_do_not_matter() -> None:
    images = np.concatenate([photos(), as_jpeg(photos(), 60)])
    hashes, embeddings = perceptual_hash(images), pixels(images)
    stands_for = duplicates_of(hashes, embeddings)
    lengths = np.random.default_rng(0).uniform(1, 9, (len(images), 1))
    np.testing.assert_array_equal(duplicates_of(hashes, embeddings * 1e-3 * lengths), stands_for)


def test_a_chain_of_slowly_changing_images_is_not_one_group() -> None:
    angles = np.concatenate([np.arange(100) * 0.02, [4.0]])  # each near the next, ends far apart
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    hashes = np.zeros(101, dtype=np.uint64)
    hashes[100] = 2**64 - 1
    stands_for = duplicates_of(hashes, embeddings, ratio=0.1)
    to_first = np.linalg.norm(embeddings - embeddings[stands_for], axis=1)
    different = np.linalg.norm(embeddings - embeddings[100], axis=1)
    assert (to_first[:100] <= 0.1 * different[:100] + 1e-6).all()
    assert 5 < len(np.unique(stands_for)) < 50


def test_copies_need_both_hash_and_embedding() -> None:
    embeddings = np.array([[1, 0], [1, 0.001], [0, 1], [1, 0.001]])
    hashes = np.array([0, 0, 0, 2**64 - 1], dtype=np.uint64)
    embeddings = np.concatenate([embeddings, [[-1, 0]]])  # another different image
    hashes = np.append(hashes, np.uint64(2**63 - 1) << np.uint64(20))
    assert duplicates_of(hashes, embeddings)[2:].tolist() == [2, 3, 4]
    assert duplicates_of(hashes[[0, 1, 2, 4]], embeddings[[0, 1, 2, 4]]).tolist() == [0, 0, 2, 3]


def test_ten_thousand_blank_images_are_one_group() -> None:
    rng = np.random.default_rng(0)
    hashes = np.concatenate([np.zeros(10_000, np.uint64), rng.integers(0, 2**64, 50, np.uint64)])
    embeddings = rng.normal(size=(len(hashes), 32))
    embeddings[:10_000] = embeddings[0] + 1e-6 * rng.normal(size=(10_000, 32))
    stands_for = duplicates_of(hashes, embeddings)
    assert set(stands_for[:10_000]) == {0}
    np.testing.assert_array_equal(stands_for[10_000:], np.arange(10_000, 10_050))


def test_the_work_grows_with_the_images_where_hashes_say_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, work = 3000, 0
    measure = duplicates._distances

    def counted(
        points: np.ndarray, lengths: np.ndarray, row: int, others: np.ndarray
    ) -> np.ndarray:
        nonlocal work
        work += len(others)
        return measure(points, lengths, row, others)

    monkeypatch.setattr(duplicates, "_distances", counted)
    embeddings = np.random.default_rng(0).normal(size=(rows, 16))
    embeddings[-2] = embeddings[3]  # among the 64 that all are compared with
    embeddings[-1] = embeddings[100]  # not among them
    hashes = np.zeros(rows, dtype=np.uint64)
    hashes[200:1200] = 2**64 - 1  # so that there are different images
    stands_for = duplicates_of(hashes, embeddings)
    assert work <= 64 * rows
    assert stands_for[-2:].tolist() == [3, rows - 1]


def test_what_is_no_candidate_stands_for_itself() -> None:
    embeddings = np.ones((6, 3))
    candidates = np.array([False, True, True, False, True, False])
    stands_for = duplicates_of(np.zeros(6, np.uint64), embeddings, candidates)
    assert stands_for.tolist() == [0, 1, 1, 3, 1, 5]


def test_wrong_arguments_are_refused() -> None:
    for ratio in (0, 1.5):
        with pytest.raises(BraddError, match=f"ratio for duplicates is {ratio}"):
            duplicates_of(np.zeros(4, np.uint64), np.ones((4, 2)), ratio=ratio)
    with pytest.raises(ValueError, match="hashes"):
        duplicates_of(np.zeros(3, np.uint64), np.ones((4, 2)))
    with pytest.raises(BraddError, match="row 2"):
        duplicates_of(np.zeros(4, np.uint64), np.array([[1.0], [2], [np.nan], [3]]))
