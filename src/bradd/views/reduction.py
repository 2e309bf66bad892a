"""Loading photos no larger than their views need."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from PIL import Image

from bradd.data.decode import Reduction

__all__ = ["ImageSource", "load_reduced"]

# An image may be decoded smaller as long as this many of its pixels a side are left for each pixel
# of a view: the view then differs from that of the full image by less than 1 of 255 levels.
_PIXELS_TO_SPARE = 2


class ImageSource(Protocol):
    """Images that can be counted and loaded one by one."""

    def __len__(self) -> int:
        """How many images there are."""

    def load(self, index: int, reduction: Reduction | None = None) -> Image.Image:
        """Decode one image as RGB, smaller by what `reduction` allows where that saves time."""


def load_reduced(
    images: ImageSource, index: int, pixels: Callable[[int, int], float]
) -> tuple[Image.Image, tuple[int, int], int]:
    """Load an image, decoded 2, 4 or 8 times smaller where that is possible and does no harm.

    Args:
        images: Where it comes from.
        index: Of the image.
        pixels: From the image's width and height to how many of its pixels, along a side, become
            one of what is made of it.

    Returns:
        The image, its full width and height, and how many times smaller it was decoded: a place in
        the full image, divided by that, is the place in this one.
    """
    full_size: tuple[int, int] | None = None

    def reduction(width: int, height: int) -> int:
        nonlocal full_size
        full_size = width, height
        spare = pixels(width, height) / _PIXELS_TO_SPARE
        return next((factor for factor in (8, 4, 2) if spare >= factor), 1)

    image = images.load(index, reduction)
    if full_size is None:
        return image, image.size, 1
    # The side of an image decoded smaller is rounded up: 9 pixels become 5, then 3.
    return image, full_size, 2 ** math.ceil(math.log2(full_size[0] / image.width))
