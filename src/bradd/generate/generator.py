"""What every generator promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

__all__ = ["Generator"]


class Generator(ABC):
    """Makes variations of anchors.

    Attributes:
        external_data: Whether it was trained on anything but the user's images.
        device: Where it computes; set by whoever uses it.
    """

    external_data: ClassVar[bool] = False
    device: torch.device = torch.device("cpu")

    def fit(self, images: Dataset[tuple[Tensor, int]], embeddings: np.ndarray, seed: int) -> None:
        """Learn from the user's images; pre-trained generators need not.

        Args:
            images: `images[i]` is image i's centre view, uint8 `[3, S, S]`, and i.
            embeddings: Row i is the embedding of image i, float32 `[N, D]`.
            seed: The same seed and data give the same generator.
        """
        del images, embeddings, seed

    @abstractmethod
    def generate(
        self, anchors: Sequence[Image.Image], embeddings: np.ndarray, seeds: Sequence[int]
    ) -> list[Image.Image]:
        """Make one variation for each seed.

        The same (anchor, embedding, seed) gives the same picture whatever else is in the batch.

        Args:
            anchors: 8-bit RGB at their own size; the same anchor may stand in it many times.
            embeddings: The anchors' embeddings, float32 `[B, D]`.
            seeds: One for each anchor.

        Returns:
            8-bit RGB pictures, one for each anchor.
        """

    def revision(self) -> str:
        """Which weights make the pictures; empty where there are none."""
        return ""
