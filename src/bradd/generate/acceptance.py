"""Whether a variation still is what its anchor is, and is no copy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bradd.seeds import derive_seed

__all__ = ["Acceptance", "Verdict"]

NOT_FINITE = "embedding not finite"
OTHER_ANCHOR = "nearer to another anchor"
LOST = "lost among frequent images"
COPY_OF_ANCHOR = "copy of its anchor"
COPY_OF_IMAGE = "copy of an image"
COPY_OF_SIBLING = "copy of a sibling"

# What would have helped: to keep more of the anchor (1), or less (-1). A copy of another image is
# what the generator knows by heart, away from the anchor.
STEPS = {OTHER_ANCHOR: 1, LOST: 1, COPY_OF_IMAGE: 1, COPY_OF_ANCHOR: -1, COPY_OF_SIBLING: -1}

# A copy lies nearer to its original than this part of the way to the nearest different image, in
# the encoder's space as in pixels (the ratio test of Lowe 2004).
RATIO = 0.5
# Between points of length 1 (an angle of 60 degrees): no scale is larger.
FAR = 1.0
# Thumbnails of one picture differ by no more levels than this, in any cell and colour; measured
# where `bradd.select.thumbnail` is.
SAME_LEVELS = 24.0

_PICTURES_PER_BLOCK = 256
_IMAGES_PER_BLOCK = 4096
# Images of each block whose distances are computed exactly: a product of float32 finds them, which
# orders only near duplicates wrongly.
_CANDIDATES = 8


@dataclass(frozen=True)
class Verdict:
    """What was found of one picture. Distances are between L2-normalised embeddings.

    Attributes:
        own_distance: To its anchor.
        random_distance: To another anchor, drawn at random.
        nearest_distance: To the nearest real image but its anchor and copies of that; infinite
            where there is none.
        pixel_distance: To its anchor: the levels (of 255) by which their thumbnails differ in the
            cell and colour that differ most, each thumbnail less its mean.
        reason: Why it is refused, empty if it is accepted.
    """

    own_distance: float
    random_distance: float
    nearest_distance: float
    pixel_distance: float
    reason: str

    @property
    def step(self) -> int:
        """1 if the picture should keep more of its anchor, -1 if less, else 0."""
        return STEPS.get(self.reason, 0)


class Acceptance:
    """Judges variations by the anchors and the real images around them.

    A variation is refused for the first of these that is true of it:

    - *nearer to another anchor*, one drawn at random, than to its own. By chance half are.
    - *lost among frequent images*: the nearest real image, its anchor aside, is nearer than the
      anchor, and ordinary beside it. An image is ordinary beside an anchor if its score is at most
      the median of the scores that the anchor's exceeds. So a variation may well resemble other
      members of its anchor's rare group, and those of an anchor that exceeds nothing are never
      lost.
    - *copy of its anchor* or *copy of an image*, the nearest one: so near, in the encoder's space
      as in pixels, that it is at most half as far as the anchor's own nearest different image is
      from the anchor (and the pixels within what re-encoding changes). Both: the encoder tells
      what a small picture hides, and pixels what the encoder was taught to overlook. There is no
      absolute scale in the encoder's space.
    - *copy of a sibling* that was accepted before it, by the same measure.

    A verdict depends on the picture, its anchor and seed and the pool; and on its anchor's other
    pictures that were accepted before it, which is why they are remembered.

    Args:
        embeddings: Of the pool, real images first, finite, `[P, D]`.
        images: How many of the pool are real images, N.
        anchors: Their rows in the pool, at least two, int64 `[A]`.
        scores: Of the pool, larger means more under-represented, `[P]`.
        stands_for: The row that stands for each and its copies, int64 `[P]`, as from
            `bradd.select.duplicates_of`. Copies of the anchor are no other images.
        thumbnails_of: From rows of the pool `[M]` to their thumbnails, uint8 `[M, 3, C, C]`.
    """

    def __init__(
        self,
        embeddings: np.ndarray,
        images: int,
        anchors: np.ndarray,
        scores: np.ndarray,
        stands_for: np.ndarray,
        thumbnails_of: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        if len(anchors) < 2:
            raise ValueError(f"{len(anchors)} anchors: no other to compare with")
        self._images = embeddings[:images]
        self._prepare_search()
        self._scores = scores[:images]
        self._stands_for = stands_for[:images]
        self._thumbnails_of = thumbnails_of
        self._anchors = _unit(embeddings[anchors])
        self._groups = stands_for[anchors]
        self._thumbnails = thumbnails_of(anchors)
        self._ordinary = _ordinary_scores(self._scores, scores[anchors])
        distances, nearest = self._nearest(self._anchors, self._groups)
        pixels = _pixel_distances(self._thumbnails, thumbnails_of(nearest))
        known = np.isfinite(distances)  # else nothing says what is far
        self._reach = np.where(known, RATIO * np.minimum(distances, FAR), 0.0)
        self._pixel_reach = np.where(known, np.minimum(RATIO * pixels, SAME_LEVELS), 0.0)
        self._accepted: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}

    def judge(
        self,
        embeddings: np.ndarray,
        thumbnails: np.ndarray,
        own: Sequence[int],
        seeds: Sequence[int],
    ) -> list[Verdict]:
        """Judge pictures, siblings in the order in which they stand.

        Args:
            embeddings: Of the pictures, `[V, D]`. One that is not finite is refused.
            thumbnails: Of the pictures, uint8 `[V, 3, C, C]`.
            own: Which of the anchors, 0 to A - 1, each is a variation of, `[V]`.
            seeds: From which each was generated; they draw the other anchor, `[V]`.

        Returns:
            One verdict for each picture.
        """
        rows = np.asarray(own, dtype=np.int64)
        points = _unit(embeddings)
        own_distance = np.linalg.norm(points - self._anchors[rows], axis=1)
        random_distance = np.linalg.norm(points - self._anchors[self._others(rows, seeds)], axis=1)
        nearest_distance, nearest = self._nearest(points, self._groups[rows])
        pixel_distance = _pixel_distances(thumbnails, self._thumbnails[rows])
        nearest_pixels = _pixel_distances(thumbnails, self._thumbnails_of(nearest))
        ordinary = self._scores[nearest] <= self._ordinary[rows]
        refusals = {
            NOT_FINITE: ~np.isfinite(points).all(axis=1),
            OTHER_ANCHOR: own_distance >= random_distance,
            LOST: (nearest_distance < own_distance) & ordinary,
            COPY_OF_ANCHOR: self._copies(rows, own_distance, pixel_distance),
            COPY_OF_IMAGE: self._copies(rows, nearest_distance, nearest_pixels),
        }
        verdicts = []
        for number, row in enumerate(rows.tolist()):
            reason = next((name for name, true in refusals.items() if true[number]), "")
            if not reason and self._copies_sibling(row, points[number], thumbnails[number]):
                reason = COPY_OF_SIBLING
            if not reason:
                self._accepted.setdefault(row, []).append((points[number], thumbnails[number]))
            verdicts.append(
                Verdict(
                    own_distance=float(own_distance[number]),
                    random_distance=float(random_distance[number]),
                    nearest_distance=float(nearest_distance[number]),
                    pixel_distance=float(pixel_distance[number]),
                    reason=reason,
                )
            )
        return verdicts

    def _others(self, own: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
        """For each picture another anchor than its own, as its seed draws it."""
        others = len(self._anchors) - 1
        shifts = [1 + derive_seed(seed, "other anchor") % others for seed in seeds]
        drawn: np.ndarray = (own + np.array(shifts, dtype=np.int64)) % len(self._anchors)
        return drawn

    def _copies(self, own: np.ndarray, distances: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        near: np.ndarray = (distances <= self._reach[own]) & (pixels <= self._pixel_reach[own])
        return near

    def _copies_sibling(self, own: int, point: np.ndarray, thumbnail: np.ndarray) -> bool:
        siblings = self._accepted.get(own, [])
        if not siblings:
            return False
        points, thumbnails = (np.stack(part) for part in zip(*siblings, strict=True))
        distances = np.linalg.norm(points - point, axis=1)
        pixels = _pixel_distances(thumbnails, thumbnail[None])
        return bool(self._copies(np.full(len(siblings), own), distances, pixels).any())

    def _prepare_search(self) -> None:
        """What a search needs of every image: its scale, and its distance from the mean.

        Less their mean, points are told apart that all lie in one direction.
        """
        count, width = self._images.shape
        self._factors = np.empty(count, dtype=np.float32)
        self._half_squares = np.empty(count, dtype=np.float32)
        self._mean = np.zeros(width)
        blocks = [slice(i, i + _IMAGES_PER_BLOCK) for i in range(0, count, _IMAGES_PER_BLOCK)]
        for block in blocks:
            lengths = np.linalg.norm(self._images[block].astype(np.float64), axis=1)
            self._factors[block] = 1 / np.where(lengths > 0, lengths, np.inf)
            self._mean += _unit(self._images[block]).sum(axis=0) / count
        for block in blocks:
            squares = ((_unit(self._images[block]) - self._mean) ** 2).sum(axis=1)
            self._half_squares[block] = squares / 2

    def _nearest(self, points: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The nearest real image of another group than its own, and how far it is, `[Q]` each.

        Where there is none, the distance is infinite and the image the first.
        """
        distances, rows = np.full(len(points), np.inf), np.zeros(len(points), dtype=np.int64)
        for first in range(0, len(points), _PICTURES_PER_BLOCK):
            some = slice(first, first + _PICTURES_PER_BLOCK)
            for start in range(0, len(self._images), _IMAGES_PER_BLOCK):
                found, where = self._nearest_in_block(points[some], groups[some], start)
                nearer = found < distances[some]  # on a tie the lower row stays
                distances[some] = np.where(nearer, found, distances[some])
                rows[some] = np.where(nearer, where, rows[some])
        return distances, rows

    def _nearest_in_block(
        self, points: np.ndarray, groups: np.ndarray, start: int
    ) -> tuple[np.ndarray, np.ndarray]:
        block = slice(start, start + _IMAGES_PER_BLOCK)
        images = self._images[block].astype(np.float32, copy=False)
        # The larger the nearer: half the squared distance, negative, plus what all have in common.
        closeness = (points - self._mean).astype(np.float32) @ images.T
        closeness *= self._factors[block]
        closeness -= self._half_squares[block]
        closeness[self._stands_for[block] == groups[:, None]] = -np.inf
        count = min(_CANDIDATES, len(images))
        places = np.sort(np.argpartition(-closeness, count - 1, axis=1)[:, :count], axis=1)
        candidates = _unit(images[places.ravel()]).reshape(*places.shape, -1)
        distances = np.linalg.norm(points[:, None] - candidates, axis=2)
        others = np.isfinite(np.take_along_axis(closeness, places, axis=1))
        distances[~others] = np.inf
        best = distances.argmin(axis=1)
        each = np.arange(len(points))
        return distances[each, best], start + places[each, best]


def _ordinary_scores(scores: np.ndarray, anchor_scores: np.ndarray) -> np.ndarray:
    """Up to which score an image is ordinary beside each anchor, `[A]`: see `Acceptance`."""
    ascending = np.sort(scores)
    exceeded = np.searchsorted(ascending, anchor_scores, side="left")
    median = ascending[np.maximum(exceeded - 1, 0) // 2]
    return np.where(exceeded > 0, median, -np.inf)


def _pixel_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """By how much the cell and colour that differ most do, each thumbnail less its mean, `[V]`."""
    difference = one.astype(np.float64) - other
    difference -= difference.mean(axis=(1, 2, 3), keepdims=True)
    largest: np.ndarray = np.abs(difference).max(axis=(1, 2, 3))
    return largest


def _unit(embeddings: np.ndarray) -> np.ndarray:
    exact = embeddings.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    unit: np.ndarray = exact / np.where(lengths > 0, lengths, 1.0)
    return unit
