from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image

from bradd.data.decode import Reduction, UnreadableImage
from bradd.errors import BraddError
from bradd.views import cache as module
from bradd.views.cache import ImageCache, cache_shape, memory_needed


class Pictures:
    """Noise of the given (width, height)s; more can be added at the end."""

    def __init__(self, *sizes: tuple[int, int]) -> None:
        self.sizes = list(sizes)
        self.loaded: list[int] = []

    def __len__(self) -> int:
        return len(self.sizes)

    def load(self, index: int, reduction: Reduction | None = None) -> Image.Image:
        self.loaded.append(index)
        width, height = self.sizes[index]
        pixels = np.random.default_rng(index).integers(0, 256, (height, width, 3), dtype=np.uint8)
        return Image.fromarray(pixels)


def everything(cache: ImageCache) -> tuple[np.ndarray, np.ndarray]:
    return cache.get(np.arange(len(cache)))


def channels_first(image: Image.Image) -> np.ndarray:
    pixels: np.ndarray = np.asarray(image)
    return pixels.transpose(2, 0, 1)


@pytest.mark.parametrize(
    ("sizes", "side", "least", "shape"),
    [
        ([(32, 32)] * 3, 64, 32, (32, 32)),
        ([(40, 30)] * 3, 64, 16, (40, 30)),
        ([(40, 30)] * 3, 39, 16, (39, 39)),
        ([(28, 28)] * 3, 64, 32, (64, 64)),  # smaller than the views
        ([(40, 30), (40, 30), (30, 40)], 64, 16, (64, 64)),
    ],
)
def test_the_shape_is_the_images_own_or_a_square(
    sizes: list[tuple[int, int]], side: int, least: int, shape: tuple[int, int]
) -> None:
    assert cache_shape(np.array(sizes), side, least) == shape


def test_images_of_the_caches_shape_are_kept_as_they_are() -> None:
    pictures = Pictures(*[(40, 30)] * 5)
    pixels, sizes = everything(ImageCache(pictures, (40, 30), threads=3))
    assert pixels.shape == (5, 3, 30, 40)
    assert sizes.tolist() == [[40, 30]] * 5
    for index in range(5):
        np.testing.assert_array_equal(pixels[index], channels_first(pictures.load(index)))


@pytest.mark.parametrize("sizes", [[(40, 30)] * 3, [(8, 9), (8, 9), (20, 30), (4, 4)]])
def test_others_are_resized_and_their_size_is_remembered(sizes: list[tuple[int, int]]) -> None:
    pictures = Pictures(*sizes)
    pixels, remembered = everything(ImageCache(pictures, (16, 16)))
    assert pixels.shape == (len(sizes), 3, 16, 16)
    assert remembered.tolist() == [list(size) for size in sizes]
    for index in range(len(sizes)):
        square = pictures.load(index).resize((16, 16), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(pixels[index], channels_first(square))


def test_images_come_in_the_order_asked_for() -> None:
    cache = ImageCache(Pictures(*[(6, 6)] * 9), (6, 6))
    pixels, _ = everything(cache)
    chosen, _ = cache.get(np.array([7, 0, 7, 3]))
    np.testing.assert_array_equal(chosen, pixels[[7, 0, 7, 3]])


def test_the_cache_grows_with_its_images_and_decodes_each_once() -> None:
    pictures = Pictures(*[(6, 6)] * 4)
    cache = ImageCache(pictures, (6, 6))
    before, _ = everything(cache)
    pictures.sizes += [(12, 12), (6, 6)]
    pictures.loaded.clear()
    assert len(cache) == 6
    pixels, sizes = cache.get(np.array([5, 1, 4]))
    assert sorted(pictures.loaded) == [4, 5]
    assert sizes.tolist() == [[6, 6], [6, 6], [12, 12]]
    np.testing.assert_array_equal(pixels[0], channels_first(pictures.load(5)))
    np.testing.assert_array_equal(pixels[1], before[1])
    reduced = pictures.load(4).resize((6, 6), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(pixels[2], channels_first(reduced))


def test_filling_tells_its_progress_and_is_done_once() -> None:
    pictures = Pictures(*[(6, 6)] * 600)
    cache = ImageCache(pictures, (6, 6), threads=2)
    steps: list[int] = []
    cache.fill(steps.append)
    assert sum(steps) == 600
    assert len(steps) > 1
    pictures.loaded.clear()
    cache.fill(steps.append)
    everything(cache)
    assert sum(steps) == 600
    assert pictures.loaded == []


def test_the_number_of_threads_does_not_matter() -> None:
    pictures = Pictures(*[(9, 7)] * 20, (10, 10))
    one, many = (everything(ImageCache(pictures, (12, 12), threads=n)) for n in (1, 4))
    np.testing.assert_array_equal(one[0], many[0])
    np.testing.assert_array_equal(one[1], many[1])


def test_a_filled_cache_survives_pickling() -> None:
    cache = ImageCache(Pictures(*[(6, 6)] * 4), (6, 6))
    cache.fill()
    copy = pickle.loads(pickle.dumps(cache))
    np.testing.assert_array_equal(everything(copy)[0], everything(cache)[0])


def test_too_little_memory_is_said_before_anything_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pictures = Pictures(*[(100, 100)] * 50)
    needed = memory_needed(50, 64)
    assert needed == 50 * 3 * 64 * 64
    monkeypatch.setattr(module, "available_memory", lambda: needed - 1)
    with pytest.raises(BraddError, match="cache: 50 images of 64 x 64 pixels need"):
        ImageCache(pictures, (64, 64)).fill()
    assert pictures.loaded == []
    monkeypatch.setattr(module, "available_memory", lambda: needed)
    ImageCache(pictures, (64, 64)).fill()


def test_unreadable_images_are_raised() -> None:
    class Broken(Pictures):
        def load(self, index: int, reduction: Reduction | None = None) -> Image.Image:
            if index == 2:
                raise UnreadableImage("it is torn", "2.jpg")
            return super().load(index, reduction)

    with pytest.raises(UnreadableImage, match=r"2\.jpg: it is torn"):
        ImageCache(Broken(*[(6, 6)] * 4), (6, 6)).fill()
