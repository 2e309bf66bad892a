"""Cutting views out of images: one by one in a worker, or for a whole batch on its device.

Both see nothing outside of the box (but for the part of a pixel that its edge cuts through) and
filter alike, by a triangle that is widened where the box is larger than the view: Pillow's
antialiased bilinear resampling, and torchvision's.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from bradd.data.resize import check_rgb, resize_box
from bradd.views.transfer import to_device

__all__ = ["Box", "crop", "crop_batch"]

# Sides below which Pillow resizes faster than torch, which needs some time to begin.
_SMALL = 64
# Images whose pixels, as float32, are cropped at once on a CPU: what its cache holds.
_CHUNK_BYTES = 2**20


class Box(NamedTuple):
    """A rectangle inside an image, in pixels; not whole ones where the image was scaled."""

    left: float
    top: float
    width: float
    height: float


def crop(image: Image.Image, box: Box, size: int) -> npt.NDArray[np.uint8]:
    """Cut a box out of an image and resize it to a square, bilinear and antialiased.

    Args:
        image: RGB image.
        box: What to cut out, in pixels of `image`.
        size: Side of the result in pixels.

    Returns:
        uint8 `[3, size, size]`; the image's own pixels where the box is `size` x `size`.

    Raises:
        BraddError: The image is not RGB.
    """
    check_rgb(image)
    left, top = math.floor(box.left), math.floor(box.top)
    right, bottom = math.ceil(box.left + box.width), math.ceil(box.top + box.height)
    part = image.crop((left, top, min(right, image.width), min(bottom, image.height)))
    whole_pixels = part.size == (box.width, box.height)
    if size < _SMALL or not whole_pixels:
        x, y = box.left - left, box.top - top
        edges = (x, y, min(x + box.width, part.width), min(y + box.height, part.height))
        return resize_box(part, edges, size, Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(part)).permute(2, 0, 1).unsqueeze(0)
    resized = functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
    return resized[0].contiguous().numpy()


def crop_batch(images: Tensor, boxes: npt.NDArray[np.float32], size: int) -> Tensor:
    """Cut a box out of each image and resize it to a square: `crop` for a batch.

    Two matrix products an image, with the filter's weights as matrices.

    Args:
        images: RGB, uint8 `[B, 3, H, W]`.
        boxes: Left, top, width and height in pixels of the images, `[B, 4]`, on the host.
        size: Side S of the result in pixels.

    Returns:
        uint8 `[B, 3, S, S]` on the images' device, equal to `crop`'s within 1.
    """
    height, width = images.shape[2:]
    result = images.new_empty(len(images), 3, size, size)
    chunk = max(1, len(images))
    if images.device.type == "cpu":
        image_bytes = 3 * 4 * max(height * width, size**2)
        chunk = max(1, _CHUNK_BYTES * torch.get_num_threads() // image_bytes)
    on_device = to_device(boxes, images.device)
    with torch.autocast(images.device.type, enabled=False):
        for start in range(0, len(images), chunk):
            part, box = images[start : start + chunk], on_device[start : start + chunk]
            across = _weights(box[:, 0], box[:, 2], width, size)  # [b, S, W]
            down = _weights(box[:, 1], box[:, 3], height, size)  # [b, S, H]
            rows = part.float().reshape(len(part), 3 * height, width)
            squeezed = torch.bmm(rows, across.transpose(1, 2)).view(len(part), 3, height, size)
            views = torch.matmul(down.unsqueeze(1), squeezed)
            result[start : start + chunk] = views.round_().clamp_(0, 255)
    return result


def _weights(start: Tensor, length: Tensor, pixels: int, size: int) -> Tensor:
    """What each of `pixels` gives to each of `size` results from `start`, `length`, `[B, S, N]`."""
    step = (length / size).view(-1, 1, 1)
    start = start.view(-1, 1, 1)
    reach = step.clamp_min(1)  # half the triangle's base
    place = torch.arange(size, device=start.device).view(1, -1, 1)
    centre = start + (place + 0.5) * step
    pixel = torch.arange(pixels, device=start.device).view(1, 1, -1)
    weights = (1 - (pixel + 0.5 - centre).abs_().div_(reach)).clamp_min_(0)
    end = start + length.view(-1, 1, 1)
    weights.mul_((pixel >= start.floor()) & (pixel < end.ceil()))
    return weights.div_(weights.sum(dim=2, keepdim=True))
