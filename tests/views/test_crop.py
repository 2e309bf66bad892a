from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from bradd.data.resize import centre_view
from bradd.errors import BraddError
from bradd.views.crop import Box, crop, crop_batch

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
@pytest.mark.parametrize("size", [16, 32, 50, 96])
def test_crop_is_torchvisions_resized_crop(box: Box, size: int) -> None:
    image = noise(97, 61)
    place = (int(box.top), int(box.left), int(box.height), int(box.width), [size, size])
    theirs = channels_first(reference.resized_crop(image, *place, MODES["bilinear"]))
    error = difference(crop(image, box, size), theirs)
    assert error.mean() < 0.5  # of 255
    assert error.max() <= 1


@given(data=st.data(), size=st.integers(1, 80))
@settings(max_examples=50, deadline=None)
def test_a_batch_is_cropped_as_each_image_alone(data: st.DataObject, size: int) -> None:
    width, height = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60))
    images = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    boxes = []
    for _ in range(3):
        box_width, box_height = data.draw(st.integers(1, width)), data.draw(st.integers(1, height))
        left = data.draw(st.integers(0, width - box_width))
        boxes.append(
            Box(left, data.draw(st.integers(0, height - box_height)), box_width, box_height)
        )
    batch = torch.from_numpy(images).permute(0, 3, 1, 2)
    cropped = crop_batch(batch, np.array(boxes, np.float32), size)
    assert cropped.shape == (3, 3, size, size)
    assert cropped.dtype == torch.uint8
    for image, box, view in zip(images, boxes, cropped, strict=True):
        error = difference(view.numpy(), crop(Image.fromarray(image), box, size))
        assert error.max() <= 1
        # Of a few pixels all may happen to be rounded the other way.
        assert error.mean() < 0.5 or size < 8


@pytest.mark.parametrize(("pixels", "size"), [(32, 32), (40, 17), (96, 96), (200, 128)])
def test_a_crop_does_not_depend_on_its_batch(pixels: int, size: int) -> None:
    generator = np.random.default_rng(0)
    images = torch.from_numpy(generator.integers(0, 256, (37, 3, pixels, pixels), dtype=np.uint8))
    corner = generator.uniform(0, pixels / 2, (37, 2))
    boxes = np.hstack([corner, generator.uniform(1, pixels / 2, (37, 2))]).astype(np.float32)
    together = crop_batch(images, boxes, size)
    for row in range(37):
        part = slice(row, row + 1)
        assert torch.equal(crop_batch(images[part], boxes[part], size), together[part])


def test_boxes_between_pixels_shift_the_view() -> None:
    """A linear ramp stays one, wherever it is cut: its values say where."""
    ramp = np.broadcast_to(np.arange(0, 240, 4, dtype=np.uint8)[None, :, None], (60, 60, 3))
    box = Box(10.5, 3.25, 30.0, 40.5)
    expected = 4 * (10.5 + (np.arange(10) + 0.5) * 3 - 0.5)
    alone = crop(Image.fromarray(ramp.copy()), box, 10)
    batch = torch.from_numpy(ramp.copy()).permute(2, 0, 1)[None]
    together = crop_batch(batch, np.array([box], np.float32), 10)[0].numpy()
    for view in (alone, together):
        np.testing.assert_allclose(view[0, 5, 1:-1], expected[1:-1], atol=0.51)


def test_autocast_does_not_lower_the_precision_of_a_crop() -> None:
    images = torch.from_numpy(channels_first(noise(40, 40)).copy())[None]
    boxes = np.array([[3, 4, 20, 30]], np.float32)
    expected = crop_batch(images, boxes, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(crop_batch(images, boxes, 16), expected)


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
    box = Box(0, 0, width, height)
    batch = torch.from_numpy(channels_first(image).copy())[None]
    in_batch = crop_batch(batch, np.array([box], np.float32), size)[0].numpy()
    for view in (centre_view(image, size), crop(image, box, size), in_batch):
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
