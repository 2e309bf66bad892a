"""Is an embedding space alive: is it in use, and do similar images lie together."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bradd.errors import BraddError
from bradd.evaluation.checks import checked_features

__all__ = ["alignment", "feature_std", "rank_me", "uniformity"]

logger = logging.getLogger(__name__)

# The constant of the paper for float32 embeddings.
EPSILON = 1e-7
# Pairs whose distances are held at once: 128 MiB in float64.
BLOCK_ENTRIES = 2**24


def rank_me(embeddings: ArrayLike, *, warn: bool = True) -> float:
    """Effective rank of the embeddings: a smooth count of the dimensions in use.

    RankMe (Garrido et al. 2023, "RankMe: Assessing the Downstream Performance of Pretrained
    Self-Supervised Representations by Their Rank"):

        RankMe(Z) = exp(-sum_k p_k log p_k),   p_k = s_k / sum_j s_j + 1e-7,

    where s_1, ..., s_min(N, D) are the singular values of Z. Z is not centred, as in the paper.
    Near 1 the space has collapsed to a line; all singular values equal give min(N, D).

    Args:
        embeddings: [N, D], N >= 2. The value grows with N while N is not much larger than D, and a
            warning is logged when N < D; the paper uses 25,600 images. Compare equal N.
        warn: Log that warning.

    Returns:
        The effective rank, from 1 to about min(N, D); 0 if every embedding is zero.

    Raises:
        BraddError: Not a matrix, fewer than 2 rows, or NaN or infinite (the first row is named).
    """
    matrix = checked_features(embeddings, "embeddings").astype(np.float64)
    rows, columns = matrix.shape
    if rows < 2:
        raise BraddError("embeddings have a single row: the rank needs at least 2 images.")
    if warn and rows < columns:
        logger.warning(
            "RankMe of %d images of %d dimensions is at most %d: give more images",
            rows,
            columns,
            rows,
        )
    singular_values = np.linalg.svd(matrix, compute_uv=False)
    total = singular_values.sum()
    if total == 0:
        return 0.0
    shares = singular_values / total + EPSILON
    return float(np.exp(-np.sum(shares * np.log(shares))))


def feature_std(embeddings: ArrayLike) -> float:
    """How evenly the embeddings' directions are spread: 1 in every direction, 0 all the same.

    The mean over dimensions of the standard deviation of the L2-normalised embeddings, times
    sqrt(D) (Chen and He 2021, "Exploring Simple Siamese Representation Learning", section 4.1).

    Args:
        embeddings: [N, D]. A row of zeros, which has no direction, stays zero.

    Returns:
        From 0 to 1.

    Raises:
        BraddError: Not a matrix, or NaN or infinite (the first row is named).
    """
    directions = _directions(checked_features(embeddings, "embeddings"))
    return float(directions.std(axis=0).mean() * np.sqrt(directions.shape[1]))


def alignment(first: ArrayLike, second: ArrayLike) -> float:
    """How near two views of an image lie: the mean squared distance of their directions.

    L_align with alpha = 2 (Wang and Isola 2020, "Understanding Contrastive Representation Learning
    through Alignment and Uniformity on the Hypersphere").

    Args:
        first: [N, D], one view of each image.
        second: [N, D], another view of the same images in the same order.

    Returns:
        From 0, every pair in one direction, to 4, every pair in opposite ones; 2 is what unrelated
        directions have.

    Raises:
        BraddError: Not matrices of one shape, or NaN or infinite (the first row is named).
    """
    one = checked_features(first, "first views")
    other = checked_features(second, "second views")
    if one.shape != other.shape:
        raise BraddError(
            f"the first views' embeddings have shape {one.shape} and the second views' "
            f"{other.shape}: alignment needs two views of each image from one encoder."
        )
    return float(np.mean(np.sum((_directions(one) - _directions(other)) ** 2, axis=1)))


def uniformity(embeddings: ArrayLike) -> float:
    """How evenly the embeddings cover the sphere: the lower, the more evenly.

    L_uniform with t = 2 (Wang and Isola 2020), over the pairs i < j of normalised embeddings z:

        log mean exp(-2 |z_i - z_j|^2)

    Args:
        embeddings: [N, D], N >= 2.

    Returns:
        From -8, two opposite points, to 0, all in one direction; evenly spread in many dimensions
        it is near -4.

    Raises:
        BraddError: Not a matrix, fewer than 2 rows, or NaN or infinite (the first row is named).
    """
    directions = _directions(checked_features(embeddings, "embeddings"))
    count = len(directions)
    if count < 2:
        raise BraddError("embeddings have a single row: uniformity needs at least 2 images.")
    squares = np.sum(directions**2, axis=1)
    rows = max(1, BLOCK_ENTRIES // count)
    total = 0.0
    for i in range(0, count, rows):
        block = directions[i : i + rows]
        distances = squares[i : i + rows, None] + squares - 2 * block @ directions.T
        total += float(np.exp(-2 * np.maximum(distances, 0)).sum())
    # Every pair was counted twice, and every image with itself, which adds 1.
    return float(np.log((total - count) / (count * (count - 1))))


def _directions(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """Divide each row by its length; all-zero rows stay zero."""
    # In float64 no square of a float32 overflows or vanishes.
    rows = embeddings.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths == 0, 1, lengths)
