"""How much memory there is, and how much of it this process uses."""

from __future__ import annotations

import psutil
import torch

__all__ = ["available_memory", "used_memory"]


def available_memory() -> int:
    """Bytes that can be had without swapping."""
    return int(psutil.virtual_memory().available)


def used_memory() -> int:
    """Bytes that this process uses: with a GPU the most that its tensors took there so far."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return int(psutil.Process().memory_info().rss)
