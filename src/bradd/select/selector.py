"""What every selector promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bradd.errors import BraddError
from bradd.select.signal import Signal, signal_strength

if TYPE_CHECKING:
    import torch

__all__ = [
    "EnsembleSelector",
    "ScoreSelector",
    "Selection",
    "Selector",
    "check_embeddings",
    "check_request",
    "top",
    "unit_rows",
]

# Two forward passes of one image in batches of different sizes differ in the last bits of a float.
# Scores are compared to this many decimals, so that this noise does not decide who is selected.
SCORE_DECIMALS = 5


@dataclass(frozen=True)
class Selection:
    """The images a selector chose.

    Attributes:
        indices: Rows chosen, best first, int64 `[n]`.
        scores: The score of every row, larger means more under-represented, float64 `[N]`.
        signal: How strong the score's signal is, for selectors that draw several times.
    """

    indices: np.ndarray
    scores: np.ndarray
    signal: Signal | None = None


class Selector(ABC):
    """Chooses under-represented images by their embeddings alone: no model, no disk, no labels.

    Attributes:
        device: A torch device for searches of neighbours, for example `"cuda"`; set by whoever
            uses the selector. None (default) is the processor. The choice is the same on all.
    """

    device: str | torch.device | None = None

    @abstractmethod
    def select(
        self, embeddings: np.ndarray, n: int, seed: int, candidates: np.ndarray | None = None
    ) -> Selection:
        """Choose `n` of the candidate rows.

        Args:
            embeddings: Every row is searched as a reference, float `[N, D]`.
            n: How many rows to choose.
            seed: For selectors that draw; the same seed chooses the same rows.
            candidates: Which rows may be chosen, bool `[N]`. Default: all.

        Returns:
            The rows chosen and the scores of all.

        Raises:
            BraddError: The embeddings are not a finite matrix, or fewer than `n` candidates.
        """

    def minimum_images(self) -> int:
        """The smallest number of images this selector can work on."""
        return 1

    def most_anchors(self, candidates: int) -> int:
        """How many of so many candidates it can choose at most."""
        return candidates


class ScoreSelector(Selector):
    """Chooses the candidates of the highest score."""

    @abstractmethod
    def score(self, embeddings: np.ndarray, seed: int = 0) -> np.ndarray:
        """How under-represented every row is.

        Args:
            embeddings: Float `[N, D]`.
            seed: For scores that draw; the same seed gives the same scores.

        Returns:
            Larger means more under-represented, finite, float64 `[N]`.

        Raises:
            BraddError: The embeddings are not a finite matrix, or too few rows.
        """

    def select(
        self, embeddings: np.ndarray, n: int, seed: int, candidates: np.ndarray | None = None
    ) -> Selection:
        """The `n` candidates of the highest score; see `Selector.select`."""
        mask = check_request(len(embeddings), n, candidates)
        scores = self.score(embeddings, seed)
        return Selection(top(scores, n, mask), scores)


class EnsembleSelector(ScoreSelector):
    """Chooses by the mean of several seeded draws of a score, and says how far they agree."""

    @abstractmethod
    def draw_scores(self, embeddings: np.ndarray, seed: int = 0) -> np.ndarray:
        """The scores of every row in each draw, float64 `[R, N]`; otherwise as `score`."""

    def combine(self, draws: np.ndarray) -> np.ndarray:
        """From `[R, N]` to `[N]`: the mean."""
        mean: np.ndarray = draws.mean(axis=0)
        return mean

    def score(self, embeddings: np.ndarray, seed: int = 0) -> np.ndarray:
        """See `ScoreSelector.score`."""
        return self.combine(self.draw_scores(embeddings, seed))

    def select(
        self, embeddings: np.ndarray, n: int, seed: int, candidates: np.ndarray | None = None
    ) -> Selection:
        """See `ScoreSelector.select`; the signal is that among the candidates."""
        mask = check_request(len(embeddings), n, candidates)
        draws = self.draw_scores(embeddings, seed)
        scores = self.combine(draws)
        measurable = len(draws) > 1 and mask.sum() > 1
        signal = signal_strength(draws[:, mask], n) if measurable else None
        return Selection(top(scores, n, mask), scores, signal)


def check_embeddings(embeddings: np.ndarray) -> np.ndarray:
    """Return the embeddings as a float32 matrix.

    Raises:
        BraddError: Not `[N, D]`, empty, or a value that is not finite (the row is named).
    """
    embeddings = np.ascontiguousarray(embeddings, dtype=np.float32)
    if embeddings.ndim != 2:
        raise BraddError(f"Embeddings must be a matrix [N, D], not of shape {embeddings.shape}.")
    if 0 in embeddings.shape:
        raise BraddError(
            f"The embeddings are empty, of shape {embeddings.shape}: give at least one row and one "
            "column."
        )
    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if len(bad):
        raise BraddError(
            f"The embeddings of {len(bad)} images are not finite, the first in row {bad[0]}. "
            "Find what made them so, or remove those rows."
        )
    return embeddings


def unit_rows(embeddings: np.ndarray) -> np.ndarray:
    """Rows scaled to unit length, float32 `[N, D]`; a row of zeros stays zero.

    Raises:
        BraddError: See `check_embeddings`.
    """
    points = check_embeddings(embeddings)
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.where(lengths > 0, lengths, np.float32(1))


def check_request(
    rows: int, n: int, candidates: np.ndarray | None, name: str = "n_anchors"
) -> np.ndarray:
    """Return the candidates as a bool mask `[N]`; `name` is what the user calls `n`.

    Raises:
        BraddError: The mask has another length, or fewer than `n` rows may be chosen.
    """
    mask = np.ones(rows, dtype=bool) if candidates is None else np.asarray(candidates, dtype=bool)
    if mask.shape != (rows,):
        raise BraddError(f"candidates has shape {mask.shape}, but there are {rows} embeddings.")
    if not 1 <= n <= mask.sum():
        raise BraddError(
            f"{name} is {n}, but {int(mask.sum())} of {rows} images can be selected: "
            "choose a number from 1 to that."
        )
    return mask


def top(scores: np.ndarray, n: int, candidates: np.ndarray) -> np.ndarray:
    """The `n` candidates of the highest score, ties broken by the lower index; int64 `[n]`."""
    rows = np.flatnonzero(candidates)
    order = np.argsort(-np.round(scores[rows], SCORE_DECIMALS), kind="stable")
    return rows[order[:n]].astype(np.int64)
