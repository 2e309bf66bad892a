"""The only file that calls torch.distributed."""

from __future__ import annotations

import os

import torch
import torch.distributed
from torch import Tensor
from torch.distributed.nn.functional import all_reduce

__all__ = ["gather", "is_first_process", "rank", "sum_over_processes", "world_size"]


def rank() -> int:
    """This process's number, 0 without distribution."""
    return torch.distributed.get_rank() if _active() else 0


def is_first_process() -> bool:
    """Whether this process is the one that is heard; known from its start, before they are joined.

    torchrun and Lightning tell each process its number in the environment.
    """
    return rank() == 0 and all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK"))


def world_size() -> int:
    """The number of processes, 1 without distribution."""
    return torch.distributed.get_world_size() if _active() else 1


def sum_over_processes(tensor: Tensor) -> Tensor:
    """The sum of every process's tensor; its gradient is the sum of every process's, too."""
    if world_size() == 1:
        return tensor
    total: Tensor = all_reduce(tensor)  # type: ignore[no-untyped-call]
    return total


def gather(tensor: Tensor, dim: int = 0) -> Tensor:
    """Every process's tensor, concatenated in the order of their ranks.

    The gradient reaches each process's own part from the losses of all of them. A sum of parts
    padded with zeros: unlike an all-gather it has a gradient on every backend.

    Args:
        tensor: Of one shape in all processes.
        dim: Along which they are concatenated.
    """
    if world_size() == 1:
        return tensor
    parts = [torch.zeros_like(tensor) for _ in range(world_size())]
    parts[rank()] = tensor
    return sum_over_processes(torch.cat(parts, dim))


def _active() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
