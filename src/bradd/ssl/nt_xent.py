"""The contrastive loss of SimCLR (Chen et al. 2020, equation 1)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bradd import distributed
from bradd.ssl.precision import at_least_float32

__all__ = ["nt_xent"]


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross entropy.

    For each of the 2B projections z_i, whose partner z_j is the other view of its image,

        loss_i = -log( exp(z_i . z_j / t) / sum over k != i of exp(z_i . z_k / t) ),

    averaged; rows are L2-normalised. With several processes the negatives are those of the global
    batch, and the mean of the processes' losses is the loss of that batch. (lightly's loss, the
    oracle of the tests, cuts the diagonal out with a Boolean mask, whose size a GPU would have to
    be asked for at every step.)

    Args:
        first: Projections of the first views, `[B, P]`.
        second: Projections of the second views, `[B, P]`, in the same order.
        temperature: t; lower weighs hard negatives more.

    Returns:
        A scalar in float32, or float64 if they are.
    """
    with torch.autocast(first.device.type, enabled=False):
        both = at_least_float32(torch.stack([first, second]))
        mine = functional.normalize(both, dim=2)  # [2, B, P]
        everyone = distributed.gather(mine, dim=1)  # [2, W B, P]
        batch, everywhere = mine.shape[1], everyone.shape[1]
        similarities = mine.flatten(0, 1) @ everyone.flatten(0, 1).T / temperature  # [2B, 2WB]

        place = torch.arange(batch, device=mine.device) + distributed.rank() * batch
        itself = torch.cat([place, place + everywhere])
        partner = torch.cat([place + everywhere, place])
        similarities = similarities.scatter(1, itself[:, None], -torch.inf)
        return functional.cross_entropy(similarities, partner)
