"""One round of the paper's Algorithm 1: embed, select, generate, accept, grow."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bradd.component import describe
from bradd.console import say
from bradd.embedding import Encoder, embed
from bradd.errors import BraddError
from bradd.pool import Pool
from bradd.round_settings import RoundSettings, check_round
from bradd.seeds import derive_seed
from bradd.select import Selection, pixel_guard
from bradd.variations import write_variations

__all__ = ["rebalance"]

log = logging.getLogger(__name__)


def rebalance(pool: Pool, encoder: Encoder, cycle: int, settings: RoundSettings) -> dict[str, Any]:
    """Do one round and commit it to the pool's ledger.

    The result is a function of the pool, the encoder's weights, the settings and the cycle.

    Args:
        pool: The images and the variations of earlier rounds; the new ones are visible afterwards.
        encoder: The backbone being trained.
        cycle: The cycle that has just ended, from 1.
        settings: How.

    Returns:
        The round's summary, as in its `round.json`.

    Raises:
        BraddError: A setting does not suit the images, or the disk is full. Nothing of the round
            is visible then.
    """
    check_round(len(pool.images), settings)
    if cycle in pool.ledger.committed():
        raise BraddError(
            f"{pool.ledger.folder} holds round {cycle} already: choose the next cycle, or another "
            "folder."
        )
    writer = pool.ledger.start_round(cycle)
    clock = _Clock()
    fingerprint = encoder.fingerprint()
    guards: np.ndarray = np.full(len(pool), "", dtype=object)
    views = writer.store_views(len(pool), encoder.image_size)

    def inspect(indices: np.ndarray, pixels: np.ndarray) -> None:
        views[indices] = pixels
        if settings.guard:
            guards[indices] = pixel_guard(pixels)

    with clock("embed"):
        embeddings = embed(
            pool,
            encoder,
            batch_size=settings.batch_size,
            num_workers=settings.num_workers,
            inspect=inspect,
            description=f"cycle {cycle}: embed",
        )
    with clock("select"):
        selection, candidates = _select(pool, embeddings, guards, cycle, settings)
    settings.generator.device = next(encoder.backbone.parameters()).device
    with clock("fit_generator"):
        settings.generator.fit(
            _StoredViews(views[: len(pool.images)]),
            embeddings[: len(pool.images)],
            derive_seed(settings.seed, "fit", cycle),
        )
    writer.add_selection(_selection_columns(pool, selection, candidates, guards))
    nearer = write_variations(pool, encoder, embeddings, selection, cycle, settings, writer, clock)
    accepted = nearer | (not settings.acceptance)
    anchors = len(selection.indices)
    notes = _notes(nearer, anchors, settings.n_anchors)
    summary: dict[str, Any] = {
        "cycle": cycle,
        "encoder_fingerprint": fingerprint,
        "images": len(pool.images),
        "pool": len(pool),
        "anchors": anchors,
        "variations": len(accepted),
        "accepted": int(accepted.sum()),
        "nearer_own": float(nearer.mean()),
        "spread": {
            "median": float(np.median(selection.scores)),
            "p99": float(np.quantile(selection.scores, 0.99)),
        },
        "guarded": int((guards[: len(pool.images)] != "").sum()),
        "selector": describe(settings.selector),
        "generator": describe(settings.generator),
        "notes": notes,
        "seconds": clock.seconds,
    }
    writer.commit(summary)
    pool.show_rounds(cycle)
    say(
        f"cycle {cycle}: {anchors} anchors, {len(accepted)} variations, "
        f"{100 * nearer.mean():.0f} % nearer to their own anchor than to a random one, "
        f"{accepted.sum()} accepted; the pool holds {len(pool)}"
    )
    for note in notes:
        log.warning("cycle %d: %s", cycle, note)
    return summary


class _Clock:
    """Seconds spent in each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 3)


class _StoredViews(Dataset[tuple[Tensor, int]]):
    """Centre views decoded once, when they were embedded, for the generator to learn from."""

    def __init__(self, views: np.ndarray) -> None:
        self._views = views

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.from_numpy(np.array(self._views[index])), index


def _select(
    pool: Pool, embeddings: np.ndarray, guards: np.ndarray, cycle: int, settings: RoundSettings
) -> tuple[Selection, np.ndarray]:
    candidates = guards == ""
    if settings.candidates == "images":
        candidates[len(pool.images) :] = False
    seed = derive_seed(settings.seed, "select", cycle)
    # At least two, or the selector refuses: acceptance compares anchors with each other.
    n_anchors = max(2, min(settings.n_anchors, int(candidates.sum())))
    selection = settings.selector.select(embeddings, n_anchors, seed, candidates)
    return selection, candidates


def _selection_columns(
    pool: Pool, selection: Selection, candidates: np.ndarray, guards: np.ndarray
) -> dict[str, np.ndarray | list[str]]:
    selected = np.zeros(len(pool), dtype=bool)
    selected[selection.indices] = True
    return {
        "index": np.arange(len(pool)),
        "name": [pool.name(index) for index in range(len(pool))],
        "score": selection.scores,
        "selected": selected,
        "candidate": candidates,
        "guard": guards.tolist(),
    }


def _notes(nearer: np.ndarray, anchors: int, wanted: int) -> list[str]:
    notes = []
    if anchors < wanted:
        notes.append(f"the guard left {anchors} candidates for {wanted} anchors")
    if nearer.mean() < 0.6:
        notes.append(
            f"only {100 * nearer.mean():.0f} % of the variations lie nearer to their own anchor "
            "than to a random one (50 % is chance): train the generator longer or lower its "
            "strength"
        )
    return notes
