"""SimCLR (Chen et al. 2020, https://arxiv.org/abs/2002.05709)."""

from __future__ import annotations

import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from torch import Tensor, nn

from bradd import distributed
from bradd.errors import BraddError
from bradd.ssl.method import Method

__all__ = ["SimCLR"]


class SimCLR(Method):
    """Two views of an image attract, all other views of the batch repel (NT-Xent).

    Args:
        temperature: Of the softmax; lower weighs hard negatives more.
        projection_size: Width of the projector's output; the projector is an MLP D -> D -> this.
    """

    def __init__(self, temperature: float = 0.5, projection_size: int = 128) -> None:
        super().__init__()
        if temperature <= 0:
            raise BraddError(f"method.temperature is {temperature}: it must be above 0.")
        if projection_size < 1:
            raise BraddError(f"method.projection_size is {projection_size}: it must be at least 1.")
        self.temperature = temperature
        self.projection_size = projection_size

    def build(self, embedding_size: int) -> None:
        """See `Method.build`."""
        self.projector = SimCLRProjectionHead(embedding_size, embedding_size, self.projection_size)
        self.contrast = NTXentLoss(
            self.temperature, gather_distributed=distributed.world_size() > 1
        )

    def loss(self, backbone: nn.Module, views: list[Tensor]) -> Tensor:
        """See `Method.loss`."""
        projections = self.projector(backbone(torch.cat(views)))
        with torch.autocast(projections.device.type, enabled=False):
            first, second = projections.float().chunk(2)
            loss: Tensor = self.contrast(first, second)
        return loss
