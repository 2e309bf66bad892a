"""Grey levels of many images at once, a few images at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["grey_batches"]

_PIXELS_A_BATCH = 1 << 17  # one megabyte of float64: it stays in the processor's cache


def grey_batches(images: np.ndarray) -> Iterator[np.ndarray]:
    """The sum of the three channels of every pixel, for as many images as fit into the cache.

    They are whole numbers, so sums of them and of their products are exact in any order, and what
    is computed from such sums does not depend on how images are batched.

    Args:
        images: 8-bit RGB `[B, 3, H, W]`.

    Yields:
        float64 `[b, H, W]`, 0 to 765; all batches together are the B images in order.
    """
    _, _, height, width = images.shape
    step = max(1, _PIXELS_A_BATCH // (height * width))
    for start in range(0, len(images), step):
        batch = images[start : start + step]
        yield batch.sum(axis=1, dtype=np.uint16).astype(np.float64)
