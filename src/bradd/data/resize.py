"""From a decoded image to a square uint8 array."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bradd.errors import BraddError

__all__ = ["centre_view", "check_rgb", "resize_box"]


def centre_view(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Resize the shorter side to `size`, bicubic and antialiased, and cut out the centre.

    Done as one resize of the central square, so that a very long image costs no more memory than
    a square one.

    Args:
        image: RGB image.
        size: Side of the result in pixels.

    Returns:
        uint8 `[3, size, size]`; the image's own pixels where the image is `size` x `size`.

    Raises:
        BraddError: The image is not RGB.
    """
    shorter = min(image.size)
    left, top = (image.width - shorter) / 2, (image.height - shorter) / 2
    edges = (left, top, left + shorter, top + shorter)
    return resize_box(image, edges, size, Image.Resampling.BICUBIC)


def resize_box(
    image: Image.Image,
    edges: tuple[float, float, float, float],
    size: int,
    resampling: Image.Resampling,
) -> NDArray[np.uint8]:
    """Resize a part of an image to a square.

    Args:
        image: RGB image.
        edges: Left, top, right and bottom of the part, in pixels.
        size: Side of the result in pixels.
        resampling: Pillow's filter.

    Returns:
        uint8 `[3, size, size]`.

    Raises:
        BraddError: The image is not RGB.
    """
    check_rgb(image)
    pixels = np.asarray(image.resize((size, size), resampling, box=edges))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def check_rgb(image: Image.Image) -> None:
    """Refuse an image that is not RGB.

    Raises:
        BraddError: It is not.
    """
    if image.mode != "RGB":
        raise BraddError(
            f"views are made of RGB images, this one is {image.mode}: image.convert('RGB')"
        )
