"""Any selector, kept from choosing broken images and from counting copies."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from bradd.errors import BraddError
from bradd.select.selector import Selection, Selector, check_request

__all__ = ["select_guarded"]


def select_guarded(
    selector: Selector,
    embeddings: np.ndarray,
    n: int,
    seed: int,
    *,
    reasons: np.ndarray,
    stands_for: np.ndarray,
    candidates: np.ndarray | None = None,
) -> Selection:
    """Choose `n` rows that no guard objects to, each group of copies counting as one image.

    Copies are left out of what the selector sees and get the score of the image that stands for
    them, so that copies of a rare image do not make it look common. Guarded images are scored, as
    the neighbours that they are, and never chosen.

    Args:
        selector: What chooses.
        embeddings: Every row is searched as a reference, float `[N, D]`.
        n: How many rows to choose.
        seed: The selector's.
        reasons: Why a row is guarded, `""` if it is not; str `[N]`, as from `pixel_guard`.
        stands_for: The row that stands for each, itself if it has no copies; int64 `[N]`, as from
            `duplicates_of`. If that one is guarded, the first of its group that is not stands for
            the group instead.
        candidates: Which rows may be chosen, bool `[N]`. Default: all. A group of copies may be
            chosen if the row that stands for it may.

    Returns:
        The rows chosen and the scores of all.

    Raises:
        BraddError: Too few images are left to choose from or to compare; the message says how many
            were left out and why.
    """
    reasons = np.asarray(reasons)
    representatives = _representatives(reasons, np.asarray(stands_for), len(embeddings))
    rows = np.arange(len(embeddings))
    kept = np.flatnonzero(representatives == rows)
    may_be_chosen = reasons == ""
    if candidates is not None:
        may_be_chosen &= check_request(len(embeddings), 1, candidates)
    left = int(may_be_chosen[kept].sum())
    if n > left or len(kept) < selector.minimum_images():
        raise BraddError(_too_few(selector, n, left, len(kept), reasons))
    if len(kept) == len(rows):  # saves a copy of the embeddings
        return selector.select(embeddings, n, seed, may_be_chosen)
    selection = selector.select(embeddings[kept], n, seed, may_be_chosen[kept])
    position = np.searchsorted(kept, representatives)
    return replace(selection, indices=kept[selection.indices], scores=selection.scores[position])


def _representatives(reasons: np.ndarray, stands_for: np.ndarray, rows: int) -> np.ndarray:
    """The row that stands for each: its group's first without a reason, else its first. `[N]`."""
    if reasons.shape != (rows,) or stands_for.shape != (rows,):
        raise ValueError(
            f"{reasons.shape} reasons and {stands_for.shape} stands_for for {rows} embeddings"
        )
    if not np.array_equal(stands_for[stands_for], stands_for):
        raise ValueError("stands_for must name rows that stand for themselves")
    order = np.lexsort((np.arange(rows), reasons != "", stands_for))
    _, first, group_of = np.unique(stands_for[order], return_index=True, return_inverse=True)
    representatives = np.empty(rows, dtype=np.int64)
    representatives[order] = order[first][group_of]
    return representatives


def _too_few(selector: Selector, n: int, left: int, different: int, reasons: np.ndarray) -> str:
    counts = Counter(reasons[reasons != ""].tolist())
    left_out = [f"{count} guarded as {reason}" for reason, count in sorted(counts.items())]
    left_out.append(f"{len(reasons) - different} copies of others")
    least = selector.minimum_images()
    need = f", and {type(selector).__name__} needs {least} to compare" if different < least else ""
    return (
        f"n_anchors is {n}, but {left} of {len(reasons)} images can be selected{need}: "
        f"{', '.join(left_out)}. Choose fewer anchors, add images, or turn the guard off."
    )
