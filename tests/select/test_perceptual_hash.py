from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn

from bradd.select import perceptual_hash
from bradd.select.perceptual_hash import LIKE, differing_bits, like_hashes
from photographs import as_jpeg, photos


def bits(hashes: np.ndarray) -> np.ndarray:
    return np.unpackbits(hashes[:, None].view(np.uint8), axis=1)


def test_bits_are_the_low_frequencies_above_their_median() -> None:
    images = photos()
    for image, found in zip(images, bits(perceptual_hash(images)), strict=True):
        low = dctn(image.mean(axis=0), type=2)[:8, :8].ravel()
        low[0] = -np.inf
        np.testing.assert_array_equal(found, low > np.median(low[1:]))


@pytest.mark.parametrize("quality", [30, 50, 95])
def test_re_encoded_pictures_have_like_hashes(quality: int) -> None:
    images = photos()
    distances = differing_bits(perceptual_hash(images), perceptual_hash(as_jpeg(images, quality)))
    assert (distances <= LIKE).mean() >= 0.95


def test_pictures_of_another_size_or_brightness_have_like_hashes() -> None:
    reference = perceptual_hash(photos(64))
    assert (differing_bits(reference, perceptual_hash(photos(96))) <= LIKE).all()
    brighter = np.clip(photos(64).astype(int) + 10, 0, 255).astype(np.uint8)
    assert (differing_bits(reference, perceptual_hash(brighter)) <= LIKE).all()


def test_different_and_mirrored_pictures_have_unlike_hashes() -> None:
    hashes = perceptual_hash(photos())
    mirrored = perceptual_hash(photos()[:, :, :, ::-1])
    assert min(int(differing_bits(a, b)[0]) for a, b in combinations(hashes[:, None], 2)) > LIKE
    assert differing_bits(hashes, mirrored).min() > LIKE


def test_one_colour_is_zero_and_batches_do_not_matter() -> None:
    blank = np.full((3, 3, 50, 50), 77, dtype=np.uint8)
    assert perceptual_hash(blank).tolist() == [0, 0, 0]
    images = np.concatenate([photos(), photos()[:, :, :, ::-1]])
    alone = [perceptual_hash(image[None])[0] for image in images]
    assert perceptual_hash(images).tolist() == alone
    assert perceptual_hash(images[:0]).tolist() == []


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 12), st.integers(0, 7))
def test_like_hashes_are_found_as_by_comparing_all(
    seed: int, centres: int, members: int, flips: int
) -> None:
    rng = np.random.default_rng(seed)
    flipped = np.uint64(1) << rng.integers(0, 64, (centres, members, 8), dtype=np.uint64)
    flipped[:, :, flips:] = 0
    hashes = rng.integers(0, 2**64, (centres, 1), dtype=np.uint64) ^ np.bitwise_xor.reduce(
        flipped, axis=2
    )
    distinct = np.unique(hashes)
    expected = [
        (i, j)
        for i, j in combinations(range(len(distinct)), 2)
        if (int(distinct[i]) ^ int(distinct[j])).bit_count() <= 4
    ]
    assert like_hashes(distinct).tolist() == [list(pair) for pair in expected]
