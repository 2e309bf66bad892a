"""Images that must not become anchors: blank ones and noise."""

from __future__ import annotations

import numpy as np

__all__ = ["pixel_guard"]


def pixel_guard(
    images: np.ndarray, minimum_spread: float = 2.0, minimum_correlation: float = 0.3
) -> np.ndarray:
    """Say for each image whether its pixels hold a picture at all.

    Noise and blank frames lie far from everything, so a distance score would choose them first.

    Args:
        images: 8-bit RGB `[B, 3, H, W]`.
        minimum_spread: Standard deviation of the grey levels (0 to 255) below which an image is
            blank.
        minimum_correlation: Correlation of horizontally and vertically adjacent grey levels (their
            mean) below which an image is noise.

    Returns:
        `""` for a picture, else `"blank"` or `"noise"`; str `[B]`.
    """
    grey = images.mean(axis=1, dtype=np.float32)
    spread = grey.std(axis=(1, 2))
    correlation = (
        _correlation(grey[:, :, 1:], grey[:, :, :-1])
        + _correlation(grey[:, 1:, :], grey[:, :-1, :])
    ) / 2
    noise = np.where(correlation < minimum_correlation, "noise", "")
    return np.where(spread < minimum_spread, "blank", noise)


def _correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pearson correlation of two stacks of pixels, `[B]`; 0 where one of them is constant."""
    first = first - first.mean(axis=(1, 2), keepdims=True)
    second = second - second.mean(axis=(1, 2), keepdims=True)
    scale = np.sqrt((first**2).sum(axis=(1, 2)) * (second**2).sum(axis=(1, 2)))
    correlation: np.ndarray = (first * second).sum(axis=(1, 2)) / np.where(scale > 0, scale, np.inf)
    return correlation
