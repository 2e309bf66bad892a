from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bradd.select.thumbnail import SAME, largest_difference, thumbnails
from photographs import as_jpeg, photos


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 70), st.integers(1, 70))
def test_a_cell_is_the_mean_of_what_it_covers(seed: int, height: int, width: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (2, 3, height, width), dtype=np.uint8)
    # Each pixel as 9 x 9: then cells have whole pixels.
    large = np.repeat(np.repeat(images, 9, axis=2), 9, axis=3).astype(float)
    means = large.reshape(2, 3, 9, height, 9, width).mean(axis=(3, 5))
    assert np.abs(thumbnails(images) - means).max() <= 0.5 + 1e-9


def test_batches_do_not_matter() -> None:
    images = photos(50)
    alone = [thumbnails(image[None])[0] for image in images]
    np.testing.assert_array_equal(thumbnails(images), alone)
    assert thumbnails(images[:0]).shape == (0, 3, 9, 9)


def differences(images: np.ndarray, changed: np.ndarray) -> np.ndarray:
    pairs = zip(thumbnails(images), thumbnails(changed)[:, None], strict=True)
    return np.concatenate([largest_difference(one, other) for one, other in pairs])


def test_the_largest_difference_is_that_of_values_less_their_mean() -> None:
    small = np.random.default_rng(0).integers(0, 256, (5000, 3, 9, 9), dtype=np.uint8)
    values = small - small.mean(axis=(1, 2, 3), keepdims=True)
    expected = np.abs(values - values[7]).max(axis=(1, 2, 3))
    np.testing.assert_allclose(largest_difference(small[7], small), expected)
    assert largest_difference(small[7], small[:0]).shape == (0,)


@pytest.mark.parametrize("quality", [40, 75, 95])
def test_re_encoded_pictures_have_the_same_thumbnail(quality: int) -> None:
    images = photos()
    assert (differences(images, as_jpeg(images, quality)) <= SAME).all()


def test_pictures_of_another_size_or_brightness_have_the_same_thumbnail() -> None:
    images = photos()
    assert (differences(images, photos(96)) <= SAME).all()
    for changed in (images * 1.1, images * 0.9, images + 10.0):
        assert (differences(images, np.clip(changed, 0, 255).astype(np.uint8)) <= SAME).all()


def test_an_object_of_an_eighth_of_the_side_is_seen_wherever_it_is() -> None:
    scene = photos()[:1]
    for top in range(0, 57, 3):
        for left in range(0, 57, 3):
            changed = scene.copy()
            covered = changed[0, 1, top : top + 8, left : left + 8]
            covered[...] = covered.mean() + (90 if covered.mean() < 128 else -90)
            assert differences(scene, changed) > SAME, (top, left)
