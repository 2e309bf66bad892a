"""Choosing a round's anchors: what may be one, and which the selector takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from bradd.inspection import inspect_pool
from bradd.pool import Pool
from bradd.round_settings import RoundSettings
from bradd.seeds import derive_seed
from bradd.select import Selection, select_guarded

__all__ = ["Choice", "choose_anchors"]


@dataclass(frozen=True, eq=False)
class Choice:
    """The anchors of a round, and why not others.

    Attributes:
        selection: The anchors and the scores of the whole pool.
        candidates: Which of the pool could have been anchors, bool `[P]`.
        reasons: Why an image is suspected of being broken, `""` if it is not, str `[P]`.
        stands_for: The image that stands for each and its copies, int64 `[P]`.
        notes: What a user should know of, in words.
    """

    selection: Selection
    candidates: npt.NDArray[np.bool_]
    reasons: npt.NDArray[np.str_]
    stands_for: npt.NDArray[np.int64]
    notes: list[str] = field(default_factory=list)

    def columns(self, pool: Pool) -> dict[str, np.ndarray | list[str]]:
        """The round's `selection.parquet`: one row for each of the pool."""
        selected = np.zeros(len(pool), dtype=bool)
        selected[self.selection.indices] = True
        return {
            "index": np.arange(len(pool)),
            "name": [pool.name(index) for index in range(len(pool))],
            "score": self.selection.scores,
            "selected": selected,
            "candidate": self.candidates,
            "guard": self.reasons.tolist(),
            "stands_for": self.stands_for,
        }


def choose_anchors(
    pool: Pool, embeddings: np.ndarray, cycle: int, settings: RoundSettings
) -> Choice:
    """Choose the anchors of a round.

    In this order: suspected images are set aside, copies are counted once, the rest is scored
    (neighbours are searched in the whole pool), and the best of those that were not anchors too
    often are taken.

    Args:
        pool: Images and variations.
        embeddings: Of the pool, float32 `[P, D]`.
        cycle: The cycle that has ended.
        settings: Of the round.

    Raises:
        BraddError: Fewer than two candidates are left.
    """
    reasons: npt.NDArray[np.str_] = np.full(len(pool), "")
    stands_for = np.arange(len(pool))
    is_image = stands_for < len(pool.images)
    if settings.guard:
        seen = inspect_pool(pool, settings.num_workers)
        reasons = seen.reasons
        # A variation resembles its anchor on purpose and counts as a neighbour of it.
        stands_for = seen.stands_for(embeddings, is_image)
    candidates = (reasons == "") & (stands_for == np.arange(len(pool)))
    if settings.candidates == "images":
        candidates &= is_image
    notes = []
    left = settings.selector.most_anchors(int(candidates.sum()))
    if left < settings.n_anchors:
        notes.append(f"the guard left {left} candidates for {settings.n_anchors} anchors")
    # At least two, or the selector refuses: acceptance compares anchors with each other.
    wanted = max(2, min(settings.n_anchors, left))

    def select(n: int, candidates: npt.NDArray[np.bool_]) -> Selection:
        return select_guarded(
            settings.selector,
            embeddings,
            n,
            derive_seed(settings.seed, "select", cycle),
            reasons=reasons,
            stands_for=stands_for,
            candidates=candidates,
        )

    rested = candidates & ~_chosen_often(pool, cycle, settings.anchor_limit)
    fresh = settings.selector.most_anchors(int(rested.sum()))
    if fresh >= wanted:
        candidates = rested
        selection = select(wanted, rested)
    elif fresh == 0:
        selection = select(wanted, candidates)
    else:
        first, others = select(fresh, rested), select(wanted - fresh, candidates & ~rested)
        selection = replace(others, indices=np.concatenate([first.indices, others.indices]))
    if fresh < wanted:
        notes.append(
            f"{wanted - fresh} images were chosen again though {settings.anchor_limit} rounds had "
            "chosen them (anchor_limit): there were no others"
        )
    return Choice(selection, candidates, reasons, stands_for, notes)


def _chosen_often(pool: Pool, cycle: int, limit: int) -> npt.NDArray[np.bool_]:
    """What `limit` or more of the earlier rounds chose, bool `[P]`."""
    rounds = np.zeros(len(pool), dtype=np.int64)
    for earlier in pool.ledger.committed():
        if limit and earlier < cycle:
            chosen = {row.anchor for row in pool.ledger.variations(earlier)}
            rounds[sorted(chosen)] += 1
    return rounds >= limit if limit else np.zeros(len(pool), dtype=bool)
