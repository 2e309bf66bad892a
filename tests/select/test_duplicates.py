from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from bradd.errors import BraddError
from bradd.select import KNNDistance, duplicates, duplicates_of, perceptual_hash, select_guarded
from bradd.select.thumbnail import thumbnails
from photographs import as_jpeg, fixed_scene, photos


def no_thumbnails(rows: int) -> np.ndarray:
    """They object to nothing."""
    return np.zeros((rows, 3, 9, 9), dtype=np.uint8)


def by_comparing_all(
    hashes: np.ndarray,
    small: np.ndarray,
    embeddings: np.ndarray,
    candidates: np.ndarray,
    ratio: float,
) -> list[int]:
    """The definition, for at most 1,000 images: the sample is then all of them."""
    lengths = np.linalg.norm(embeddings.astype(float), axis=1, keepdims=True)
    points = embeddings / np.where(lengths > 0, lengths, 1)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    numbers = [int(value) for value in hashes]
    alike = np.array([[(a ^ b).bit_count() <= 4 for b in numbers] for a in numbers])
    different = np.where(alike | ~candidates[None], np.inf, distances).min(axis=1)
    reach = ratio * np.where(np.isinf(different), 0, np.minimum(different, 1))
    values = small.reshape(len(small), -1).astype(float)
    values -= values.mean(axis=1, keepdims=True)
    stands_for = list(range(len(points)))
    representatives: list[int] = []
    for row in np.flatnonzero(candidates).tolist():
        compared = [other for other in representatives if alike[row, other]][:64]
        for other in compared:
            near = distances[row, other] <= min(reach[row], reach[other])
            if near and np.abs(values[row] - values[other]).max() <= 24:
                stands_for[row] = other
                break
        else:
            representatives.append(row)
    return stands_for


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 60),  # of more, only 64 of like hash are looked at
    pictures=st.integers(1, 20),
    hashes_of=st.integers(1, 20),
    spread=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    ratio=st.sampled_from([0.01, 0.3, 0.5, 0.9]),
    changed=st.sampled_from([0.0, 0.3]),
    share=st.sampled_from([0.5, 1.0]),
)
def test_groups_are_those_of_comparing_all(
    seed: int,
    rows: int,
    pictures: int,
    hashes_of: int,
    spread: float,
    ratio: float,
    changed: float,
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
    small = rng.integers(90, 110, (rows, 3, 9, 9), dtype=np.uint8)
    small[rng.random(rows) < changed, 1, 4, rng.integers(9)] += 40
    found = duplicates_of(hashes, small, embeddings, candidates, ratio)
    assert found.tolist() == by_comparing_all(hashes, small, embeddings, candidates, ratio)


def pixels(images: np.ndarray) -> np.ndarray:
    """An embedding that needs no model: the pixels, less their mean, [N, 3 * 16 * 16]."""
    side = images.shape[2] // 16
    small = images.reshape(len(images), 3, 16, side, 16, side).mean(axis=(3, 5))
    return (small - small.mean(axis=(0, 2, 3), keepdims=True)).reshape(len(images), -1)


def test_re_encoded_and_brightened_pictures_are_one_group_with_the_first() -> None:
    images = photos()
    brighter = np.clip(images * 1.05, 0, 255).astype(np.uint8)
    every = np.concatenate([images, as_jpeg(images, 40), as_jpeg(images, 90), brighter, images])
    stands_for = duplicates_of(perceptual_hash(every), thumbnails(every), pixels(every))
    originals = np.tile(np.arange(len(images)), 5)
    np.testing.assert_array_equal(stands_for[: len(images)], originals[: len(images)])
    assert (stands_for == originals).mean() >= 0.97
    assert (stands_for[-len(images) :] == originals[: len(images)]).all()


def test_few_digits_are_taken_for_copies_of_another() -> None:
    digits = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    images = np.repeat(digits[:, None], 3, axis=1)
    embeddings = load_digits().data - load_digits().data.mean(axis=0)
    stands_for = duplicates_of(perceptual_hash(images), thumbnails(images), embeddings)
    assert (stands_for != np.arange(len(digits))).mean() < 0.01


def test_scale_and_length_of_embeddings_do_not_matter() -> None:
    images = np.concatenate([photos(), as_jpeg(photos(), 60)])
    hashes, small, embeddings = perceptual_hash(images), thumbnails(images), pixels(images)
    stands_for = duplicates_of(hashes, small, embeddings)
    lengths = np.random.default_rng(0).uniform(1, 9, (len(images), 1))
    scaled = duplicates_of(hashes, small, embeddings * 1e-3 * lengths)
    np.testing.assert_array_equal(scaled, stands_for)


def principal_components(images: np.ndarray) -> np.ndarray:
    values = images.reshape(len(images), -1) / 255
    values -= values.mean(axis=0)
    return values @ np.linalg.svd(values, full_matrices=False)[2][:16].T


@pytest.mark.parametrize("embed", [pixels, principal_components])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_frame_with_an_animal_is_no_copy_of_the_empty_scene(
    embed: Callable[[np.ndarray], np.ndarray], seed: int
) -> None:
    rare = [3, 17, 30, 31, 58]
    frames = np.concatenate(
        [fixed_scene(photos()[0], 60, rare, seed), fixed_scene(photos()[12], 60, [], seed)]
    )
    hashes, embeddings = perceptual_hash(frames), embed(frames)
    by_hash = duplicates_of(hashes, no_thumbnails(120), embeddings)
    assert (by_hash[rare] == 0).any()  # a hash alone is not enough
    stands_for = duplicates_of(hashes, thumbnails(frames), embeddings)
    assert stands_for[rare].tolist() == rare
    assert not set(rare) & set(stands_for[np.delete(np.arange(120), rare)].tolist())
    assert (np.delete(stands_for[:60], rare) == 0).all()
    assert (stands_for[60:] == 60).all()


def test_where_no_image_is_different_only_equal_embeddings_are_copies() -> None:
    embeddings = np.random.default_rng(0).normal(size=(200, 16))
    embeddings[150] = embeddings[7]
    stands_for = duplicates_of(np.zeros(200, np.uint64), no_thumbnails(200), embeddings)
    assert stands_for[150] == 7
    np.testing.assert_array_equal(np.delete(stands_for, 150), np.delete(np.arange(200), 150))
    reasons = np.full(200, "")
    selection = select_guarded(
        KNNDistance(5), embeddings, 10, 0, reasons=reasons, stands_for=stands_for
    )
    assert len(selection.indices) == 10


def test_however_far_different_images_are_copies_are_no_farther_than_the_ratio() -> None:
    angles = np.array([0.0, 0.45, 0.55, np.pi])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    hashes = np.array([0, 0, 0, 2**64 - 1], dtype=np.uint64)
    assert duplicates_of(hashes, no_thumbnails(4), embeddings).tolist() == [0, 0, 2, 3]


def test_a_chain_of_slowly_changing_images_is_not_one_group() -> None:
    angles = np.concatenate([np.arange(100) * 0.02, [4.0]])  # each near the next, ends far apart
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    hashes = np.zeros(101, dtype=np.uint64)
    hashes[100] = 2**64 - 1
    stands_for = duplicates_of(hashes, no_thumbnails(101), embeddings, ratio=0.1)
    to_first = np.linalg.norm(embeddings - embeddings[stands_for], axis=1)
    different = np.linalg.norm(embeddings - embeddings[100], axis=1)
    assert (to_first[:100] <= 0.1 * different[:100] + 1e-6).all()
    assert 5 < len(np.unique(stands_for)) < 50


def test_copies_need_hash_thumbnail_and_embedding() -> None:
    embeddings = np.array([[1, 0], [1, 0.001], [0, 1], [1, 0.001], [1, 0.001], [-1, 0], [0, -1]])
    hashes = np.zeros(7, dtype=np.uint64)
    hashes[5:] = 2**64 - 1  # what is different
    hashes[3] = 2**64 - 2**40
    small = no_thumbnails(7)
    small[4, 2, 0, 8] = 30
    alone = [0, 1, 2, 4, 5, 6]  # without the one that, of unlike hash, leaves no reach
    found = duplicates_of(hashes[alone], small[alone], embeddings[alone])
    assert found.tolist() == [0, 0, 2, 3, 4, 5]
    assert duplicates_of(hashes, small, embeddings)[2:].tolist() == [2, 3, 4, 5, 6]


def test_ten_thousand_blank_images_are_one_group() -> None:
    rng = np.random.default_rng(0)
    hashes = np.concatenate([np.zeros(10_000, np.uint64), rng.integers(0, 2**64, 50, np.uint64)])
    embeddings = rng.normal(size=(len(hashes), 32))
    embeddings[:10_000] = embeddings[0] + 1e-6 * rng.normal(size=(10_000, 32))
    stands_for = duplicates_of(hashes, no_thumbnails(len(hashes)), embeddings)
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
    stands_for = duplicates_of(hashes, no_thumbnails(len(hashes)), embeddings)
    assert work <= 64 * rows
    assert stands_for[-2:].tolist() == [3, rows - 1]


def test_what_is_no_candidate_stands_for_itself() -> None:
    embeddings = np.ones((6, 3))
    candidates = np.array([False, True, True, False, True, False])
    stands_for = duplicates_of(np.zeros(6, np.uint64), no_thumbnails(6), embeddings, candidates)
    assert stands_for.tolist() == [0, 1, 1, 3, 1, 5]


def test_wrong_arguments_are_refused() -> None:
    hashes, small = np.zeros(4, np.uint64), no_thumbnails(4)
    for ratio in (0, 1.5):
        with pytest.raises(BraddError, match=f"ratio for duplicates is {ratio}"):
            duplicates_of(hashes, small, np.ones((4, 2)), ratio=ratio)
    with pytest.raises(ValueError, match="3 hashes"):
        duplicates_of(hashes[:3], small, np.ones((4, 2)))
    with pytest.raises(ValueError, match="3 thumbnails"):
        duplicates_of(hashes, small[:3], np.ones((4, 2)))
    with pytest.raises(BraddError, match="row 2"):
        duplicates_of(hashes, small, np.array([[1.0], [2], [np.nan], [3]]))
