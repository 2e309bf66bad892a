"""Where half precision will not do."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["at_least_float32"]


def at_least_float32(values: Tensor) -> Tensor:
    """The values in float32, or in float64 if they are in that already."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
