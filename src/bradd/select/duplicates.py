"""Exact and near duplicates, found by perceptual hash, thumbnail and embedding together."""

from __future__ import annotations

import numpy as np

from bradd.errors import BraddError
from bradd.seeds import random_generator
from bradd.select.perceptual_hash import LIKE, like_hashes
from bradd.select.selector import check_embeddings
from bradd.select.thumbnail import SAME, largest_difference

__all__ = ["duplicates_of"]

_SAMPLE = 1000  # images among which a different one is looked for
_MOST_COMPARED = 64  # representatives of like hash that an image is compared with
_FAR = 1.0  # between points of length 1 (an angle of 60 degrees): no scale is larger
_ROWS_PER_BLOCK = 4096


def duplicates_of(
    hashes: np.ndarray,
    thumbnails: np.ndarray,
    embeddings: np.ndarray,
    candidates: np.ndarray | None = None,
    ratio: float = 0.5,
) -> np.ndarray:
    """Which image stands for each: its group's first, where copies form a group.

    Near-copies are each other's neighbours, so they hide what they copy from a distance score.
    Counted once, a group is as rare as its picture is.

    Two images are copies if all of these hold:

    - Their hashes are alike (`LIKE`).
    - No cell of their thumbnails differs by much (`SAME`). An animal in a frame of a fixed camera
      changes few bits of the hash or none, and such a frame may be the rarest of all.
    - They lie closer together than `ratio` times the distance from either to the nearest different
      image, that is, one of unlike hash, in a sample of 1,000 (the ratio test of Lowe 2004, on
      L2-normalised embeddings), or times 1 if that is less. So the test has no scale: copies of an
      outlier may lie farther apart than those of an image in a crowd. Where no image is different,
      nothing says what is far, and only equal embeddings are near enough.

    In ascending order, each image joins the first representative that it is a copy of, or
    becomes one itself. Being compared with representatives alone, a chain of slowly changing
    images is not one group. An image is compared with at most 64 representatives of like hash, so
    that time and memory grow with the number of images.

    Args:
        hashes: From `perceptual_hash`, uint64 `[N]`.
        thumbnails: From `bradd.select.thumbnail.thumbnails`, uint8 `[N, 3, 9, 9]`.
        embeddings: `[N, D]`.
        candidates: Which rows are grouped, bool `[N]`; the others stand for themselves. Default:
            all. Leave out variations: that they resemble their anchor is what they are for.
        ratio: See above, above 0 and at most 1. Larger finds more copies, and more that are none.

    Returns:
        The row that stands for each, at most its own number; int64 `[N]`.

    Raises:
        BraddError: The embeddings are not a finite matrix, or `ratio` is out of range.
    """
    if not 0 < ratio <= 1:
        raise BraddError(f"The ratio for duplicates is {ratio}: choose one above 0, to 1.")
    points = check_embeddings(embeddings)
    mask = np.ones(len(points), bool) if candidates is None else np.asarray(candidates, bool)
    hashes = np.asarray(hashes, dtype=np.uint64)
    if not len(hashes) == len(thumbnails) == len(mask) == len(points):
        raise ValueError(
            f"{len(hashes)} hashes, {len(thumbnails)} thumbnails and {len(mask)} candidates for "
            f"{len(points)} embeddings"
        )
    rows = np.flatnonzero(mask)
    alike = _AlikeRows(hashes, rows)
    lengths = np.linalg.norm(points, axis=1)
    lengths[lengths == 0] = 1  # zeros stay zeros
    reach = np.zeros(len(points))
    different = _distance_to_different(points, lengths, hashes, alike.rows, rows)
    reach[alike.rows] = ratio * np.minimum(different, _FAR)

    stands_for = np.arange(len(points), dtype=np.int64)
    compared = np.zeros(len(points), dtype=np.int64)
    undecided = mask.copy()
    for row in alike.rows.tolist():
        undecided[row] = False
        if stands_for[row] != row:
            continue
        others = alike.to(row, undecided)
        if len(others) == 0:
            continue
        distances = _distances(points, lengths, row, others)
        copy = distances <= np.minimum(reach[row], reach[others])
        copy[copy] = largest_difference(thumbnails[row], thumbnails[others[copy]]) <= SAME
        stands_for[others[copy]] = row
        compared[others] += 1
        undecided[others] = ~copy & (compared[others] < _MOST_COMPARED)
    return stands_for


