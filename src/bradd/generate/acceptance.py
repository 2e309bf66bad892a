"""Whether a variation still is what its anchor is."""

from __future__ import annotations

import numpy as np

from bradd.seeds import random_generator

__all__ = ["anchor_distances"]


def anchor_distances(
    variations: np.ndarray,
    anchors: np.ndarray,
    own: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each variation to its own anchor and to one other anchor drawn at random.

    A variation that lies nearer to its own anchor than to a random one has kept what was rare. By
    chance half of them do.

    Args:
        variations: Embeddings of the variations, `[V, D]`.
        anchors: Embeddings of the anchors, at least two, `[A, D]`.
        own: The row of each variation's own anchor, int `[V]`.
        seed: Decides which other anchor is drawn.

    Returns:
        The two Euclidean distances between L2-normalised embeddings, float64 `[V]` each.
    """
    shift = random_generator(seed, "other anchor").integers(1, len(anchors), size=len(variations))
    other = (own + shift) % len(anchors)
    points, references = _unit(variations), _unit(anchors)
    return (
        np.linalg.norm(points - references[own], axis=1),
        np.linalg.norm(points - references[other], axis=1),
    )


def _unit(embeddings: np.ndarray) -> np.ndarray:
    exact = embeddings.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    unit: np.ndarray = exact / np.where(lengths > 0, lengths, 1.0)
    return unit
