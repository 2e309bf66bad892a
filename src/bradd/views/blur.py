"""Gaussian blur of a batch, each image by its own sigma."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from bradd.views.transfer import to_device

__all__ = ["blur", "blur_radius"]

# Beyond so many sigma a Gaussian holds less than 1e-4 of its sum.
_REACH = 4


def blur(images: Tensor, sigmas: npt.NDArray[np.float32]) -> Tensor:
    """Blur images with a Gaussian of their own sigma.

    The kernel is a tenth of the shorter side wide, as in SimCLR (23 pixels at 224), but no wider
    than 4 sigma to each side.

    Args:
        images: float32 `[C, B, H, W]`.
        sigmas: In pixels, on the host, `[B]`, above 0.

    Returns:
        The blurred images, `[C, B, H, W]`.
    """
    radii = blur_radius(sigmas, min(images.shape[2:]))
    if radii.max() == 0:
        return images
    kernels = to_device(_kernels(sigmas, radii), images.device)
    for dimension in (2, 3):
        images = _convolve(images, kernels, dimension)
    return images


def blur_radius(sigmas: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.int64]:
    """How many pixels to each side a blur takes in.

    Args:
        sigmas: In pixels, above 0, `[B]`.
        side: The images' shorter side in pixels.

    Returns:
        A twentieth of the side, 4 sigma if that is less, `[B]`; 0 where the side is 1 pixel.
    """
    widest = min(max(side // 20, 1), side - 1)  # reflection needs more pixels than it adds
    return np.minimum(np.ceil(sigmas * _REACH), widest).astype(np.int64)


def _kernels(
    sigmas: npt.NDArray[np.float32], radii: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Gaussians of each sigma `[B]` that sum to 1, `[B, K]`, as wide as the widest needs."""
    radii = radii[:, None]
    offsets = np.arange(-int(radii.max()), int(radii.max()) + 1)
    kernels = np.exp(-0.5 * (offsets / sigmas[:, None].astype(np.float64)) ** 2)
    # Nought beyond an image's own radius, so that it does not matter which images it is with.
    kernels *= np.abs(offsets) <= radii
    kernels /= kernels.sum(axis=1, keepdims=True)
    return kernels.astype(np.float32, copy=False)


def _convolve(images: Tensor, kernels: Tensor, dimension: int) -> Tensor:
    """Convolve images `[C, B, H, W]` along one dimension with their own kernels `[B, K]`.

    Summed tap by tap: unlike a convolution this keeps full float32 on every device and under
    autocast, and is several times as fast on a CPU.
    """
    length, taps = images.shape[dimension], kernels.shape[1]
    radius = taps // 2
    padding = (0, 0, radius, radius) if dimension == 2 else (radius, radius, 0, 0)
    padded = functional.pad(images, padding, mode="reflect")
    weights = kernels.view(-1, 1, 1, taps).unbind(-1)  # each [B, 1, 1]
    total = images * weights[radius]
    pair = torch.empty_like(total)  # new memory for each tap would cost as much as the sum
    for step in range(1, radius + 1):  # the kernel is symmetric: two taps at once
        before = padded.narrow(dimension, radius - step, length)
        after = padded.narrow(dimension, radius + step, length)
        total.addcmul_(torch.add(before, after, out=pair), weights[radius + step])
    return total
