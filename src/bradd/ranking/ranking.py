"""The result: images by how under-represented they are."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bradd.data import Images
from bradd.select import Signal
from bradd.select.selector import top

__all__ = ["Ranking", "printable"]

SHOWN = 5  # how many anchors the ranking as text names


@dataclass(frozen=True, eq=False)
class Ranking:
    """Images by how under-represented they are.

    Attributes:
        names: Of the N readable images.
        scores: Larger means more under-represented, float64 `[N]`.
        anchors: Rows of the images selected, in the order in which they were chosen, int64 `[n]`.
        reasons: Why an image must not be an anchor ("blank", "noise", ...), else `""`; str `[N]`.
        stands_for: The row that stands for each one's group of duplicates, itself if it has none;
            int64 `[N]`.
        unreadable: Name and reason of each image that could not be decoded; they have no row.
        signal: How much of the scores is signal, for selectors that draw several times.
        embeddings: What was scored, float32 `[N, D]`.
        images: The readable images; `None` if embeddings alone were given.
        facts: What made the ranking (encoder, selector, counts, notes, seconds), as in
            `balance.json`.
    """

    names: list[str] = field(repr=False)
    scores: npt.NDArray[np.float64] = field(repr=False)
    anchors: npt.NDArray[np.int64] = field(repr=False)
    reasons: npt.NDArray[np.str_] = field(repr=False)
    stands_for: npt.NDArray[np.int64] = field(repr=False)
    unreadable: list[tuple[str, str]] = field(repr=False)
    signal: Signal | None
    embeddings: npt.NDArray[np.float32] = field(repr=False)
    images: Images | None = field(repr=False)
    facts: dict[str, Any]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def candidates(self) -> npt.NDArray[np.bool_]:
        """Which rows may be anchors: not suspected, and no copy of another; bool `[N]`."""
        alone = self.stands_for == np.arange(len(self))
        candidates: npt.NDArray[np.bool_] = alone & (self.reasons == "")
        return candidates

    @cached_property
    def order(self) -> npt.NDArray[np.int64]:
        """Rows that may be anchors, the most under-represented first, int64 `[M]`."""
        return top(self.scores, int(self.candidates.sum()), self.candidates)

    @cached_property
    def ranks(self) -> npt.NDArray[np.int64]:
        """Each row's place in `order`, from 1; 0 for those that may not be anchors; int64 `[N]`."""
        ranks = np.zeros(len(self), dtype=np.int64)
        ranks[self.order] = np.arange(1, len(self.order) + 1)
        return ranks

    @property
    def best_first(self) -> bool:
        """Whether the anchors are the first of `order`; selectors such as `Band` choose others."""
        return np.array_equal(self.anchors, self.order[: len(self.anchors)])

    def __str__(self) -> str:
        counts, selector = self.facts["counts"], self.facts["selector"]
        best = [f"    {self.scores[row]:.4f}  {self.names[row]}" for row in self.anchors[:SHOWN]]
        which = "most under-represented" if self.best_first else "first chosen, not by score alone"
        means = f": {selector['neighbourhood']}" if selector["neighbourhood"] else ""
        return "\n".join(
            [
                f"{len(self):,} images, {counts['anchors']:,} of them anchors by "
                f"{selector['name']}{means}",
                f"  suspected broken: {counts['suspected']:,}, copies: {counts['copies']:,}, "
                f"unreadable: {counts['unreadable']:,}",
                f"  the {which}:",
                *best,
            ]
        )


def printable(name: str) -> str:
    """A file name as valid Unicode: bytes that are none are shown by their numbers."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
