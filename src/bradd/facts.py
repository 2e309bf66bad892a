"""What the defaults of a run follow from: its images and the machine."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from bradd.memory import available_memory

__all__ = ["Facts", "usable_cores"]


@dataclass(frozen=True)
class Facts:
    """What the defaults follow from.

    Attributes:
        images: Readable images.
        shorter_side: Median of the images' shorter sides, in pixels.
        cuda: Whether there is a CUDA device.
        cores: Processor cores this process may use.
        bf16: Whether the CUDA device computes in bfloat16.
        memory: Bytes of memory that are free.
    """

    images: int
    shorter_side: int
    cuda: bool
    cores: int
    bf16: bool = True
    memory: int = 2**33

    @classmethod
    def of_machine(cls, images: int, shorter_side: int) -> Facts:
        """The facts of this machine."""
        cuda = torch.cuda.is_available()
        bf16 = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
        return cls(images, shorter_side, cuda, usable_cores(), bf16, available_memory())


def usable_cores() -> int:
    """Processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
