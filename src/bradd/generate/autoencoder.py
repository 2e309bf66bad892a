"""From images to fewer, deeper numbers and back."""

from __future__ import annotations

import json
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bradd.errors import BraddError
from bradd.generate.representation_batches import Batches, SizedImages
from bradd.generate.representation_folder import FitFolder
from bradd.generate.representation_training import train
from bradd.seeds import derive_seed

__all__ = ["Autoencoder", "DiffusersAutoencoder", "SmallAutoencoder", "trained_autoencoder"]

BATCH_SIZE = 16
LEARNING_RATE = 1e-3
AVERAGE = 0.99

# Noise on the latents while training, so that near latents are near images (the latents have about
# unit spread); and the weight that keeps them there.
LATENT_NOISE = 0.1
LATENT_WEIGHT = 1e-3


class Autoencoder(nn.Module):
    """Maps images to latents and back.

    Attributes:
        depth: Channels C of the latents.
        factor: Pixels to a latent along a side.
    """

    depth: int
    factor: int

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Images from -1 to 1, `[B, 3, S, S]`, to latents `[B, C, S / factor, S / factor]`."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Latents to images."""


class SmallAutoencoder(Autoencoder):
    """Convolutions between patches of pixels and latents, cheap enough to be trained beside.

    Args:
        image_size: Side of the images: above 128 pixels patches are 8 pixels wide, else 4.
        width: Channels of the convolutions.
    """

    def __init__(self, image_size: int, width: int = 96) -> None:
        super().__init__()
        self.factor = 8 if image_size > 128 else 4
        self.depth = 2 * self.factor
        patch = 3 * self.factor**2
        self._encoder = nn.Sequential(
            nn.PixelUnshuffle(self.factor),
            nn.Conv2d(patch, width, 1),
            _Residual(width),
            nn.Conv2d(width, self.depth, 1),
        )
        self._decoder = nn.Sequential(
            nn.Conv2d(self.depth, width, 3, padding=1),
            _Residual(width),
            _Residual(width),
            nn.Conv2d(width, patch, 3, padding=1),
            nn.PixelShuffle(self.factor),
        )

    def encode(self, images: Tensor) -> Tensor:
        """See `Autoencoder.encode`."""
        latents: Tensor = self._encoder(images)
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """See `Autoencoder.decode`."""
        images: Tensor = self._decoder(latents)
        return images


class DiffusersAutoencoder(Autoencoder):
    """A trained `AutoencoderKL` or `AutoencoderTiny` of diffusers.

    Args:
        folder: With its config.json and weights as safetensors.

    Raises:
        BraddError: There is no such autoencoder in the folder.
    """

    def __init__(self, folder: str | Path) -> None:
        import diffusers

        super().__init__()
        try:
            config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
            kind = config["_class_name"]
            if kind not in ("AutoencoderKL", "AutoencoderTiny"):
                raise ValueError(f"it holds a {kind}")
            self._model: Any = getattr(diffusers, kind).from_pretrained(
                folder, use_safetensors=True, local_files_only=True
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BraddError(
                f"generator.autoencoder: {folder} is no folder of a diffusers AutoencoderKL or "
                f"AutoencoderTiny with config.json and safetensors: {error}"
            ) from error
        self._is_tiny = kind == "AutoencoderTiny"
        widths = config["encoder_block_out_channels" if self._is_tiny else "block_out_channels"]
        self.factor = 2 ** (len(widths) - 1)
        self.depth = int(config["latent_channels"])

    def encode(self, images: Tensor) -> Tensor:
        """See `Autoencoder.encode`."""
        encoded = self._model.encode(images)
        latents: Tensor = encoded.latents if self._is_tiny else encoded.latent_dist.mode()
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """See `Autoencoder.decode`."""
        images: Tensor = self._model.decode(latents).sample
        return images


def trained_autoencoder(
    images: SizedImages, steps: int, seed: int, folder: Path | None, device: torch.device
) -> SmallAutoencoder:
    """A small autoencoder of these images; the one in the folder if it is of the same images.

    Args:
        images: N images, S pixels wide.
        steps: Training steps.
        seed: Of the training.
        folder: Where it is kept, and its training while it lasts. Default: nowhere.
        device: Where it is trained.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "initial weights of the autoencoder"))
        autoencoder = SmallAutoencoder(images.size).to(device)
    batches = Batches(np.arange(len(images)), BATCH_SIZE, derive_seed(seed, "autoencoder"))

    def loss_at(step: int) -> Tensor:
        return _loss(autoencoder, images.take(batches.at(step)).to(device), seed, step)

    # Other images would have other latents, which no diffusion network of before knows.
    kept = FitFolder(folder, "autoencoder", f"{steps} steps, images {images.fingerprint()}", "")
    if kept.start(autoencoder) == "new":
        averaged = train(
            autoencoder,
            loss_at,
            steps=steps,
            learning_rate=LEARNING_RATE,
            average=AVERAGE,
            description="fit the autoencoder",
            checkpoint=kept.checkpoint,
            key=f"{kept.key}, seed {seed}",
        )
        autoencoder.load_state_dict(averaged.state_dict())
        kept.finish(autoencoder)
    return autoencoder


def _loss(autoencoder: Autoencoder, images: Tensor, seed: int, step: int) -> Tensor:
    """Mean absolute error of what is decoded from noised latents; noise from (seed, step)."""
    random = torch.Generator().manual_seed(derive_seed(seed, "latent noise", step))
    pixels = images.float() / 127.5 - 1.0
    # A multiple of every patch's side; what is cut off are a few pixels at two edges.
    side = pixels.shape[-1] // autoencoder.factor * autoencoder.factor
    pixels = pixels[:, :, :side, :side]
    latents = autoencoder.encode(pixels)
    noise = torch.randn(latents.shape, generator=random).to(latents)
    decoded = autoencoder.decode(latents + LATENT_NOISE * noise)
    return functional.l1_loss(decoded, pixels) + LATENT_WEIGHT * latents.square().mean()


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self._layers = nn.Sequential(
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, values: Tensor) -> Tensor:
        """Add what the layers make of the values, `[B, W, H, H]`."""
        added: Tensor = values + self._layers(values)
        return added
