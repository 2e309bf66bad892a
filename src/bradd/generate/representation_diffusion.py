"""Variations from a diffusion model trained on the user's images and the encoder's embeddings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from bradd.data.resize import centre_view
from bradd.errors import BraddError
from bradd.fingerprint import state_fingerprint
from bradd.generate.generator import Generator
from bradd.generate.representation_batches import Batches, SizedImages, held_out_rows
from bradd.generate.representation_folder import FitFolder
from bradd.generate.representation_network import VelocityNetwork
from bradd.generate.representation_sampling import sample
from bradd.generate.representation_space import Space, fit_space
from bradd.generate.representation_training import train
from bradd.generate.warping import warp
from bradd.seeds import derive_seed

__all__ = ["RepresentationDiffusion"]

STRENGTH_STEP = 0.1
LOWEST_STRENGTH = 0.2
LARGEST_WARP = 4.0
HELD_OUT_TIMES = 4  # at which each held-out image is looked at


class RepresentationDiffusion(Generator):
    """A small diffusion model conditioned on the embedding of the very encoder being trained.

    "unCLIP on your own encoder" (RCDM, Bordes et al. 2022): no outside data, no download. Trained
    by flow matching (Lipman et al. 2023) with logit-normal times (Esser et al. 2024); sampled by
    Euler steps with classifier-free guidance (Ho and Salimans 2022) from the noised anchor (SDEdit,
    Meng et al. 2022), which keeps a rare anchor from drifting to what is frequent; before, it is
    warped, so that its variations are no copies. Images above 64 pixels are diffused as an
    autoencoder's latents (Rombach et al. 2022).

    Args:
        steps: Training steps of a fit, at most.
        warm_steps: The same where a fit begins with the network of the round before. Default: half
            of `steps`; as many again have learnt few images by heart.
        batch_size: Images a training step.
        learning_rate: AdamW's peak, after a warm-up, before a cosine to zero.
        average: Decay of the moving average of the weights, a step.
        channels: Channels of the U-Net's levels.
        strength: How much of the anchor is noise at the start: 1 forgets its pixels, near 0 copies
            them.
        warp: How far the anchor is turned (8 degrees at most), stretched, shifted, and changed in
            brightness and contrast before it is noised: 0 leaves it as it is, 2 goes twice as far.
        guidance: Weight of the embedding; 1 is none.
        sampling_steps: Euler steps from full noise; `strength` of them are taken.
        condition_dropout: Share of training images shown without their embedding.
        image_size: Side of the pictures in pixels. Default: that of the encoder's images.
        autoencoder: Folder of a diffusers AutoencoderKL or AutoencoderTiny, which counts as
            external data. Default: up to 64 pixels none, above a small one that is trained on the
            images too.
        autoencoder_steps: Training steps of that small one.
    """

    def __init__(
        self,
        steps: int = 2000,
        warm_steps: int | None = None,
        batch_size: int = 64,
        learning_rate: float = 4e-3,
        average: float = 0.995,
        channels: tuple[int, ...] = (32, 64),
        strength: float = 0.5,
        warp: float = 1.0,
        guidance: float = 2.0,
        sampling_steps: int = 10,
        condition_dropout: float = 0.1,
        image_size: int | None = None,
        autoencoder: str | None = None,
        autoencoder_steps: int = 1000,
    ) -> None:
        for name, count in {
            "steps": steps,
            "warm_steps": 1 if warm_steps is None else warm_steps,
            "batch_size": batch_size,
            "sampling_steps": sampling_steps,
            "autoencoder_steps": autoencoder_steps,
            "image_size": 1 if image_size is None else image_size,
        }.items():
            if count < 1:
                raise BraddError(f"generator.{name} is {count}: it must be at least 1.")
        if not 0 < strength <= 1:
            raise BraddError(f"generator.strength is {strength}: it must be above 0, at most 1.")
        if not 0 <= warp <= LARGEST_WARP:
            raise BraddError(f"generator.warp is {warp}: it must be from 0 to {LARGEST_WARP:g}.")
        if not channels or min(channels) < 1 or learning_rate <= 0:
            raise BraddError(
                f"generator.channels is {channels} and generator.learning_rate {learning_rate}: "
                "channels must name at least one width above 0, the rate must be above 0."
            )
        for name, share in {"condition_dropout": condition_dropout, "average": average}.items():
            if not 0 <= share < 1:
                raise BraddError(f"generator.{name} is {share}: it must be from 0 to below 1.")
        self.steps = steps
        self.warm_steps = warm_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.average = average
        self.channels = tuple(channels)
        self.strength = strength
        self.warp = warp
        self.guidance = guidance
        self.sampling_steps = sampling_steps
        self.condition_dropout = condition_dropout
        self.image_size = image_size
        self.autoencoder = autoencoder
        self.autoencoder_steps = autoencoder_steps
        self.external_data = autoencoder is not None
        self.licence = "" if autoencoder is None else "not stated"
        self._space: Space | None = None
        self._network: VelocityNetwork | None = None

    def fit(
        self,
        images: Dataset[tuple[Tensor, int]],
        embeddings: np.ndarray,
        seed: int,
        folder: Path | None = None,
    ) -> None:
        """See `Generator.fit`.

        In the folder are kept the network, which the next fit starts from if the settings are the
        same, and while it is trained a checkpoint.
        """
        sized = SizedImages(images, len(embeddings), self.image_size)
        space = fit_space(
            sized,
            multiple=2 ** (len(self.channels) - 1),
            autoencoder=self.autoencoder,
            autoencoder_steps=self.autoencoder_steps,
            seed=seed,
            folder=folder,
            device=self.device,
        )
        network = self._new_network(space, embeddings.shape[1], seed)
        kept = FitFolder(
            folder,
            "network",
            lasting=_hash(
                json.dumps(self._lasting()), space.fingerprint(), str(embeddings.shape[1])
            ),
            passing=_hash(str(seed), sized.fingerprint(), np.ascontiguousarray(embeddings)),
        )
        start = kept.start(network)
        if start != "finished":
            network.learn_scale(torch.from_numpy(embeddings).to(self.device))
            network = self._train(network, space, sized, embeddings, seed, start == "warm", kept)
            kept.finish(network)
        self._space, self._network = space, network.eval()

    def generate(
        self, anchors: Sequence[Image.Image], embeddings: np.ndarray, seeds: Sequence[int]
    ) -> list[Image.Image]:
        """See `Generator.generate`; the pictures have the size of the images it was fitted on.

        Raises:
            BraddError: It has not been fitted.
        """
        return self.generate_closer(anchors, embeddings, seeds, [0] * len(seeds))

    def generate_closer(
        self,
        anchors: Sequence[Image.Image],
        embeddings: np.ndarray,
        seeds: Sequence[int],
        steps: Sequence[int],
    ) -> list[Image.Image]:
        """See `Generator.generate_closer`; a step is 0.1 less strength, down to 0.2.

        The warp is less by the same share.
        """
        wanted = self.strength - STRENGTH_STEP * np.asarray(steps, dtype=np.float64)
        strengths = wanted.clip(min(LOWEST_STRENGTH, self.strength), 1.0)
        pictures: list[Image.Image] = []
        at_once = 8 if self.device.type == "cpu" else 64
        for start in range(0, len(seeds), at_once):
            rows = np.arange(start, min(start + at_once, len(seeds)))
            # All batches have one shape, on which the last bits of a product depend.
            padded = np.resize(rows, at_once).tolist()
            made = self._sample(
                [anchors[row] for row in padded],
                embeddings[padded],
                [seeds[row] for row in padded],
                strengths[padded],
            )
            pictures += [Image.fromarray(picture) for picture in made[: len(rows)]]
        return pictures

    def fit_steps(self, warm: bool) -> int:
        """Training steps of a fit, at most; a warm one begins with an earlier network."""
        if not warm:
            return self.steps
        return max(1, self.steps // 2) if self.warm_steps is None else self.warm_steps

    def revision(self) -> str:
        """A hash of the fitted weights."""
        space, network = self._fitted()
        return state_fingerprint({**network.state_dict(), **space.state_dict(prefix="space.")})

    @torch.no_grad()
    def _sample(
        self,
        anchors: Sequence[Image.Image],
        embeddings: np.ndarray,
        seeds: Sequence[int],
        strengths: np.ndarray,
    ) -> np.ndarray:
        """Pictures of one batch, uint8 `[B, S, S, 3]`."""
        space, network = self._fitted()
        views = np.stack([centre_view(anchor, space.image_size) for anchor in anchors])
        starts = warp(torch.from_numpy(views), seeds, self.warp * strengths / self.strength)
        clean = space.encode(starts.to(self.device))
        noise = torch.stack([_noise(clean.shape[1:], seed) for seed in seeds]).to(self.device)
        with self._precision():
            encoded = sample(
                network,
                clean,
                noise,
                network.standardise(torch.from_numpy(embeddings).to(self.device)),
                torch.from_numpy(strengths).float().to(self.device),
                max(1, round(self.strength * self.sampling_steps)),
                self.guidance,
            )
        return space.decode(encoded).permute(0, 2, 3, 1).cpu().numpy()

    def _train(
        self,
        network: VelocityNetwork,
        space: Space,
        images: SizedImages,
        embeddings: np.ndarray,
        seed: int,
        warm: bool,
        kept: FitFolder,
    ) -> VelocityNetwork:
        conditions = network.standardise(torch.from_numpy(embeddings).to(self.device))
        held_out = held_out_rows(conditions.cpu().numpy(), seed)
        batches = Batches(np.setdiff1d(np.arange(len(images)), held_out), self.batch_size, seed)

        def loss_at(step: int) -> Tensor:
            rows = batches.at(step)
            return self._loss(network, space, images.take(rows), conditions[rows], seed, step)

        @torch.no_grad()
        def held_out_loss(averaged: nn.Module) -> float:
            averaged.eval()
            losses = [
                self._loss(averaged, space, images.take(rows), conditions[rows], seed, -1 - time)
                for time in range(HELD_OUT_TIMES)
                for rows in np.array_split(held_out, -(-len(held_out) // self.batch_size))
            ]
            return float(torch.stack(losses).mean())

        return train(
            network,
            loss_at,
            steps=self.fit_steps(warm),
            learning_rate=self.learning_rate,
            average=self.average,
            description="fit the generator",
            checkpoint=kept.checkpoint,
            key=kept.key,
            held_out_loss=held_out_loss if len(held_out) else None,
        )

    def _loss(
        self,
        network: nn.Module,
        space: Space,
        pixels: Tensor,
        condition: Tensor,
        seed: int,
        step: int,
    ) -> Tensor:
        """Mean squared error of the velocity at random times; randomness from (seed, step)."""
        random = torch.Generator().manual_seed(derive_seed(seed, "noise", step))
        clean = space.encode(pixels.to(self.device))
        noise = torch.randn(clean.shape, generator=random).to(self.device)
        time = torch.sigmoid(torch.randn(len(clean), generator=random)).to(self.device)
        drop = (torch.rand(len(clean), generator=random) < self.condition_dropout).to(self.device)
        amount = time[:, None, None, None]
        noisy = (1 - amount) * clean + amount * noise
        with self._precision(training=True):
            velocity: Tensor = network(noisy, time, condition, drop)
        return nn.functional.mse_loss(velocity, noise - clean)

    def _new_network(self, space: Space, embedding_size: int, seed: int) -> VelocityNetwork:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "initial weights"))
            network = VelocityNetwork(space.depth, space.side, embedding_size, self.channels)
        network.to(self.device)
        return network

    def _lasting(self) -> dict[str, object]:
        """The settings of the training, without those of the sampling."""
        names = ("steps", "warm_steps", "batch_size", "learning_rate", "average", "channels")
        kept = {name: getattr(self, name) for name in (*names, "condition_dropout")}
        return kept | {"warm_steps": self.fit_steps(warm=True)}

    def _precision(self, training: bool = False) -> AbstractContextManager[object]:
        """Bfloat16 where a device computes in it: half the time of a fit on CPUs with AMX."""
        if self.device.type == "cuda":
            fast = torch.cuda.is_bf16_supported()
        else:
            # Older versions of torch do not tell.
            capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
            fast = training and bool(capabilities.get("amx_bf16"))
        return torch.autocast(self.device.type, torch.bfloat16, enabled=fast)

    def _fitted(self) -> tuple[Space, VelocityNetwork]:
        if self._space is None or self._network is None:
            raise BraddError("RepresentationDiffusion generates only after fit().")
        return self._space, self._network


def _noise(shape: torch.Size, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _hash(*parts: str | np.ndarray) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part.tobytes())
    return digest.hexdigest()
