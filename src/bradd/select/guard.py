"""Images that must not become anchors: blank ones and noise, tiny and extremely long ones."""

from __future__ import annotations

import numpy as np

from bradd.select.grey import grey_batches

__all__ = ["pixel_guard", "shape_guard"]

# An image this many times shorter than half of the others is tiny among them; one this many times
# longer is extremely long even where most images are long.
_TINY_AMONG_OTHERS = 4
_LONG_AMONG_OTHERS = 2


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
    reasons = [_judge(grey, minimum_spread, minimum_correlation) for grey in grey_batches(images)]
    return np.concatenate(reasons) if reasons else np.empty(0, dtype="<U5")


def shape_guard(
    sizes: np.ndarray, minimum_side: int = 32, maximum_aspect: float = 5.0
) -> np.ndarray:
    """Say for each image whether its size and shape are those of a picture.

    Icons and banners are judged among the other images, so that sets of small or of long images
    are not guarded as a whole.

    Args:
        sizes: Width and height in pixels, `[N, 2]`.
        minimum_side: Shorter side in pixels below which an image is tiny, provided that it is also
            below a quarter of the median shorter side.
        maximum_aspect: Longer side over shorter side above which an image is extreme, provided
            that it is also above twice the median.

    Returns:
        `""` for a picture, else `"tiny"` or `"extreme aspect"`; str `[N]`.
    """
    sizes = np.asarray(sizes)
    if sizes.ndim != 2 or sizes.shape[1] != 2 or (sizes < 1).any():
        raise ValueError(f"sizes must hold positive widths and heights [N, 2], not {sizes.shape}")
    if len(sizes) == 0:
        return np.empty(0, dtype="<U14")
    shorter = sizes.min(axis=1)
    aspect = sizes.max(axis=1) / shorter
    tiny = shorter < min(minimum_side, float(np.median(shorter)) / _TINY_AMONG_OTHERS)
    extreme = aspect > max(maximum_aspect, float(np.median(aspect)) * _LONG_AMONG_OTHERS)
    return np.where(tiny, "tiny", np.where(extreme, "extreme aspect", ""))


def _judge(grey: np.ndarray, minimum_spread: float, minimum_correlation: float) -> np.ndarray:
    _, height, width = grey.shape
    whole = _sums(grey)
    mean, mean_square = whole / (height * width)
    spread = np.sqrt(mean_square - mean**2) / 3  # grey is the sum of three channels
    horizontal = _correlation(
        grey[:, :, 1:],
        grey[:, :, :-1],
        whole - _sums(grey[:, :, :1]),
        whole - _sums(grey[:, :, -1:]),
    )
    vertical = _correlation(
        grey[:, 1:], grey[:, :-1], whole - _sums(grey[:, :1]), whole - _sums(grey[:, -1:])
    )
    noise = np.where((horizontal + vertical) / 2 < minimum_correlation, "noise", "")
    return np.where(spread < minimum_spread, "blank", noise)


def _sums(grey: np.ndarray) -> np.ndarray:
    """Sum and sum of squares of each image's grey levels, `[2, b]`."""
    return np.stack([grey.sum(axis=(1, 2)), np.einsum("bhw,bhw->b", grey, grey)])


def _correlation(
    first: np.ndarray, second: np.ndarray, first_sums: np.ndarray, second_sums: np.ndarray
) -> np.ndarray:
    """Pearson correlation of two stacks of pixels, `[b]`; 0 where one of them is constant."""
    count = first.shape[1] * first.shape[2]
    covariance = count * np.einsum("bhw,bhw->b", first, second) - first_sums[0] * second_sums[0]
    variances = (count * first_sums[1] - first_sums[0] ** 2) * (
        count * second_sums[1] - second_sums[0] ** 2
    )
    correlation: np.ndarray = covariance / np.sqrt(np.where(variances > 0, variances, np.inf))
    return correlation
