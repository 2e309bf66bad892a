"""Colour operations on batches of images with values from 0 to 255, float32 `[3, B, H, W]`.

They are torchvision's. Each works in place where it can: on a CPU memory traffic is the cost.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bradd.views.parameters import JITTER_ORDER, JitterOperation, Parameter

__all__ = ["LUMA_WEIGHTS", "grey_of", "jitter", "jitter_operations", "jitter_order"]

Operations = npt.NDArray[np.int64]

# The share of red, green and blue in brightness (ITU-R BT.601), to the digits torchvision uses.
LUMA_WEIGHTS = (0.2989, 0.587, 0.114)


def jitter_operations(parameters: npt.NDArray[np.float32]) -> Operations:
    """What the jitter does to each image, one after the other.

    Args:
        parameters: `[B, P]`.

    Returns:
        Four `JitterOperation`s each, `[B, 4]`, -1 in place of one that would change nothing.
    """
    order = parameters[:, JITTER_ORDER].astype(np.int64)
    neutral = parameters[:, Parameter.BRIGHTNESS : Parameter.HUE + 1] == (1, 1, 1, 0)
    return np.where(np.take_along_axis(neutral, order, axis=1), -1, order)


def jitter_order(operations: Operations) -> npt.NDArray[np.int64]:
    """An order of the images, `[B]`, that brings those together which need the same, `[B, 4]`.

    Above all those whose hue is shifted at the same time, which is the longest operation.
    """
    hue_first = (operations != JitterOperation.HUE).T
    return np.lexsort((*operations.T[::-1], *hue_first[::-1]))


def jitter(images: Tensor, operations: Operations, settings: Tensor) -> None:
    """Jitter the colours of images, in place.

    Args:
        images: `[3, B, H, W]`; changed.
        operations: One after the other, `[B, 4]`. Neighbours with the same one go together.
        settings: The images' parameters, on their device, `[B, P]`.
    """
    for step in operations.T:
        edges = [0, *(np.flatnonzero(np.diff(step)) + 1).tolist(), len(step)]
        for start, stop in pairwise(edges):
            if step[start] >= 0:
                numbers = settings[start:stop, Parameter.BRIGHTNESS + step[start]]
                _OPERATIONS[step[start]](images[:, start:stop], numbers.view(-1, 1, 1))


def _brightness(images: Tensor, ratio: Tensor) -> None:
    images.mul_(ratio).clamp_(0, 255)


def _contrast(images: Tensor, ratio: Tensor) -> None:
    mean = grey_of(images.flatten(2).mean(dim=2)[..., None, None])  # [B, 1, 1]
    images.mul_(ratio).add_(mean * (1 - ratio)).clamp_(0, 255)


def _saturation(images: Tensor, ratio: Tensor) -> None:
    torch.lerp(grey_of(images), images, ratio, out=images).clamp_(0, 255)


def grey_of(images: Tensor) -> Tensor:
    """The brightness of images, `[B, H, W]`."""
    red, green, blue = images.unbind()
    grey: Tensor = red * LUMA_WEIGHTS[0]
    return grey.add_(green, alpha=LUMA_WEIGHTS[1]).add_(blue, alpha=LUMA_WEIGHTS[2])


def _hue(images: Tensor, shift: Tensor) -> None:
    """Turn the hue of images by `shift` `[B, 1, 1]` turns, through hexcone HSV (Smith, 1978).

    Value and chroma stay, so only the hue h is computed, in sixths of a turn. The way back is
    `least + chroma * clamp(c, 0, 1)` with c = |h - 3| - 1, 2 - |h - 2| and 2 - |h - 4| for red,
    green and blue.
    """
    red, green, blue = images.unbind()  # each [B, H, W]
    value = torch.maximum(red, green)
    torch.maximum(value, blue, out=value)
    least = torch.minimum(red, green)
    torch.minimum(least, blue, out=least)
    chroma = value - least

    # The hue times chroma, as each colour has it that is the largest. Choosing by lerp with 0 or
    # 1 is several times as fast as by `where`.
    if_blue = torch.sub(red, green).add_(chroma, alpha=4)
    if_green = torch.sub(blue, red).add_(chroma, alpha=2)
    hue = if_blue.lerp_(if_green, torch.eq(green, value, out=if_green.new_empty(0)))
    hue.lerp_(green - blue, torch.eq(red, value, out=value))
    hue.div_(chroma.clamp_min(1e-30)).add_(6 * shift)
    hue.sub_(torch.floor(hue / 6), alpha=6)  # to [0, 6)

    torch.addcmul(least - chroma, chroma, (hue - 3).abs_().clamp_(1, 2), out=red)
    least.add_(chroma, alpha=2)
    torch.addcmul(least, chroma, (hue - 2).abs_().clamp_(1, 2), value=-1, out=green)
    torch.addcmul(least, chroma, (hue - 4).abs_().clamp_(1, 2), value=-1, out=blue)


_OPERATIONS = {
    JitterOperation.BRIGHTNESS: _brightness,
    JitterOperation.CONTRAST: _contrast,
    JitterOperation.SATURATION: _saturation,
    JitterOperation.HUE: _hue,
}
