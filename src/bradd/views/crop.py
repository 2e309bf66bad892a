"""Cutting a view out of an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bradd.data.resize import resize_box
from bradd.views.specification import Box

__all__ = ["crop"]


def crop(image: Image.Image, box: Box, size: int) -> NDArray[np.uint8]:
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
    edges = (box.left, box.top, box.left + box.width, box.top + box.height)
    return resize_box(image, edges, size, Image.Resampling.BILINEAR)
