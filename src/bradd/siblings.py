"""Variations as positives: a view of an image and one of its variation have to agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bradd.pool import Pool
from bradd.seeds import uniform_numbers

__all__ = ["Siblings"]


class Siblings:
    """Chooses what every second view of an image shows: the image itself or one of its family.

    A family is an image and the variations that go back to it. As synthetic positives in Tian et
    al. (StableRep, 2023); which one is a function of (seed, epoch, index).

    Args:
        pool: Images and variations.
        seed: The run's seed.
        share: How often another member of the family is shown, 0 to 1.
    """

    def __init__(self, pool: Pool, seed: int, share: float) -> None:
        self.pool = pool
        self.seed = seed
        self.share = share
        self._families: dict[int, list[int]] = {}
        self._size = 0  # of the pool when the families were looked up

    def __call__(self, keys: Sequence[tuple[int, int]]) -> npt.NDArray[np.int64]:
        """What every second view shows, for `keys` of (epoch, index): indices `[B]`."""
        if self._size != len(self.pool):
            self._families, self._size = self.pool.families(), len(self.pool)
        return np.array([self._shown(epoch, index) for epoch, index in keys], np.int64)

    def _shown(self, epoch: int, index: int) -> int:
        family = self._families.get(self.pool.original(index), [])
        if len(family) < 2:
            return index
        whether, which = uniform_numbers(self.seed, "sibling", epoch, indices=[index], count=2)[0]
        if whether >= self.share:
            return index
        others = [member for member in family if member != index]
        return others[int(which * len(others))]
