"""Optimisers and the learning rate's schedule."""

from __future__ import annotations

import torch
from lightly.utils.scheduler import cosine_warmup_schedule
from timm.optim import param_groups_weight_decay
from torch import nn

__all__ = ["OPTIMIZERS", "build_optimizer", "learning_rate_at"]

OPTIMIZERS = ("sgd", "adamw")


def build_optimizer(
    module: nn.Module, name: str, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """An optimiser that decays neither biases nor norms.

    Args:
        module: What is trained.
        name: `"sgd"` (momentum 0.9) or `"adamw"`.
        learning_rate: The schedule's peak.
        weight_decay: Of the weights.
    """
    groups = param_groups_weight_decay(module, weight_decay)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=0.9)
    return torch.optim.AdamW(groups, lr=learning_rate)


def learning_rate_at(step: int, steps: int, warmup_steps: int, peak: float) -> float:
    """Linear warm-up, then a cosine to zero (Loshchilov and Hutter 2017) over the whole run.

    Args:
        step: From 0.
        steps: Steps of the run.
        warmup_steps: Steps of the warm-up.
        peak: The highest learning rate.

    Returns:
        The learning rate of that step.
    """
    return peak * float(
        cosine_warmup_schedule(
            step=step,
            max_steps=steps,
            start_value=1.0,
            end_value=0.0,
            warmup_steps=warmup_steps,
            warmup_start_value=0.0,
        )
    )
