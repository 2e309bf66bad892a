"""Which images `RepresentationDiffusion` learns from at each step, and which it is tested on."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from bradd.data.resize import centre_view
from bradd.seeds import random_generator

__all__ = ["Batches", "SizedImages", "held_out_rows", "spaced"]

FEWEST_WITH_HELD_OUT = 500
HELD_OUT_SHARE, MOST_HELD_OUT = 0.02, 256
CANDIDATES = 8  # for one held out
NEIGHBOURS = 20_000  # images among which a candidate's nearest neighbour is looked for


class SizedImages:
    """The images at the generator's size.

    Args:
        images: `images[i]` is image i, uint8 `[3, S, S]`, and i.
        count: N.
        size: Side of the images in pixels; default: S.
    """

    def __init__(
        self, images: Dataset[tuple[Tensor, int]], count: int, size: int | None = None
    ) -> None:
        self._images = images
        self._count = count
        self.size: int = size or images[0][0].shape[-1]

    def __len__(self) -> int:
        return self._count

    def take(self, rows: np.ndarray) -> Tensor:
        """Images by their numbers, uint8 `[B, 3, size, size]`."""
        return torch.stack([self._sized(self._images[int(row)][0]) for row in rows])

    def fingerprint(self) -> str:
        """A hash of how many images there are and of some of them."""
        digest = hashlib.blake2b(f"{self._count} {self.size}".encode(), digest_size=16)
        digest.update(self.take(spaced(self._count, 256)).numpy().tobytes())
        return digest.hexdigest()

    def _sized(self, image: Tensor) -> Tensor:
        if image.shape[-1] == self.size:
            return image
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        return torch.from_numpy(centre_view(picture, self.size))


class Batches:
    """Passes over some images, each in an order that follows from (seed, pass).

    Args:
        rows: Numbers of the images, `[N]`.
        batch_size: Images a step.
        seed: Of the orders.
    """

    def __init__(self, rows: np.ndarray, batch_size: int, seed: int) -> None:
        self._rows = rows
        self._batch_size = batch_size
        self._seed = seed
        self._orders: dict[int, np.ndarray] = {}

    def at(self, step: int) -> np.ndarray:
        """Numbers of the images of a step, `[B]`."""
        places = np.arange(step * self._batch_size, (step + 1) * self._batch_size)
        passes, positions = np.divmod(places, len(self._rows))
        self._orders = {number: self._order(number) for number in np.unique(passes).tolist()}
        chosen = [
            self._orders[number][position]
            for number, position in zip(passes.tolist(), positions, strict=True)
        ]
        rows: np.ndarray = self._rows[chosen]
        return rows

    def _order(self, number: int) -> np.ndarray:
        if number in self._orders:
            return self._orders[number]
        return random_generator(self._seed, "order", number).permutation(len(self._rows))


def held_out_rows(directions: np.ndarray, seed: int) -> np.ndarray:
    """Images to test on rather than to learn from; none where there are few images.

    They are frequent ones, of which others tell as much: of some drawn at random, those that have
    the nearest neighbours.

    Args:
        directions: Embeddings of unit length, `[N, D]`.
        seed: Decides which are drawn.
    """
    n = len(directions)
    if n < FEWEST_WITH_HELD_OUT:
        return np.empty(0, dtype=np.int64)
    count = min(round(HELD_OUT_SHARE * n), MOST_HELD_OUT)
    drawn = random_generator(seed, "held out").permutation(n)[: CANDIDATES * count]
    others = spaced(n, NEIGHBOURS)
    likeness = directions[drawn] @ directions[others].T
    likeness[drawn[:, None] == others[None]] = -np.inf
    nearest_first = np.argsort(-likeness.max(axis=1), kind="stable")
    return np.sort(drawn[nearest_first[:count]])


def spaced(count: int, most: int) -> np.ndarray:
    """At most so many numbers below `count`, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
