"""What every generator promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

__all__ = ["Generator"]


class Generator(ABC):
    """Makes variations of anchors.

    A generator of your own needs `generate` only. Keep every argument of `__init__` under its own
    name, so that a run's config.yaml can name it.

    Attributes:
        external_data: Whether it was trained on anything but the user's images.
        licence: Of its weights, in words; empty where they are learnt from the user's images.
        judged: Whether what it makes is accepted or refused by comparison with the anchor. The
            controls' pictures are kept as they are, and their distances only recorded.
        device: Where it computes; set by whoever uses it.
    """

    external_data: bool = False
    licence: str = ""
    judged: bool = True
    device: torch.device = torch.device("cpu")

    def check(self) -> None:  # noqa: B027, most generators need none
        """Find out before long work whether what it needs can be had; most need nothing.

        Raises:
            BraddError: A package or a model is missing.
        """

    def fit(
        self,
        images: Dataset[tuple[Tensor, int]],
        embeddings: np.ndarray,
        seed: int,
        folder: Path | None = None,
    ) -> None:
        """Learn from the user's images; pre-trained generators need not.

        Args:
            images: `images[i]` is image i's centre view, uint8 `[3, S, S]`, and i.
            embeddings: Row i is the embedding of image i, float32 `[N, D]`.
            seed: The same seed, data and folder give the same generator.
            folder: The generator's own place in a round's folder. It may hold what a fit with the
                same arguments left that was interrupted, to go on from, or what the round before
                left, to start from. Default: nothing is kept.
        """
        del images, embeddings, seed, folder

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

    def generate_closer(
        self,
        anchors: Sequence[Image.Image],
        embeddings: np.ndarray,
        seeds: Sequence[int],
        steps: Sequence[int],
    ) -> list[Image.Image]:
        """Make variations that keep more of their anchors than those of `generate`, or less.

        Called where pictures were refused. Generators without such a setting just make others.

        Args:
            anchors: As for `generate`.
            embeddings: As for `generate`.
            seeds: As for `generate`.
            steps: How many steps nearer to its anchor each picture is to be, `[B]`; below 0:
                farther from it.

        Returns:
            8-bit RGB pictures, one for each anchor.
        """
        del steps
        return self.generate(anchors, embeddings, seeds)

    def pin(self, revision: str) -> None:  # noqa: B027, most learn their weights anew
        """Use the weights that earlier rounds of the run used.

        Args:
            revision: What `revision` said then.

        Raises:
            BraddError: They cannot be had any more.
        """

    def revision(self) -> str:
        """Which weights make the pictures; empty where there are none."""
        return ""
