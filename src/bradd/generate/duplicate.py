"""The control: the anchors themselves again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from bradd.data.resize import centre_view
from bradd.generate.generator import Generator

__all__ = ["Duplicate"]


class Duplicate(Generator):
    """Copies of the anchor: oversampling, which any generator has to beat.

    Once fitted, they are centre views of the size that other generators make, so that the control
    differs in nothing else.
    """

    judged = False

    def __init__(self) -> None:
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
        """See `Generator.generate`; neither embeddings nor seeds are used."""
        if self._size is None:
            return [anchor.copy() for anchor in anchors]
        views = [centre_view(anchor, self._size) for anchor in anchors]
        return [Image.fromarray(view.transpose(1, 2, 0)) for view in views]
