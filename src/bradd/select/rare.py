"""Images of rare groups: few like them in a wide neighbourhood."""

from __future__ import annotations

import numpy as np

from bradd.errors import BraddError
from bradd.seeds import random_generator
from bradd.select.centred_rows import CentredRows
from bradd.select.neighbours import neighbour_distances_of
from bradd.select.selector import EnsembleSelector

__all__ = ["Rare"]

# Neighbours looked up in a subsample: the distance to fewer varies much from draw to draw.
NEIGHBOURS = 5
# Distances are taken to be at least this before their logarithm: copies are at distance 0.
SMALLEST_DISTANCE = 1e-5


class Rare(EnsembleSelector):
    """Images of rare groups: those with few others around them, alone or in a small group.

    The distance to the `neighbourhood`-th nearest neighbour. A rare class is a small group whose
    members are each other's nearest neighbours, which `KNNDistance` with a small k does not see: so
    groups of fewer images than the neighbourhood count as rare. Only the share of the images that
    the neighbourhood is matters, so the 5th neighbour in a subsample of 5 / neighbourhood of the
    images stands for it (Sun et al., 2022, find the same of subsamples). The score is the geometric
    mean over several subsamples. The time is linear in the number of images.

    Distances are Euclidean between L2-normalised embeddings, and exact to the subsample.

    Args:
        neighbourhood: How many images a group must have not to be rare. Default: see
            `default_neighbourhood`.
        draws: Number of subsamples; more are steadier and take longer. Where they would hold as
            many rows as there are, all rows are searched once instead.
    """

    def __init__(self, neighbourhood: int | None = None, draws: int = 3) -> None:
        if neighbourhood is not None and neighbourhood < 1:
            raise BraddError(
                f"selector.neighbourhood is {neighbourhood}: it must be at least 1 image."
            )
        if draws < 1:
            raise BraddError(f"selector.draws is {draws}: it must be at least 1.")
        self.neighbourhood = neighbourhood
        self.draws = draws

    def draw_scores(self, embeddings: np.ndarray, seed: int = 0) -> np.ndarray:
        """Log distances to each subsample; see `EnsembleSelector.draw_scores`."""
        points = CentredRows.of(embeddings, normalise=True)
        rows = len(points)
        neighbourhood = self.neighbourhood_of(rows)
        if neighbourhood >= rows:
            raise BraddError(
                f"selector.neighbourhood is {neighbourhood}, but there are {rows} images: it must "
                "be below that."
            )
        size = self.subsample(rows)
        if size is None:
            distances = neighbour_distances_of(points, neighbourhood, device=self.device)
            return _log(distances[None, :, -1])
        draws = np.empty((self.draws, rows))
        for draw in range(self.draws):
            generator = random_generator(seed, "rare", draw)
            reference = np.sort(generator.choice(rows, size, replace=False))
            distances = neighbour_distances_of(points, NEIGHBOURS, reference, self.device)
            draws[draw] = _log(distances[:, -1])
        return draws

    def combine(self, draws: np.ndarray) -> np.ndarray:
        """The geometric mean of the distances."""
        distances: np.ndarray = np.exp(draws.mean(axis=0))
        return distances

    def subsample(self, rows: int) -> int | None:
        """How many rows each draw searches among so many; None where all are searched, once."""
        size = -(-NEIGHBOURS * rows // self.neighbourhood_of(rows))
        return None if self.draws * size >= rows else size

    def neighbourhood_of(self, rows: int) -> int:
        """The neighbourhood among so many images: as set, or the default."""
        return self.neighbourhood or default_neighbourhood(rows)

    def minimum_images(self) -> int:
        """The neighbourhood (the smallest default, if none is set) and the image itself."""
        return self.neighbourhood_of(1) + 1


def default_neighbourhood(rows: int) -> int:
    """The neighbourhood among so many images, if none is set.

    100 images, or 0.1 % of them if that is more; among few images 2 % of them, at least 5.
    """
    return max(NEIGHBOURS, min(100, rows // 50), rows // 1000)


def _log(distances: np.ndarray) -> np.ndarray:
    logarithms: np.ndarray = np.log(np.maximum(distances, SMALLEST_DISTANCE))
    return logarithms
