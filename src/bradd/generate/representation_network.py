"""The network of `RepresentationDiffusion`: a small U-Net told an embedding and a time."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["VelocityNetwork"]

# diffusers' sinusoidal time embedding is made for steps of 0 to 1000.
TIME_SCALE = 1000.0
# Below this time the velocity's weight on the predicted image no longer grows.
SHORTEST_TIME = 0.05


class VelocityNetwork(nn.Module):
    """Predicts the velocity of a noisy image, given an embedding of the clean one.

    The U-Net predicts the clean image, from which the velocity follows: the velocity itself is
    noise in every direction, more than the U-Net's last channels can hold when pixels are deep
    (Li and He 2025).

    Args:
        depth: C, channels of the images as its space encodes them.
        side: H and W of these; a number the U-Net can halve.
        embedding_size: D.
        channels: Channels of the U-Net's levels.
    """

    def __init__(
        self, depth: int, side: int, embedding_size: int, channels: tuple[int, ...]
    ) -> None:
        # Only here: diffusers takes seconds to import.
        from diffusers import UNet2DModel

        super().__init__()
        self.unet: Any = UNet2DModel(
            sample_size=side,
            in_channels=depth,
            out_channels=depth,
            block_out_channels=channels,
            down_block_types=("DownBlock2D",) * len(channels),
            up_block_types=("UpBlock2D",) * len(channels),
            layers_per_block=1,
            norm_num_groups=math.gcd(8, *channels),
            class_embed_type="identity",
            add_attention=False,
        )
        width = channels[0] * 4  # of diffusers' time embedding, to which the condition is added
        self.condition = nn.Sequential(
            nn.Linear(embedding_size, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.unconditional = nn.Parameter(torch.zeros(width))
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(embedding_size))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, noisy: Tensor, time: Tensor, condition: Tensor, drop: Tensor) -> Tensor:
        """Predict `noise - image` at `time`.

        Args:
            noisy: `(1 - time) * image + time * noise`, `[B, C, H, W]`.
            time: 0 (image) to 1 (noise), `[B]`.
            condition: What `standardise` makes of embeddings, `[B, D]`.
            drop: Where to predict without the embedding, bool `[B]`.

        Returns:
            Velocity, of the shape of `noisy`.
        """
        told = torch.where(drop[:, None], self.unconditional, self.condition(condition))
        clean: Tensor = self.unet(noisy, time * TIME_SCALE, class_labels=told).sample
        return (noisy - clean) / time.clamp_min(SHORTEST_TIME)[:, None, None, None]

    def learn_scale(self, embeddings: Tensor) -> None:
        """Standardise by the mean and spread of these embeddings from now on, `[N, D]`."""
        directions = functional.normalize(embeddings.float(), dim=1)
        self.mean.copy_(directions.mean(dim=0))
        self.scale.copy_(directions.std(dim=0).mean().clamp_min(1e-6))

    def standardise(self, embeddings: Tensor) -> Tensor:
        """Directions, as selection and acceptance compare them, centred and scaled, `[B, D]`."""
        directions = functional.normalize(embeddings.float(), dim=1)
        return (directions - self.mean) / self.scale
