"""Teachers: copies of a network that follow it as a moving average."""

from __future__ import annotations

import copy

import torch
from timm.layers import DropPath, PatchDropout
from timm.models import ResNet
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

__all__ = ["follow", "momentum_copy"]


def momentum_copy(module: nn.Module) -> nn.Module:
    """A copy that is not trained by gradients and drops nothing out."""
    teacher = copy.deepcopy(module).requires_grad_(False)
    for part in teacher.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        elif isinstance(part, DropPath):
            part.drop_prob = 0.0
        elif isinstance(part, PatchDropout):
            part.prob = 0.0
    if isinstance(teacher, ResNet):  # which has a function for a layer
        teacher.drop_rate = 0.0
    return teacher


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move the teacher's weights towards the student's: momentum * t + (1 - momentum) * s.

    Buffers are left alone: a teacher's batch norms keep the statistics of what it has seen.
    """
    average = get_ema_multi_avg_fn(momentum)  # type: ignore[no-untyped-call]
    average(list(teacher.parameters()), list(student.parameters()), 0)
