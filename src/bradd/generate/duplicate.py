"""The control: the anchors themselves again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from bradd.generate.generator import Generator

__all__ = ["Duplicate"]


class Duplicate(Generator):
    """Copies of the anchor: oversampling, which any generator has to beat."""

    def generate(
        self, anchors: Sequence[Image.Image], embeddings: np.ndarray, seeds: Sequence[int]
    ) -> list[Image.Image]:
        """See `Generator.generate`; neither embeddings nor seeds are used."""
        return [anchor.copy() for anchor in anchors]