class _AlikeRows:
    """For each row, the rows of like hash.

    Attributes:
        rows: Those that have any, ascending, int64 `[M]`.
    """

    def __init__(self, hashes: np.ndarray, rows: np.ndarray) -> None:
        distinct, numbers, counts = np.unique(hashes[rows], return_inverse=True, return_counts=True)
        pairs = like_hashes(distinct)
        shared = counts > 1
        shared[pairs] = True
        self.rows = rows[shared[numbers]]
        numbers = numbers[shared[numbers]]
        self._number_of = dict(zip(self.rows.tolist(), numbers.tolist(), strict=True))
        order = np.argsort(numbers, kind="stable")
        present, starts = np.unique(numbers[order], return_index=True)
        groups = np.split(self.rows[order], starts[1:])
        self._rows_of = dict(zip(present.tolist(), groups, strict=False))
        both = np.concatenate([pairs, pairs[:, ::-1]])
        both = both[np.argsort(both[:, 0], kind="stable")]
        self._like = both[:, 1]
        self._starts = np.searchsorted(both[:, 0], np.arange(len(distinct) + 1))

    def to(self, row: int, undecided: np.ndarray) -> np.ndarray:
        """The rows of like hash among the undecided; those decided are never looked at again."""
        own = self._number_of[row]
        found = []
        for number in (own, *self._like[self._starts[own] : self._starts[own + 1]].tolist()):
            rows = self._rows_of[number]
            self._rows_of[number] = rows[undecided[rows]]
            found.append(self._rows_of[number])
        return np.concatenate(found)


def _distance_to_different(
    points: np.ndarray,
    lengths: np.ndarray,
    hashes: np.ndarray,
    rows: np.ndarray,
    among: np.ndarray,
) -> np.ndarray:
    """Distance of each row to the nearest of unlike hash in a sample; 0 if there is none."""
    if len(rows) == 0:
        return np.empty(0)
    drawn = random_generator(0, "duplicates").permutation(len(among))[:_SAMPLE]
    sample = among[np.sort(drawn)]
    others, other_signs = points[sample] / lengths[sample, None], _signs(hashes[sample])
    centre = others.mean(axis=0)
    others -= centre
    squares = (others**2).sum(axis=1)
    nearest = np.zeros(len(rows))
    for start in range(0, len(rows), _ROWS_PER_BLOCK):
        block = rows[start : start + _ROWS_PER_BLOCK]
        own = points[block] / lengths[block, None] - centre
        closeness = squares - 2 * own @ others.T
        # The product of signs is 64 less twice the number of bits that differ.
        closeness[_signs(hashes[block]) @ other_signs.T >= 64 - 2 * LIKE] = np.inf
        best = closeness.argmin(axis=1)
        found = np.isfinite(closeness.min(axis=1))
        # By differences: what the product gives is wrong where the distance is small.
        exact = np.linalg.norm((own - others[best]).astype(np.float64), axis=1)
        nearest[start : start + _ROWS_PER_BLOCK] = np.where(found, exact, 0)
    return nearest


def _distances(points: np.ndarray, lengths: np.ndarray, row: int, others: np.ndarray) -> np.ndarray:
    """Distance between a row and others of unit length, in blocks, float32 `[M]`."""
    own = points[row] / lengths[row]
    distances = []
    for start in range(0, len(others), _ROWS_PER_BLOCK):
        block = others[start : start + _ROWS_PER_BLOCK]
        difference = points[block] / lengths[block, None] - own
        distances.append(np.sqrt(np.einsum("md,md->m", difference, difference)))
    return np.concatenate(distances)


def _signs(hashes: np.ndarray) -> np.ndarray:
    """The bits of hashes as -1 and 1, float32 `[H, 64]`."""
    bits = np.unpackbits(np.ascontiguousarray(hashes)[:, None].view(np.uint8), axis=1)
    return bits.astype(np.float32) * 2 - 1
