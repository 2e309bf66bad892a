"""Variations from a diffusion model trained on the user's images and the encoder's embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import EMAModel
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bradd.console import stage
from bradd.data.resize import centre_view
from bradd.errors import BraddError
from bradd.fingerprint import state_fingerprint
from bradd.generate.generator import Generator
from bradd.generate.representation_network import VelocityNetwork
from bradd.seeds import derive_seed, random_generator

__all__ = ["RepresentationDiffusion"]

WARMUP_STEPS = 100
EMA_DECAY = 0.995


class RepresentationDiffusion(Generator):
    """A small diffusion model conditioned on the embedding of the very encoder being trained.

    "unCLIP on your own encoder" (RCDM, Bordes et al. 2022): no outside data, no download. Trained
    by flow matching (Lipman et al. 2023) with logit-normal times (Esser et al. 2024); sampled by
    Euler steps with classifier-free guidance (Ho and Salimans 2022) from the noised anchor (SDEdit,
    Meng et al. 2022), which keeps a rare anchor from drifting to what is frequent.

    Args:
        steps: Training steps of a fit.
        batch_size: Images a training step.
        learning_rate: AdamW's peak, after a warm-up, before a cosine to zero.
        channels: Channels of the U-Net's levels.
        strength: How much of the anchor is noise at the start: 1 forgets its pixels, near 0 copies
            them.
        guidance: Weight of the embedding; 1 is none.
        sampling_steps: Euler steps from full noise; `strength` of them are taken.
        condition_dropout: Share of training images shown without their embedding.
    """

    def __init__(
        self,
        steps: int = 2000,
        batch_size: int = 64,
        learning_rate: float = 4e-3,
        channels: tuple[int, ...] = (32, 64),
        strength: float = 0.7,
        guidance: float = 2.0,
        sampling_steps: int = 10,
        condition_dropout: float = 0.1,
    ) -> None:
        if steps < 1 or batch_size < 1 or sampling_steps < 1:
            raise BraddError(
                "generator.steps, generator.batch_size and generator.sampling_steps must be at "
                f"least 1; they are {steps}, {batch_size} and {sampling_steps}."
            )
        if not 0 < strength <= 1:
            raise BraddError(f"generator.strength is {strength}: it must be above 0, at most 1.")
        if not channels or min(channels) < 1 or learning_rate <= 0:
            raise BraddError(
                f"generator.channels is {channels} and generator.learning_rate {learning_rate}: "
                "channels must name at least one width above 0, the rate must be above 0."
            )
        if not 0 <= condition_dropout < 1:
            raise BraddError(
                f"generator.condition_dropout is {condition_dropout}: it must be from 0 to below 1."
            )
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.channels = tuple(channels)
        self.strength = strength
        self.guidance = guidance
        self.sampling_steps = sampling_steps
        self.condition_dropout = condition_dropout
        self._network: VelocityNetwork | None = None
        self._mean = torch.zeros(1)
        self._scale = torch.ones(1)

    def fit(
        self,
        images: Dataset[tuple[Tensor, int]],
        embeddings: np.ndarray,
        seed: int,
        folder: Path | None = None,
    ) -> None:
        """See `Generator.fit`."""
        directions = _directions(embeddings)
        self._mean = directions.mean(dim=0)
        self._scale = directions.std(dim=0).mean().clamp_min(1e-6)
        conditions = self._standardise(embeddings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "initial weights"))
            network = VelocityNetwork(
                images[0][0].shape[-1], embeddings.shape[1], self.channels
            ).to(self.device)
        average = EMAModel(network.parameters(), decay=EMA_DECAY, use_ema_warmup=False)
        optimizer = torch.optim.AdamW(network.parameters(), lr=self.learning_rate)
        loader: Iterable[tuple[Tensor, Tensor]] = DataLoader(  # collated
            images,  # type: ignore[arg-type]
            batch_sampler=_Batches(len(embeddings), self.batch_size, self.steps, seed),
            generator=torch.Generator().manual_seed(0),
        )
        network.train()
        with stage("fit the generator", self.steps) as progress:
            for step, (pixels, indices) in enumerate(loader):
                optimizer.param_groups[0]["lr"] = self._learning_rate_at(step)
                loss = self._loss(network, pixels, conditions[indices], seed, step)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                average.step(network.parameters())
                progress.advance(note=f"loss {loss.item():.3f}" if step % 20 == 0 else "")
        average.copy_to(network.parameters())
        self._network = network.eval()

    @torch.no_grad()
    def generate(
        self, anchors: Sequence[Image.Image], embeddings: np.ndarray, seeds: Sequence[int]
    ) -> list[Image.Image]:
        """See `Generator.generate`; the pictures have the size of the images it was fitted on.

        Raises:
            BraddError: It has not been fitted.
        """
        network = self._fitted()
        views = np.stack([centre_view(anchor, network.image_size) for anchor in anchors])
        clean = network.pack(torch.from_numpy(views)).to(self.device)
        noise = torch.stack([_noise(clean.shape[1:], seed) for seed in seeds]).to(self.device)
        condition = self._standardise(embeddings).to(self.device)
        scheduler = FlowMatchEulerDiscreteScheduler()
        taken = max(1, round(self.strength * self.sampling_steps))
        scheduler.set_timesteps(
            sigmas=np.linspace(self.strength, self.strength / taken, taken).tolist(),
            device=self.device,
        )
        sample = (1 - self.strength) * clean + self.strength * noise
        for timestep, sigma in zip(scheduler.timesteps, scheduler.sigmas, strict=False):
            velocity = self._guided(network, sample, float(sigma), condition)
            sample = scheduler.step(velocity, timestep, sample).prev_sample
        pictures = network.unpack(sample).permute(0, 2, 3, 1).cpu().numpy()
        return [Image.fromarray(picture) for picture in pictures]

    def revision(self) -> str:
        """A hash of the fitted weights."""
        return state_fingerprint(self._fitted().state_dict())

    def _loss(
        self, network: VelocityNetwork, pixels: Tensor, condition: Tensor, seed: int, step: int
    ) -> Tensor:
        """Mean squared error of the velocity at random times; randomness from (seed, step)."""
        random = torch.Generator().manual_seed(derive_seed(seed, "noise", step))
        clean = network.pack(pixels)
        noise = torch.randn(clean.shape, generator=random)
        time = torch.sigmoid(torch.randn(len(clean), generator=random))
        drop = torch.rand(len(clean), generator=random) < self.condition_dropout
        amount = time[:, None, None, None]
        noisy = (1 - amount) * clean + amount * noise
        inputs = (part.to(self.device) for part in (noisy, time, condition, drop))
        return torch.nn.functional.mse_loss(network(*inputs), (noise - clean).to(self.device))

    def _guided(
        self, network: VelocityNetwork, sample: Tensor, sigma: float, condition: Tensor
    ) -> Tensor:
        time = torch.full((len(sample),), sigma, device=self.device)
        keep = torch.zeros(len(sample), dtype=torch.bool, device=self.device)
        conditional: Tensor = network(sample, time, condition, keep)
        if self.guidance == 1:
            return conditional
        unconditional: Tensor = network(sample, time, condition, ~keep)
        return unconditional + self.guidance * (conditional - unconditional)

    def _learning_rate_at(self, step: int) -> float:
        warmup = min(1.0, (step + 1) / min(WARMUP_STEPS, self.steps))
        cosine = 0.5 * (1 + float(np.cos(np.pi * step / self.steps)))
        return self.learning_rate * warmup * cosine

    def _standardise(self, embeddings: np.ndarray) -> Tensor:
        return (_directions(embeddings) - self._mean) / self._scale

    def _fitted(self) -> VelocityNetwork:
        if self._network is None:
            raise BraddError("RepresentationDiffusion generates only after fit().")
        return self._network


class _Batches:
    """Which images each training step sees: passes over the data in (seed, pass)'s order."""

    def __init__(self, images: int, batch_size: int, steps: int, seed: int) -> None:
        self._images = images
        self._batch_size = batch_size
        self._steps = steps
        self._seed = seed

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[list[int]]:
        waiting: list[int] = []
        passes = 0
        for _ in range(self._steps):
            while len(waiting) < self._batch_size:
                order = random_generator(self._seed, "order", passes).permutation(self._images)
                waiting += order.tolist()
                passes += 1
            yield waiting[: self._batch_size]
            waiting = waiting[self._batch_size :]


def _directions(embeddings: np.ndarray) -> Tensor:
    """Embeddings scaled to unit length, as selection and acceptance compare them."""
    return torch.nn.functional.normalize(torch.from_numpy(embeddings).float(), dim=1)


def _noise(shape: torch.Size, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
