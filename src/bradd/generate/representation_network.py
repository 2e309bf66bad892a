"""The network of `RepresentationDiffusion`: a small U-Net told an embedding and a time."""

from __future__ import annotations

import math
from typing import Any

import torch
from diffusers import UNet2DModel
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

    Images are padded to a size the U-Net can halve and rearranged into fewer, deeper pixels: at
    small budgets more steps of a smaller network beat fewer of a larger one.

    Args:
        image_size: Side S of the images in pixels.
        embedding_size: D.
        channels: Channels of the U-Net's levels.
    """

    def __init__(self, image_size: int, embedding_size: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.image_size = image_size
        self.shuffle = max(2 if image_size >= 16 else 1, 2 ** round(math.log2(image_size / 16)))
        multiple = self.shuffle * 2 ** (len(channels) - 1)
        self.padded_size = math.ceil(image_size / multiple) * multiple
        self.unet: Any = UNet2DModel(
            sample_size=self.padded_size // self.shuffle,
            in_channels=3 * self.shuffle**2,
            out_channels=3 * self.shuffle**2,
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

    def forward(self, noisy: Tensor, time: Tensor, embedding: Tensor, drop: Tensor) -> Tensor:
        """Predict `noise - image` at `time`.

        Args:
            noisy: `(1 - time) * image + time * noise`, `[B, C, H, W]` as `pack` gives it.
            time: 0 (image) to 1 (noise), `[B]`.
            embedding: Standardised embeddings, `[B, D]`.
            drop: Where to predict without the embedding, bool `[B]`.

        Returns:
            Velocity, of the shape of `noisy`.
        """
        condition = torch.where(drop[:, None], self.unconditional, self.condition(embedding))
        clean: Tensor = self.unet(noisy, time * TIME_SCALE, class_labels=condition).sample
        return (noisy - clean) / time.clamp_min(SHORTEST_TIME)[:, None, None, None]

    def pack(self, images: Tensor) -> Tensor:
        """8-bit images `[B, 3, S, S]` to the network's range and shape, `[B, C, H, W]`."""
        margin = self.padded_size - self.image_size
        padding = (margin // 2, margin - margin // 2) * 2
        scaled = images.float() / 127.5 - 1.0
        return functional.pixel_unshuffle(
            functional.pad(scaled, padding, mode="replicate"), self.shuffle
        )

    def unpack(self, packed: Tensor) -> Tensor:
        """The inverse of `pack`, rounded and clipped to 8 bits."""
        start = (self.padded_size - self.image_size) // 2
        inside = slice(start, start + self.image_size)
        images = functional.pixel_shuffle(packed, self.shuffle)[:, :, inside, inside]
        return ((images + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
