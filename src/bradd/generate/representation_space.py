"""What `RepresentationDiffusion` diffuses: pixels of small images, latents of larger ones."""

from __future__ import annotations

import math
from abc import abstractmethod
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from bradd.fingerprint import state_fingerprint
from bradd.generate.autoencoder import Autoencoder, DiffusersAutoencoder, trained_autoencoder
from bradd.generate.representation_batches import SizedImages, spaced

__all__ = ["Latents", "Pixels", "Space", "fit_space"]

LARGEST_IN_PIXELS = 64  # larger images are diffused as latents
IMAGES_MEASURED = 512  # for the spread of the latents


class Space(nn.Module):
    """Where images are diffused.

    Attributes:
        image_size: Side S of the images in pixels.
        depth: C, channels of an encoded image.
        side: H and W of an encoded image.
    """

    image_size: int
    depth: int
    side: int

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """8-bit images `[B, 3, S, S]` to numbers of about unit spread, `[B, C, H, W]`."""

    @abstractmethod
    def decode(self, encoded: Tensor) -> Tensor:
        """What `encode` gives back to 8-bit images."""

    def fingerprint(self) -> str:
        """Tells spaces apart."""
        shape = f"{self.image_size} {self.depth} {self.side}"
        return f"{shape} {state_fingerprint(self.state_dict())}"

    def _pad(self, images: Tensor, padded_size: int) -> Tensor:
        margin = padded_size - self.image_size
        padding = (margin // 2, margin - margin // 2) * 2
        return functional.pad(images.float() / 127.5 - 1.0, padding, mode="replicate")

    def _cut(self, padded: Tensor) -> Tensor:
        start = (padded.shape[-1] - self.image_size) // 2
        inside = slice(start, start + self.image_size)
        levels = (padded[:, :, inside, inside].float() + 1.0) * 127.5
        return levels.round().clamp(0, 255).to(torch.uint8)


class Pixels(Space):
    """Pixels rearranged into fewer, deeper ones.

    At small budgets more steps of a smaller network beat fewer of a larger one.

    Args:
        image_size: Side S of the images.
        multiple: What H and W are to be multiples of.
    """

    def __init__(self, image_size: int, multiple: int) -> None:
        super().__init__()
        self.image_size = image_size
        self._shuffle = max(2 if image_size >= 16 else 1, 2 ** round(math.log2(image_size / 16)))
        self.side = math.ceil(image_size / (self._shuffle * multiple)) * multiple
        self.depth = 3 * self._shuffle**2

    def encode(self, images: Tensor) -> Tensor:
        """See `Space.encode`."""
        return functional.pixel_unshuffle(
            self._pad(images, self.side * self._shuffle), self._shuffle
        )

    def decode(self, encoded: Tensor) -> Tensor:
        """See `Space.decode`."""
        return self._cut(functional.pixel_shuffle(encoded, self._shuffle))


class Latents(Space):
    """What an autoencoder makes of images, each channel standardised.

    Args:
        autoencoder: In eval mode.
        image_size: Side S of the images.
        multiple: What H and W are to be multiples of.
    """

    def __init__(self, autoencoder: Autoencoder, image_size: int, multiple: int) -> None:
        super().__init__()
        self.image_size = image_size
        self._autoencoder = autoencoder.requires_grad_(False)
        self.depth = autoencoder.depth
        self.side = math.ceil(image_size / (autoencoder.factor * multiple)) * multiple
        self.mean: Tensor
        self.spread: Tensor
        self.register_buffer("mean", torch.zeros(1, self.depth, 1, 1))
        self.register_buffer("spread", torch.ones(1, self.depth, 1, 1))

    @torch.no_grad()
    def measure(self, images: Tensor) -> None:
        """Learn the channels' mean and spread from 8-bit images `[B, 3, S, S]`."""
        parts = [self._latents(part) for part in torch.split(images, 16)]
        spread, mean = torch.std_mean(torch.cat(parts), dim=(0, 2, 3), keepdim=True)
        self.mean.copy_(mean)
        self.spread.copy_(spread.clamp_min(1e-6))

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """See `Space.encode`."""
        return (self._latents(images) - self.mean) / self.spread

    @torch.no_grad()
    def decode(self, encoded: Tensor) -> Tensor:
        """See `Space.decode`."""
        return self._cut(self._autoencoder.decode(encoded * self.spread + self.mean))

    def _latents(self, images: Tensor) -> Tensor:
        on_device = images.to(self.mean.device)
        return self._autoencoder.encode(self._pad(on_device, self.side * self._autoencoder.factor))


def fit_space(
    images: SizedImages,
    *,
    multiple: int,
    autoencoder: str | None,
    autoencoder_steps: int,
    seed: int,
    folder: Path | None,
    device: torch.device,
) -> Space:
    """The space in which these images are diffused.

    Args:
        images: N images, S pixels wide.
        multiple: What H and W are to be multiples of.
        autoencoder: Folder of a trained one. Default: up to 64 pixels none, above a small one that
            is trained here.
        autoencoder_steps: Training steps of that small one.
        seed: Of its training.
        folder: Where it is kept. Default: nowhere.
        device: Where it computes.

    Raises:
        BraddError: There is no autoencoder in the folder, or the disk is full.
    """
    if autoencoder is None and images.size <= LARGEST_IN_PIXELS:
        return Pixels(images.size, multiple).to(device)
    model: Autoencoder
    if autoencoder is not None:
        model = DiffusersAutoencoder(autoencoder).to(device)
    else:
        model = trained_autoencoder(images, autoencoder_steps, seed, folder, device)
    space = Latents(model.eval(), images.size, multiple).to(device)
    space.measure(images.take(spaced(len(images), IMAGES_MEASURED)))
    return space
