"""The control: real images that had been removed from the data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from bradd.data import Images, open_images
from bradd.data.resize import centre_view
from bradd.errors import BraddError
from bradd.files import write_atomically
from bradd.generate.generator import Generator

__all__ = ["Readd"]

TAKEN = "taken.json"


class Readd(Generator):
    """Real images in place of generated ones: what no generator is expected to beat.

    Cut a data set to a long tail, and give back some of what was cut off. Each variation is one of
    these images, whatever its anchor, drawn by its seed; none is given twice in a run, which a file
    in the rounds' folders remembers. They were part of the data before, so they are no external
    data; but a run that is given them has seen more real images than one that is not, so compare
    its results as an upper bound only.

    A seed chooses an image; where that has been given already, the next that has not. So a picture
    depends on those drawn before it, but not on those drawn with it later.

    Args:
        images: A folder (searched recursively), a text file of paths or a named data set.
    """

    judged = False

    def __init__(self, images: str) -> None:
        self.images = images
        self._opened: Images | None = None
        self._taken: dict[int, int] = {}  # seed -> image
        self._memory: Path | None = None
        self._size: int | None = None

    def left(self) -> int:
        """How many images have not been given yet.

        Raises:
            BraddError: There are no such images.
        """
        return len(self._open()) - len(self._taken)

    def fit(
        self,
        images: Dataset[tuple[Tensor, int]],
        embeddings: np.ndarray,
        seed: int,
        folder: Path | None = None,
    ) -> None:
        """See `Generator.fit`; the images' size is learnt, and what earlier rounds were given.

        Raises:
            BraddError: The file that remembers it cannot be read.
        """
        self._size = images[0][0].shape[-1]
        if folder is None:
            return
        self._memory = folder / TAKEN
        self._taken = {}
        if self._memory.exists():
            try:
                taken = json.loads(self._memory.read_text(encoding="utf-8"))
                self._taken = {int(key): int(value) for key, value in taken.items()}
            except (ValueError, AttributeError, TypeError) as error:
                raise BraddError(
                    f"{self._memory} cannot be read ({error}): remove the round's folder to have "
                    "it made again."
                ) from error

    def generate(
        self, anchors: Sequence[Image.Image], embeddings: np.ndarray, seeds: Sequence[int]
    ) -> list[Image.Image]:
        """See `Generator.generate`; anchors and embeddings are not used.

        Raises:
            BraddError: All images have been given.
        """
        source = self._open()
        given = set(self._taken.values())
        for seed in seeds:
            if seed not in self._taken:
                if len(given) == len(source):
                    raise BraddError(
                        f"generator.images, {self.images}, has {len(source)} images, and all have "
                        "been given: give more, or choose fewer n_anchors, n_variations or cycles."
                    )
                self._taken[seed] = _next_free(seed % len(source), given, len(source))
                given.add(self._taken[seed])
        if self._memory is not None:
            write_atomically(self._memory, json.dumps(self._taken))
        return [self._view(source.load(self._taken[seed])) for seed in seeds]

    def revision(self) -> str:
        """A fingerprint of the images."""
        return self._open().fingerprint()

    def _open(self) -> Images:
        if self._opened is None:
            self._opened = open_images(self.images)
        return self._opened

    def _view(self, image: Image.Image) -> Image.Image:
        if self._size is None:
            return image
        return Image.fromarray(centre_view(image, self._size).transpose(1, 2, 0))


def _next_free(first: int, given: set[int], images: int) -> int:
    return next(
        (first + step) % images for step in range(images) if (first + step) % images not in given
    )
