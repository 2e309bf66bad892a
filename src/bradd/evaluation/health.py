"""Is an embedding space alive: how many of its dimensions are in use."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import ArrayLike

from bradd.errors import BraddError
from bradd.evaluation.checks import checked_features

__all__ = ["rank_me"]

logger = logging.getLogger(__name__)

# The constant of the paper for float32 embeddings.
EPSILON = 1e-7


def rank_me(embeddings: ArrayLike) -> float:
    """Effective rank of the embeddings: a smooth count of the dimensions in use.

    RankMe (Garrido et al. 2023, "RankMe: Assessing the Downstream Performance of Pretrained
    Self-Supervised Representations by Their Rank"):

        RankMe(Z) = exp(-sum_k p_k log p_k),   p_k = s_k / sum_j s_j + 1e-7,

    where s_1, ..., s_min(N, D) are the singular values of Z. Z is not centred, as in the paper.
    Near 1 the space has collapsed to a line; all singular values equal give min(N, D).

    Args:
        embeddings: [N, D], N >= 2. The value grows with N while N is not much larger than D, and a
            warning is logged when N < D; the paper uses 25,600 images. Compare equal N.

    Returns:
        The effective rank, from 1 to about min(N, D); 0 if every embedding is zero.

    Raises:
        BraddError: Not a matrix, fewer than 2 rows, or NaN or infinite (the first row is named).
    """
    matrix = checked_features(embeddings, "embeddings").astype(np.float64)
    rows, columns = matrix.shape
    if rows < 2:
        raise BraddError("embeddings have a single row: the rank needs at least 2 images.")
    if rows < columns:
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
