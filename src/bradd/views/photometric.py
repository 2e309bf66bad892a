"""The photometric part of random views, for a whole batch on its own device.

The numbers that say what is done to which view are on the host, so that views which need the same
can be brought together without asking the device anything. On the way the pixels are held colour
by colour, `[3, B, H, W]`: each colour is then one piece of memory, which the operations run over
two or three times as fast. On a processor only small images are worth bringing together.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bradd.data.sizes import SMALL_IMAGE
from bradd.views.blur import blur
from bradd.views.colour import grey_of, jitter, jitter_operations, jitter_order
from bradd.views.parameters import SOLARISE_FROM, Parameter
from bradd.views.photometric_by_image import ImageChanger, one_thread
from bradd.views.transfer import to_device

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "normalise", "photometric"]

Parameters = npt.NDArray[np.float32]

# Mean and standard deviation of ImageNet's training images, per RGB channel, for values in [0, 1].
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Bytes of float32 pixels that each thread of a CPU works on at once: few enough for its cache, and
# enough images of 32 x 32 that what it takes to call an operation does not count.
_CHUNK_BYTES = 2**20


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
    views = _room(images)
    _standardise(views.copy_(images).transpose(0, 1), out=views.transpose(0, 1))
    return views


@torch.no_grad()
def photometric(images: Tensor, parameters: Parameters, *, normalised: bool = True) -> Tensor:
    """Flip, jitter, grey, blur, solarise and normalise each image by its own parameters.

    The operations and their order are those of SimCLR (Chen et al., 2020, appendix A) and BYOL
    (Grill et al., 2020): mirror, colour jitter (each image in its own order), greyscale, Gaussian
    blur, solarisation. A result depends on its own image and parameters only, not on the rest of
    the batch. The arguments are left unchanged.

    Args:
        images: RGB, uint8 `[B, 3, H, W]`.
        parameters: What `draw_parameters` drew for each, float32 `[B, P]`.
        normalised: Otherwise the results are pixels, rounded to 8 bits.

    Returns:
        Normalised views, float32 `[B, 3, H, W]`, or uint8, on the images' device.

    Raises:
        ValueError: The images are not uint8 `[B, 3, H, W]`, or the parameters not `[B, P]`.
    """
    _check_images(images)
    if parameters.shape != (len(images), len(Parameter)):
        expected = (len(images), len(Parameter))
        raise ValueError(f"parameters must be {expected}, not {tuple(parameters.shape)}")

    views = _room(images) if normalised else images.new_empty(images.shape)
    if images.device.type == "cpu" and min(images.shape[2:]) > SMALL_IMAGE:
        _one_by_one(images, parameters, views)
    else:
        _together(images, parameters, views)
    return views


def _one_by_one(images: Tensor, parameters: Parameters, views: Tensor) -> None:
    change = ImageChanger(*images.shape[2:])
    with one_thread():
        for image, numbers, view in zip(images.numpy(), parameters, views.numpy(), strict=True):
            pixels = change(image, numbers)
            if views.dtype == torch.uint8:
                pixels += 0.5  # what is cut off next is rounded then
                cv2.split(pixels.astype(np.uint8), list(view))
                continue
            cv2.split(pixels, list(view))
            for colour, mean, std in zip(view, IMAGENET_MEAN, IMAGENET_STD, strict=True):
                colour *= 1 / (255 * std)
                colour -= mean / std


def _together(images: Tensor, parameters: Parameters, views: Tensor) -> None:
    operations = jitter_operations(parameters)
    order = jitter_order(operations)
    parameters, operations = parameters[order], operations[order]
    rows = to_device(order, images.device)
    settings = to_device(parameters, images.device)
    for part in _parts(images):
        numbers = parameters[part]
        whole = images.index_select(0, rows[part]).transpose(0, 1)
        _change(whole, numbers, Parameter.FLIP, _flip)
        pixels = torch.empty(whole.shape, device=images.device).copy_(whole)
        jitter(pixels, operations[part], settings[part])
        _change(pixels, numbers, Parameter.GREY, _remove_colour)
        _change(pixels, numbers, Parameter.BLUR_SIGMA, blur)
        _change(pixels, numbers, Parameter.SOLARISE, _solarise)
        if views.dtype == torch.uint8:
            pixels = pixels.round_().to(torch.uint8)
        else:
            _standardise(pixels, out=pixels)
        if images.device.type == "cpu":
            views.numpy()[order[part]] = pixels.numpy().swapaxes(0, 1)
        else:
            views.index_copy_(0, rows[part], pixels.transpose(0, 1))


def _room(images: Tensor) -> Tensor:
    """Room for the views of a batch, float32, uninitialised.

    On a CPU by NumPy, which asks Linux for large pages: the first touch of new memory takes 0.1 ms
    for a view of 224 pixels in these, 0.4 ms in small ones.
    """
    if images.device.type == "cpu":
        return torch.from_numpy(np.empty(images.shape, np.float32))
    return torch.empty(images.shape, dtype=torch.float32, device=images.device)


def _parts(images: Tensor) -> list[slice]:
    """The batch in parts that a CPU's cache can hold; elsewhere as one."""
    length = len(images)
    if images.device.type == "cpu":
        length = _CHUNK_BYTES * torch.get_num_threads() // (4 * max(images[:1].numel(), 1))
    length = max(length, 1)
    return [slice(start, start + length) for start in range(0, len(images), length)]


def _change(
    images: Tensor,
    parameters: Parameters,
    place: Parameter,
    operation: Callable[[Tensor, Parameters], Tensor],
) -> None:
    """Do an operation, in place, to those of `[3, B, H, W]` whose parameter is not 0."""
    strengths = parameters[:, place]
    chosen = np.flatnonzero(strengths)
    if len(chosen) == len(strengths):
        images.copy_(operation(images, strengths))
    elif len(chosen) > 0:
        rows = to_device(chosen, images.device)
        changed = operation(images.index_select(1, rows), strengths[chosen])
        if images.device.type == "cpu":  # NumPy puts images into their places 4 times as fast
            images.numpy()[:, chosen] = changed.numpy()
        else:
            images.index_copy_(1, rows, changed)


def _flip(images: Tensor, _: Parameters) -> Tensor:
    return images.flip(-1)


def _remove_colour(images: Tensor, _: Parameters) -> Tensor:
    return grey_of(images).expand_as(images)


def _solarise(images: Tensor, _: Parameters) -> Tensor:
    return torch.where(images >= SOLARISE_FROM, 255 - images, images)


def _standardise(images: Tensor, out: Tensor) -> Tensor:
    """Subtract ImageNet's mean from images in [0, 255] and divide by its standard deviation.

    Args:
        images: `[3, B, H, W]`; changed.
        out: Where to, `[3, B, H, W]`.

    Returns:
        `out`.
    """
    for colour, place, mean, std in zip(images, out, IMAGENET_MEAN, IMAGENET_STD, strict=True):
        torch.sub(colour.mul_(1 / (255 * std)), mean / std, out=place)
    return out


def _check_images(images: Tensor) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            f"images must be uint8 [B, 3, H, W], not {images.dtype} {tuple(images.shape)}"
        )
