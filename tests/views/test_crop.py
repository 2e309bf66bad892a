from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from bradd.data.resize import centre_view
from bradd.errors import BraddError
from bradd.views import Box
from bradd.views.crop import crop

MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}


def noise(width: int, height: int, smooth: float = 0) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(smooth))


def channels_first(image: Image.Image) -> np.ndarray:
    pixels: np.ndarray = np.asarray(image)
    return pixels.transpose(2, 0, 1)


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    distance: np.ndarray = np.abs(first.astype(int) - second.astype(int))
    return distance


@pytest.mark.parametrize(
    "box", [Box(10, 5, 40, 30), Box(0, 0, 97, 61), Box(3, 2, 9, 12), Box(80, 40, 17, 21)]
)
@pytest.mark.parametrize("size", [16, 32, 50])
def test_crop_is_torchvisions_resized_crop(box: Box, size: int) -> None:
    rough, smooth = noise(97, 61), noise(97, 61, smooth=2)
    place = (box.top, box.left, box.height, box.width, [size, size], MODES["bilinear"])

    error = difference(
        crop(smooth, box, size), channels_first(reference.resized_crop(smooth, *place))
    )
    assert error.mean() < 1

    # At its edge the crop may see one source pixel beyond the box; inside it is the same image.
    edge = math.ceil(size / min(box.width, box.height)) + 1
    inside = (..., slice(edge, -edge), slice(edge, -edge))
    theirs = channels_first(reference.resized_crop(rough, *place))
    assert difference(crop(rough, box, size)[inside], theirs[inside]).max() <= 1


def test_crop_copies_pixels_where_nothing_is_resized() -> None:
    image = noise(40, 30)
    pixels = channels_first(image)
    np.testing.assert_array_equal(crop(image, Box(7, 3, 20, 20), 20), pixels[:, 3:23, 7:27])
    square = noise(24, 24)
    np.testing.assert_array_equal(crop(square, Box(0, 0, 24, 24), 24), channels_first(square))


@pytest.mark.parametrize("shape", [(96, 64), (64, 96), (64, 64), (32, 48), (128, 32)])
def test_centre_view_is_torchvisions_resize_and_centre_crop(shape: tuple[int, int]) -> None:
    image = noise(*shape)
    resized = reference.resize(image, [32], MODES["bicubic"], antialias=True)
    theirs = channels_first(reference.center_crop(resized, [32]))
    assert difference(centre_view(image, 32), theirs).max() <= 1


@pytest.mark.parametrize("shape", [(97, 61), (61, 97), (33, 50)])
def test_centre_view_of_odd_shapes_is_torchvisions_within_a_pixel(shape: tuple[int, int]) -> None:
    image = noise(*shape, smooth=6)
    resized = reference.resize(image, [32], MODES["bicubic"], antialias=True)
    theirs = channels_first(reference.center_crop(resized, [32]))
    one_pixel = difference(theirs[:, 1:], theirs[:, :-1]).max()
    assert difference(centre_view(image, 32), theirs).max() <= one_pixel


def test_centre_view_is_the_identity_at_its_own_size() -> None:
    image = noise(32, 32)
    np.testing.assert_array_equal(centre_view(image, 32), channels_first(image))


@given(width=st.integers(1, 300), height=st.integers(1, 300), size=st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_views_have_the_size_asked_for_and_invent_no_colour(
    width: int, height: int, size: int
) -> None:
    colour = (200, 100, 7)
    image = Image.new("RGB", (width, height), colour)
    for view in (centre_view(image, size), crop(image, Box(0, 0, width, height), size)):
        assert view.dtype == np.uint8
        assert view.shape == (3, size, size)
        assert view.flags.c_contiguous
        assert (view == np.array(colour)[:, None, None]).all()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_images_that_are_not_rgb_are_refused(mode: str) -> None:
    image = Image.new(mode, (8, 8))
    with pytest.raises(BraddError, match=mode):
        crop(image, Box(0, 0, 8, 8), 4)
    with pytest.raises(BraddError, match=mode):
        centre_view(image, 4)
