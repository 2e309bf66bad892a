"""The photometric part of random views, for a whole batch on its own device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bradd.views.parameters import JITTER_ORDER, JitterOperation, Parameter

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "normalise", "photometric"]

# Mean and standard deviation of ImageNet's training images, per RGB channel, for values in [0, 1].
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# The share of red, green and blue in brightness (ITU-R BT.601), to the digits torchvision uses.
LUMA_WEIGHTS = (0.2989, 0.587, 0.114)


def normalise(images: Tensor) -> Tensor:
    """Scale images to zero mean and unit variance by ImageNet's channel statistics.

    Args:
        images: RGB, uint8 `[B, 3, H, W]`.

    Returns:
        float32 `[B, 3, H, W]`.

    Raises:
        ValueError: The images are not uint8 `[B, 3, H, W]`.
    """
    _check_images(images)
    return _standardise(images.float().div_(255))


def photometric(images: Tensor, parameters: Tensor) -> Tensor:
    """Flip, jitter, grey, blur and normalise each image by its own parameters.

    The operations and their order are SimCLR's (Chen et al., 2020, appendix A): mirror, colour
    jitter (each image in its own order), greyscale, Gaussian blur. A result depends on its own
    image and parameters only, not on the rest of the batch. The arguments are left unchanged.

    Args:
        images: RGB, uint8 `[B, 3, H, W]`.
        parameters: What `SimCLRViews.draw` drew, float32 `[B, P]`, on the images' device.

    Returns:
        Normalised views, float32 `[B, 3, H, W]`.

    Raises:
        ValueError: The images are not uint8 `[B, 3, H, W]`, or the parameters not `[B, P]`.
    """
    _check_images(images)
    if parameters.shape != (len(images), len(Parameter)):
        expected = (len(images), len(Parameter))
        raise ValueError(f"parameters must be {expected}, not {tuple(parameters.shape)}")

    flip = _per_image(parameters[:, Parameter.FLIP] > 0)
    views = torch.where(flip, images.flip(-1), images).float().div_(255)
    views = _jitter(views, parameters)
    grey = _per_image(parameters[:, Parameter.GREY] > 0)
    views = torch.where(grey, _luma(views), views)
    views = _blur(views, parameters[:, Parameter.BLUR_SIGMA])
    return _standardise(views)


def _jitter(images: Tensor, parameters: Tensor) -> Tensor:
    """Jitter the colours of images in [0, 1], `[B, 3, H, W]`, each in its own order.

    Brightness, contrast and saturation are one formula, `ratio * image + (1 - ratio) * target`,
    with black, the mean grey and the grey image as targets, so that each of the four positions in
    the order is one blend of the whole batch and one hue shift of the images whose turn it is.
    """
    order = parameters[:, JITTER_ORDER].long()
    factors = parameters[:, Parameter.BRIGHTNESS : Parameter.SATURATION + 1]
    ratios = functional.pad(factors, (0, 1), value=1.0).gather(1, order)  # hue blends nothing
    hue_shifts = parameters[:, Parameter.HUE]

    for operations, ratio in zip(order.unbind(1), ratios.unbind(1), strict=True):
        if (ratio != 1).any():
            images = _blend(images, operations, ratio)
        rows = torch.nonzero((operations == JitterOperation.HUE) & (hue_shifts != 0)).squeeze(1)
        if len(rows) > 0:
            images = images.index_copy(0, rows, _shift_hue(images[rows], hue_shifts[rows]))
    return images


def _blend(images: Tensor, operations: Tensor, ratio: Tensor) -> Tensor:
    """Brightness, contrast or saturation, whichever `operations` `[B]` names, by `ratio` `[B]`."""
    grey = _luma(images)
    mean_grey = grey.mean(dim=(2, 3), keepdim=True)
    operations = _per_image(operations)
    target = torch.where(operations == JitterOperation.CONTRAST, mean_grey, torch.zeros_like(grey))
    target = torch.where(operations == JitterOperation.SATURATION, grey, target)
    # A ratio of 1 returns the image bit by bit.
    return torch.lerp(target, images, _per_image(ratio)).clamp_(0, 1)


def _shift_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of images in [0, 1], `[B, 3, H, W]`, by `shift` `[B]` turns.

    Through hexcone HSV (Smith, 1978). Value and chroma stay, so only the hue is computed; the way
    back is `value - chroma * clamp(min(k, 4 - k), 0, 1)` with `k = (n + hue) mod 6` and n = 5, 3,
    1 for red, green, blue.
    """
    red, green, blue = images.unbind(1)
    value, least = images.amax(1), images.amin(1)
    chroma = value - least
    divisor = torch.where(chroma > 0, chroma, 1.0)
    hue = torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor)
    hue = torch.where(value == red, (green - blue) / divisor, hue)  # in sixths of a turn
    hue = hue + 6 * shift.view(-1, 1, 1)

    n = torch.arange(5, 0, -2, device=images.device).view(1, 3, 1, 1)
    k = (n + hue.unsqueeze(1)).remainder_(6)
    return value.unsqueeze(1) - chroma.unsqueeze(1) * torch.minimum(k, 4 - k).clamp_(0, 1)


