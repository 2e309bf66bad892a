"""Three pictures of very different content and size, and how far pictures are apart."""

from __future__ import annotations

import numpy as np
from PIL import Image


def various_anchors() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    ramp = np.tile(np.linspace(0, 255, 70, dtype=np.uint8)[None, :, None], (50, 1, 3))
    noise = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    red = np.zeros((64, 33, 3), np.uint8)
    red[..., 0] = 230
    return [Image.fromarray(pixels) for pixels in (ramp, noise, red)]


def no_embeddings(count: int) -> np.ndarray:
    """For generators that do not look at them."""
    return np.zeros((count, 4), np.float32)


def largest_difference(one: Image.Image, other: Image.Image) -> int:
    """In grey levels."""
    return int(np.abs(np.asarray(one, int) - np.asarray(other, int)).max())
