"""Weighted nearest-neighbour classification of frozen features."""

from __future__ import annotations

import logging

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from bradd.errors import BraddError
from bradd.evaluation.checks import checked_labels, checked_pair

__all__ = ["knn_predict"]

logger = logging.getLogger(__name__)

# Similarities (float32) or votes (float64) held at once: 128 or 256 MiB.
BLOCK_ENTRIES = 2**25


def knn_predict(
    train: ArrayLike,
    labels: ArrayLike,
    test: ArrayLike,
    k: int = 20,
    temperature: float = 0.07,
    *,
    num_classes: int,
) -> NDArray[np.int64]:
    """Classify each test image by the votes of its k most similar training images.

    A neighbour votes for its class with weight exp(cosine similarity / temperature) (Wu et al.
    2018, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination"; k and
    temperature as in DINO, Caron et al. 2021). Equally similar neighbours are taken lowest row
    first, and equal votes go to the lowest class. An all-zero row has no direction; its similarity
    to everything is 0, and a warning says so.

    Args:
        train: [N, D] features of the training images.
        labels: [N] their classes, integers in `[0, num_classes)`.
        test: [M, D] features of the images to classify.
        k: Number of neighbours that vote; with fewer than k training images all of them vote, and a
            warning says so.
        temperature: How fast a vote falls with the similarity.
        num_classes: Number of classes.

    Returns:
        [M] predicted classes, int64.

    Raises:
        BraddError: Shapes that do not match, features that are NaN or infinite, labels, k or
            temperature out of range.
    """
    train_features, test_features = checked_pair(train, test)
    classes = checked_labels(labels, "training labels", len(train_features), num_classes)
    if k < 1:
        raise BraddError(f"k = {k}: at least one neighbour must vote.")
    if not temperature > 0:
        raise BraddError(f"temperature = {temperature}: it must be positive.")
    if k > len(train_features):
        logger.warning("k = %d is capped to the %d training images", k, len(train_features))
        k = len(train_features)

    train_directions = _unit_rows(train_features, "training features")
    test_directions = _unit_rows(test_features, "test features")
    rows = max(1, BLOCK_ENTRIES // max(len(train_directions), num_classes))
    predictions = [
        _vote(
            test_directions[i : i + rows] @ train_directions.T, classes, k, temperature, num_classes
        )
        for i in range(0, len(test_directions), rows)
    ]
    return np.concatenate(predictions)


def _unit_rows(features: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Divide each row by its length; all-zero rows stay zero."""
    # Scaled by the largest entry first, so that squares neither overflow nor vanish.
    largest = np.abs(features).max(axis=1, keepdims=True)
    zero_rows = largest[:, 0] == 0
    if zero_rows.any():
        logger.warning(
            "%d of %d rows of the %s are all zero, first row %d: similarity 0 to everything",
            np.count_nonzero(zero_rows),
            len(features),
            name,
            int(np.argmax(zero_rows)),
        )
    scaled = features / np.where(largest == 0, 1, largest)
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    return (scaled / np.where(lengths == 0, 1, lengths)).astype(np.float32, copy=False)


def _vote(
    similarities: NDArray[np.float32],
    classes: NDArray[np.int64],
    k: int,
    temperature: float,
    num_classes: int,
) -> NDArray[np.int64]:
    """Predict from one block of similarities, [B, N], to the training images: [B]."""
    # The product is NumPy's because torch's precision is a global setting that training may lower;
    # the top k is torch's because it is several times faster than NumPy's partition.
    nearest, neighbours = _nearest(torch.from_numpy(similarities), k)
    # Relative to the most similar neighbour: the same order of votes, and no overflow.
    weights = torch.exp((nearest.double() - nearest[:, :1].double()) / temperature)
    votes = torch.zeros(len(similarities), num_classes, dtype=torch.float64)
    votes.scatter_add_(1, torch.from_numpy(classes)[neighbours], weights)
    winners: NDArray[np.int64] = votes.argmax(dim=1).numpy()
    return winners


def _nearest(similarities: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k largest similarities of each row and their columns, [B, k]; ties: lowest column."""
    values, columns = similarities.topk(k, dim=1)
    # torch.topk picks any of several equal values: where the k-th has equals, sort stably instead.
    tied = ((similarities >= values[:, -1:]).sum(dim=1) > k).nonzero()[:, 0]
    if len(tied):
        ordered = similarities[tied].sort(dim=1, descending=True, stable=True)
        values[tied], columns[tied] = ordered.values[:, :k], ordered.indices[:, :k]
    return values, columns
