"""Images in small clusters."""

from __future__ import annotations

import faiss
import numpy as np

from bradd.errors import BraddError
from bradd.seeds import derive_seed
from bradd.select.selector import EnsembleSelector, unit_rows

__all__ = ["ClusterInverse"]

ITERATIONS = 20
# faiss warns below 39 points a cluster; images are often fewer. Above 256 a cluster it trains on a
# sample of them, so that the time is linear in N.
FEWEST_POINTS, MOST_POINTS = 1, 256


class ClusterInverse(EnsembleSelector):
    """Images in the smallest clusters, averaged over an ensemble of k-means (Lloyd, 1982).

    An image's score is the mean of -log(share of the images that are in its cluster), over several
    numbers of clusters and several seeds, since a single clustering cuts rare groups at random.

    Args:
        clusters: Numbers of clusters.
        repeats: Clusterings with each of these.
    """

    def __init__(self, clusters: tuple[int, ...] = (20, 40, 80), repeats: int = 3) -> None:
        if not clusters or min(clusters) < 2:
            raise BraddError(
                f"selector.clusters is {list(clusters)}: it must be one number or more, each at "
                "least 2."
            )
        if repeats < 1:
            raise BraddError(f"selector.repeats is {repeats}: it must be at least 1.")
        self.clusters = clusters
        self.repeats = repeats

    def draw_scores(self, embeddings: np.ndarray, seed: int = 0) -> np.ndarray:
        """One clustering a draw; see `EnsembleSelector.draw_scores`."""
        points = unit_rows(embeddings)
        if len(points) < self.minimum_images():
            raise BraddError(
                f"selector.clusters is {list(self.clusters)}, but there are {len(points)} images: "
                "choose smaller numbers."
            )
        return np.stack(
            [
                cluster_rarity(
                    cluster(points, number, derive_seed(seed, "k-means", number, repeat))
                )
                for number in self.clusters
                for repeat in range(self.repeats)
            ]
        )

    def minimum_images(self) -> int:
        """An image for each cluster."""
        return max(self.clusters)


def cluster(points: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Which of `number` clusters each row of `[N, D]` is in, int64 `[N]`; faiss' k-means."""
    kmeans = faiss.Kmeans(
        points.shape[1],
        number,
        niter=ITERATIONS,
        seed=seed % 2**31,
        min_points_per_centroid=FEWEST_POINTS,
        max_points_per_centroid=MOST_POINTS,
    )
    kmeans.train(points)
    _, labels = kmeans.index.search(points, 1)
    return np.asarray(labels[:, 0], dtype=np.int64)


def cluster_rarity(labels: np.ndarray) -> np.ndarray:
    """-log of the share of the rows that have the same label, float64 `[N]`."""
    shares = np.bincount(labels) / len(labels)
    rarity: np.ndarray = -np.log(shares[labels])
    return rarity
