"""From host to device without waiting for it."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["to_device"]


def to_device(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """Copy an array to a device; the host goes on at once, as the array is pinned first."""
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
