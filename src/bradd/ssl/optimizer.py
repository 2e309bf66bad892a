"""Optimisers, and what a schedule sets in them."""

from __future__ import annotations

import torch
from timm.optim import Lars, param_groups_weight_decay
from torch import nn

__all__ = ["OPTIMIZERS", "build_optimizer", "set_schedule"]

OPTIMIZERS = ("sgd", "adamw", "lars")

MOMENTUM = 0.9
# Of LARS, as in SimCLR (Chen et al. 2020) and MoCo v3 (Chen et al. 2021).
TRUST_COEFFICIENT = 0.001


def build_optimizer(
    module: nn.Module, name: str, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """An optimiser that decays weights, but neither biases nor norms.

    Nor does it decay what a timm model in the module says it should not, such as position
    embeddings and class tokens. Parameters that do not require a gradient are left out. Each group
    says under `"decays"` whether it decays.

    Args:
        module: What is trained, on the device it is trained on.
        name: `"sgd"` (momentum 0.9), `"adamw"` (fused), or `"lars"` (You et al. 2017; momentum
            0.9, trust coefficient 0.001, no adaptation of what does not decay).
        learning_rate: The schedule's peak.
        weight_decay: Of the weights.

    Raises:
        ValueError: There is no such optimiser.
    """
    groups = _groups(module, weight_decay)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=MOMENTUM)
    if name == "adamw":
        adamw = torch.optim.AdamW(groups, lr=learning_rate, fused=True)
        # A fused optimiser offers to unscale float16 gradients itself, after they would have been
        # clipped, for which reason Lightning refuses to clip them. Declined, the scaler does it.
        adamw._step_supports_amp_scaling = False  # type: ignore[attr-defined]
        return adamw
    if name == "lars":
        for group in groups:
            # Said for each group, so that a weight decay of 0 does not switch LARS off.
            group["always_adapt"] = group["decays"]
        lars: torch.optim.Optimizer = Lars(
            groups, lr=learning_rate, momentum=MOMENTUM, trust_coeff=TRUST_COEFFICIENT
        )
        return lars
    raise ValueError(f"no optimiser is called {name!r}; there are {', '.join(OPTIMIZERS)}")


def set_schedule(
    optimizer: torch.optim.Optimizer, learning_rate: float, weight_decay: float
) -> None:
    """Set this step's learning rate in all groups, and its weight decay in those that decay.

    Args:
        optimizer: One that `build_optimizer` made.
        learning_rate: Of this step.
        weight_decay: Of this step.
    """
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
        if group["decays"]:
            group["weight_decay"] = weight_decay


def _groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    # Split with a decay of 1, since timm takes 0 as the wish for one group.
    groups: list[dict[str, object]] = param_groups_weight_decay(
        module, 1.0, no_weight_decay_list=_excluded(module)
    )
    for group in groups:
        group["decays"] = group["weight_decay"] == 1.0
        group["weight_decay"] = weight_decay if group["decays"] else 0.0
    return groups


def _excluded(module: nn.Module) -> set[str]:
    """Names of the parameters that the timm models inside `module` exclude from decay."""
    names = set()
    for prefix, part in module.named_modules():
        if callable(exclude := getattr(part, "no_weight_decay", None)):
            names |= {f"{prefix}.{name}" if prefix else name for name in exclude()}
    return names
