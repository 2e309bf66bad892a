"""Weighted nearest-neighbour classification of frozen features."""

from __future__ import annotations

import logging
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from bradd.errors import BraddError
from bradd.evaluation.checks import checked_labels, checked_pair
from bradd.evaluation.precision import exact_float32

__all__ = ["knn_predict"]

logger = logging.getLogger(__name__)

# Similarities (float32) or votes (float64) held at once: 128 or 256 MiB.
BLOCK_ENTRIES = 2**25


@torch.no_grad()
def knn_predict(
    train: ArrayLike,
    labels: ArrayLike,
    test: ArrayLike,
    k: int = 20,
    temperature: float | None = 0.07,
    *,
    num_classes: int,
    metric: Literal["cosine", "euclidean"] = "cosine",
    device: str | torch.device = "cpu",
) -> NDArray[np.int64]:
    """Classify each test image by the votes of its k nearest training images.

    By cosine similarity a neighbour votes for its class with weight exp(similarity / temperature)
    (Wu et al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination"; k
    and temperature as in DINO, Caron et al. 2021). Equally near neighbours are taken lowest row
    first, and equal votes go to the lowest class. An all-zero row has no direction; its similarity
    to everything is 0, and a warning says so.

    Args:
        train: [N, D] features of the training images.
        labels: [N] their classes, integers in `[0, num_classes)`.
        test: [M, D] features of the images to classify.
        k: Number of neighbours that vote; with fewer than k training images all of them vote, and a
            warning says so.
        temperature: How fast a vote falls with the similarity; None gives each neighbour one vote.
        num_classes: Number of classes.
        metric: `"cosine"`, or `"euclidean"` distance, where each neighbour has one vote. Distances
            are compared in float32, about the training features' mean.
        device: Where to search.

    Returns:
        [M] predicted classes, int64.

    Raises:
        BraddError: Shapes that do not match, features that are NaN or infinite, labels, k or
            temperature out of range.
        ValueError: A temperature with `"euclidean"`.
    """
    train_features, test_features = checked_pair(train, test)
    classes = checked_labels(labels, "training labels", len(train_features), num_classes)
    if k < 1:
        raise BraddError(f"k = {k}: at least one neighbour must vote.")
    if temperature is not None and not temperature > 0:
        raise BraddError(f"temperature = {temperature}: it must be positive.")
    if metric == "euclidean" and temperature is not None:
        raise ValueError("a temperature weighs cosine similarities: give None for euclidean")
    if k > len(train_features):
        logger.warning("k = %d is capped to the %d training images", k, len(train_features))
        k = len(train_features)

    if metric == "cosine":
        train_features = _unit_rows(train_features, "training features")
        test_features = _unit_rows(test_features, "test features")
        offsets = np.zeros(len(train_features), dtype=np.float32)
    else:
        # |x - y|^2 / 2 = |x|^2 / 2 - (x . y - |y|^2 / 2): the nearest y has the largest bracket.
        mean = train_features.mean(axis=0, dtype=np.float64).astype(np.float32)
        train_features, test_features = train_features - mean, test_features - mean
        offsets = np.square(train_features, dtype=np.float64).sum(axis=1).astype(np.float32) / 2

    columns, votes_for = _to(train_features.T, device), _to(classes, device)
    offsets_of_columns = _to(offsets, device)
    rows = max(1, BLOCK_ENTRIES // max(len(train_features), num_classes))
    predictions = []
    with exact_float32():
        for i in range(0, len(test_features), rows):
            nearness = _to(test_features[i : i + rows], device) @ columns
            nearness -= offsets_of_columns
            predictions.append(_vote(nearness, votes_for, k, temperature, num_classes).cpu())
    winners: NDArray[np.int64] = torch.cat(predictions).numpy()
    return winners


def _to(array: NDArray[Any], device: str | torch.device) -> Tensor:
    return torch.from_numpy(array).to(device)


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
    nearness: Tensor, classes: Tensor, k: int, temperature: float | None, num_classes: int
) -> Tensor:
    """Predict from one block of similarities, [B, N], to the training images: [B]."""
    nearest, neighbours = _nearest(nearness, k)
    weights = torch.ones_like(nearest, dtype=torch.float64)
    if temperature is not None:
        # Relative to the most similar neighbour: the same order of votes, and no overflow.
        weights = torch.exp((nearest.double() - nearest[:, :1].double()) / temperature)
    votes = weights.new_zeros(len(nearness), num_classes)
    votes.scatter_add_(1, classes[neighbours], weights)
    return votes.argmax(dim=1)


def _nearest(similarities: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest similarities of each row and their columns, [B, k]; ties: lowest column."""
    values, columns = similarities.topk(k, dim=1)
    # torch.topk picks any of several equal values: where the k-th has equals, sort stably instead.
    tied = ((similarities >= values[:, -1:]).sum(dim=1) > k).nonzero()[:, 0]
    if len(tied):
        ordered = similarities[tied].sort(dim=1, descending=True, stable=True)
        values[tied], columns[tied] = ordered.values[:, :k], ordered.indices[:, :k]
    return values, columns
