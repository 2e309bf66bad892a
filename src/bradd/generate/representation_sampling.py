"""Sampling of `RepresentationDiffusion`: Euler steps from the noised anchor, with guidance."""

from __future__ import annotations

import torch
from torch import Tensor

from bradd.generate.representation_network import VelocityNetwork

__all__ = ["sample"]


@torch.no_grad()
def sample(
    network: VelocityNetwork,
    clean: Tensor,
    noise: Tensor,
    condition: Tensor,
    strengths: Tensor,
    steps: int,
    guidance: float,
) -> Tensor:
    """Follow the velocity from the noised anchors to pictures.

    Args:
        network: In eval mode.
        clean: The anchors as the network sees images, `[B, C, H, W]`.
        noise: Standard normal, of the shape of `clean`.
        condition: Standardised embeddings, `[B, D]`.
        strengths: How much of each start is noise, above 0, at most 1, `[B]`.
        steps: Euler steps, each as long as the others, for every picture.
        guidance: Weight of the embedding, 1 for none (Ho and Salimans 2022).

    Returns:
        Pictures, of the shape of `clean`.
    """
    column = strengths[:, None, None, None]
    pictures = (1 - column) * clean + column * noise
    for step in range(steps):
        times = strengths * (1 - step / steps)
        pictures = pictures - column / steps * _velocity(
            network, pictures, times, condition, guidance
        )
    return pictures


def _velocity(
    network: VelocityNetwork, noisy: Tensor, times: Tensor, condition: Tensor, guidance: float
) -> Tensor:
    keep = torch.zeros(len(noisy), dtype=torch.bool, device=noisy.device)
    if guidance == 1:
        alone: Tensor = network(noisy, times, condition, keep)
        return alone
    both: Tensor = network(
        torch.cat([noisy, noisy]),
        torch.cat([times, times]),
        torch.cat([condition, condition]),
        torch.cat([keep, ~keep]),
    )
    conditional, unconditional = both.chunk(2)
    guided: Tensor = unconditional + guidance * (conditional - unconditional)
    return guided
