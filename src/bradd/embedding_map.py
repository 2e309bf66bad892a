"""The embedding in two dimensions and in groups, for people to look at."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bradd.ledger import Ledger
from bradd.seeds import random_generator
from bradd.select.cluster_inverse import cluster
from bradd.select.selector import unit_rows

__all__ = ["SAMPLE", "EmbeddingMap", "groups", "places_before", "sample_table"]

SAMPLE = "sample.parquet"
SAMPLE_SIZE = 1500  # images with a picture on the map
SAMPLE_SIDE = 32  # of these pictures in pixels
GROUPS, IMAGES_A_GROUP = 12, 20

Floats = npt.NDArray[np.floating]


class EmbeddingMap:
    """An orthonormal projection of L2-normalised embeddings onto a plane: distances only shrink.

    The first map is of principal components. A later one is the projection that puts the images as
    near as it can to where the first had them (orthogonal Procrustes: Schoenemann, 1966), so that
    maps of an encoder that is being trained can be compared. Nothing is stretched for it.

    Args:
        embeddings: Of the pool, `[P, D]`.
        before: Where the first M of them lay on the first map, `[M, 2]`. Default: this is the
            first.

    Raises:
        BraddError: The embeddings are not finite.
    """

    def __init__(self, embeddings: np.ndarray, before: Floats | None = None) -> None:
        points = unit_rows(embeddings)
        images = len(points) if before is None else len(before)
        self._centre = points[:images].mean(axis=0)
        self._middle = np.zeros(2) if before is None else before.mean(axis=0)
        points = points[:images]
        points -= self._centre  # in place: there may be millions of them
        size = points.shape[1]
        if size == 1:
            self._projection = np.array([[1.0, 0.0]])
        elif before is None:
            self._projection = _principal(points)
        else:
            toward = points.T @ (before - self._middle).astype(np.float32)
            left, _, right = np.linalg.svd(toward, full_matrices=False)
            self._projection = left @ right

    def __call__(self, embeddings: np.ndarray) -> npt.NDArray[np.float32]:
        """Where embeddings `[B, D]` lie, `[B, 2]`."""
        places: npt.NDArray[np.float32] = (
            (unit_rows(embeddings) - self._centre) @ self._projection + self._middle
        ).astype(np.float32)
        return places


def _principal(points: Floats) -> Floats:
    """The two directions of the largest variance, `[D, 2]`, with a sign of their own."""
    _, vectors = np.linalg.eigh((points.T @ points).astype(np.float64))
    directions = vectors[:, :-3:-1]
    largest = np.abs(directions).argmax(axis=0)
    signed: Floats = directions * np.sign(directions[largest, [0, 1]])
    return signed


def places_before(ledger: Ledger, images: int) -> Floats | None:
    """Where the images lay on the map of the first round that has one, `[N, 2]`; None without."""
    for cycle in ledger.committed():
        path = ledger.round_folder(cycle) / "selection.parquet"
        if path.exists() and "map_x" in pq.read_schema(path).names:
            table = pq.read_table(path, columns=["map_x", "map_y"])
            return np.column_stack([table["map_x"], table["map_y"]])[:images]
    return None


def groups(embeddings: np.ndarray, seed: int) -> npt.NDArray[np.int64]:
    """Groups of like embeddings, the largest 0, by k-means: `[P]`; all 0 where there are few."""
    number = min(GROUPS, len(embeddings) // IMAGES_A_GROUP)
    if number < 2:
        return np.zeros(len(embeddings), np.int64)
    labels = cluster(unit_rows(embeddings), number, seed)
    order = np.argsort(-np.bincount(labels, minlength=number), kind="stable")
    rank = np.empty(number, np.int64)
    rank[order] = np.arange(number)
    ranked: npt.NDArray[np.int64] = rank[labels]
    return ranked


def sample_table(views: np.ndarray, seed: int) -> pa.Table:
    """Some images, for the map: columns `index`, and `picture`, a small one as a WebP file.

    Args:
        views: Centre views of the images, uint8 `[N, 3, S, S]`.
        seed: Decides which images are taken, at most 1,500.
    """
    taken = random_generator(seed, "map").permutation(len(views))[:SAMPLE_SIZE]
    taken.sort()
    return pa.table({"index": taken, "picture": [_small(views[index]) for index in taken]})


def _small(view: np.ndarray) -> bytes:
    image = Image.fromarray(np.ascontiguousarray(view.transpose(1, 2, 0)))
    image.thumbnail((SAMPLE_SIDE, SAMPLE_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=70, method=4)
    return buffer.getvalue()
