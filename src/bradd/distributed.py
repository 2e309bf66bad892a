"""The only file that calls torch.distributed."""

from __future__ import annotations

import torch.distributed

__all__ = ["rank", "world_size"]


def rank() -> int:
    """This process's number, 0 without distribution."""
    return torch.distributed.get_rank() if _active() else 0


def world_size() -> int:
    """The number of processes, 1 without distribution."""
    return torch.distributed.get_world_size() if _active() else 1


def _active() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