def _blur(images: Tensor, sigmas: Tensor) -> Tensor:
    """Blur images `[B, 3, H, W]` with a Gaussian of their own sigma `[B]`, in pixels; 0 is none.

    The kernel is a tenth of the shorter side wide, as in SimCLR: 23 pixels at 224.
    """
    rows = torch.nonzero(sigmas > 0).squeeze(1)
    if len(rows) == 0:
        return images
    side = min(images.shape[2:])
    radius = min(max(side // 20, 1), side - 1)  # reflection needs more pixels than it adds
    offsets = torch.arange(-radius, radius + 1, device=images.device)
    kernels = torch.exp(-0.5 * (offsets / sigmas[rows].unsqueeze(1)) ** 2)
    kernels = kernels / kernels.sum(dim=1, keepdim=True)

    blurred = images[rows]
    for dimension in (2, 3):
        blurred = _convolve(blurred, kernels, dimension)
    return images.index_copy(0, rows, blurred)


def _convolve(images: Tensor, kernels: Tensor, dimension: int) -> Tensor:
    """Convolve images `[B, 3, H, W]` along one dimension with their own kernels `[B, K]`.

    Summed tap by tap: unlike a grouped convolution this keeps full float32 on every device and
    under autocast, and is as fast for kernels this short.
    """
    length, taps = images.shape[dimension], kernels.shape[1]
    radius = taps // 2
    padding = (0, 0, radius, radius) if dimension == 2 else (radius, radius, 0, 0)
    padded = functional.pad(images, padding, mode="reflect")
    total = torch.zeros_like(images)
    for tap in range(taps):
        total.addcmul_(padded.narrow(dimension, tap, length), _per_image(kernels[:, tap]))
    return total


def _luma(images: Tensor) -> Tensor:
    """The grey image, `[B, 1, H, W]`, of images `[B, 3, H, W]`."""
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    grey = red * LUMA_WEIGHTS[0]
    return grey.add_(green, alpha=LUMA_WEIGHTS[1]).add_(blue, alpha=LUMA_WEIGHTS[2])


def _standardise(images: Tensor) -> Tensor:
    """Subtract ImageNet's mean from images in [0, 1] and divide by its standard deviation."""
    mean = images.new_tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    std = images.new_tensor(IMAGENET_STD).view(1, 3, 1, 1)
    return (images - mean).div_(std)


def _per_image(values: Tensor) -> Tensor:
    """View one value an image, `[B]`, as `[B, 1, 1, 1]`."""
    return values.view(-1, 1, 1, 1)


def _check_images(images: Tensor) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            f"images must be uint8 [B, 3, H, W], not {images.dtype} {tuple(images.shape)}"
        )
