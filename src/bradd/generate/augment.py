"""The control: the anchors again, strongly augmented."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from bradd.errors import BraddError
from bradd.generate.generator import Generator

__all__ = ["Augment"]

LEVELS = 11  # of strength, 0 to 10, as RandAugment's paper counts them
GREY = 128  # where an operation moves the picture's border inwards


class Augment(Generator):
    """Conventional augmentations of the anchor, as strong as usual: what needs no generative model.

    A random resized crop, mirrored half of the time, then RandAugment (Cubuk et al. 2020): so many
    operations drawn from shears, shifts, turns and changes of colour and contrast. The pictures
    have the size that other generators make once fitted, else the anchor's shorter side.

    Args:
        operations: How many are drawn for a picture.
        magnitude: Of the operations, 0 to 10. The paper trains ResNet-50 with 2 operations of 9.
        minimum_scale: Smallest share of the anchor's area that a crop leaves, above 0, to 1.
        flip: Probability of mirroring.
    """

    judged = False

    def __init__(
        self,
        operations: int = 2,
        magnitude: int = 9,
        minimum_scale: float = 0.5,
        flip: float = 0.5,
    ) -> None:
        for name, value, possible, said in (
            ("operations", operations, operations >= 0, "0 or more"),
            ("magnitude", magnitude, 0 <= magnitude < LEVELS, f"from 0 to {LEVELS - 1}"),
            ("minimum_scale", minimum_scale, 0 < minimum_scale <= 1, "above 0, at most 1"),
            ("flip", flip, 0 <= flip <= 1, "from 0 to 1"),
        ):
            if not possible:
                raise BraddError(f"generator.{name} is {value}: it must be {said}.")
        self.operations = operations
        self.magnitude = magnitude
        self.minimum_scale = minimum_scale
        self.flip = flip
        self._size: int | None = None

    def fit(
        self,
        images: Dataset[tuple[Tensor, int]],
        embeddings: np.ndarray,
        seed: int,
        folder: Path | None = None,
    ) -> None:
        """See `Generator.fit`; only the images' size is learnt."""
        self._size = images[0][0].shape[-1]

    def generate(
        self, anchors: Sequence[Image.Image], embeddings: np.ndarray, seeds: Sequence[int]
    ) -> list[Image.Image]:
        """See `Generator.generate`; embeddings are not used."""
        # Seeded one by one: torchvision draws from torch's global generator.
        with torch.random.fork_rng(devices=[]):
            return [self._augmented(*each) for each in zip(anchors, seeds, strict=True)]

    def _augmented(self, anchor: Image.Image, seed: int) -> Image.Image:
        torch.manual_seed(seed)
        augment = v2.Compose(
            [
                v2.RandomResizedCrop(
                    self._size or min(anchor.size),
                    scale=(self.minimum_scale, 1),
                    interpolation=v2.InterpolationMode.BICUBIC,
                ),
                v2.RandomHorizontalFlip(self.flip),
                v2.RandAugment(
                    self.operations,
                    self.magnitude,
                    LEVELS,
                    interpolation=v2.InterpolationMode.BILINEAR,
                    fill=GREY,
                ),
            ]
        )
        augmented: Image.Image = augment(anchor)
        return augmented
