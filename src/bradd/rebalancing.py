"""One round of the paper's Algorithm 1: embed, select, generate, accept, grow."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bradd.anchors import Choice, choose_anchors
from bradd.clock import Clock
from bradd.component import describe
from bradd.console import say
from bradd.embedding import Encoder, embed
from bradd.errors import BraddError
from bradd.pool import Pool
from bradd.round_settings import RoundSettings, check_round
from bradd.seeds import derive_seed
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
    clock = Clock()
    fingerprint = encoder.fingerprint()
    views = writer.store_views(len(pool), encoder.image_size)

    def inspect(indices: np.ndarray, pixels: np.ndarray) -> None:
        views[indices] = pixels

    with clock("embed"):
        embeddings = embed(
            pool,
            encoder,
            batch_size=settings.batch_size,
            num_workers=settings.num_workers,
            inspect=inspect,
            description=f"cycle {cycle}: embed",
        )
    device = next(encoder.backbone.parameters()).device
    settings.selector.device = settings.generator.device = device
    with clock("select"):
        choice = choose_anchors(pool, embeddings, cycle, settings)
    selection = choice.selection
    with clock("fit_generator"):
        settings.generator.fit(
            _StoredViews(views[: len(pool.images)]),
            embeddings[: len(pool.images)],
            derive_seed(settings.seed, "fit", cycle),
        )
    writer.add_selection(choice.columns(pool))
    nearer = write_variations(pool, encoder, embeddings, selection, cycle, settings, writer, clock)
    summary = {
        "cycle": cycle,
        "encoder_fingerprint": fingerprint,
        "images": len(pool.images),
        "pool": len(pool),
        **_facts(choice, nearer, settings),
        "selector": describe(settings.selector),
        "generator": describe(settings.generator),
        "notes": choice.notes + _notes(nearer),
        "seconds": clock.seconds,
    }
    writer.commit(summary)
    pool.show_rounds(cycle)
    _report(summary, len(pool))
    return summary


def _facts(choice: Choice, nearer: np.ndarray, settings: RoundSettings) -> dict[str, Any]:
    selection = choice.selection
    return {
        "anchors": len(selection.indices),
        "variations": len(nearer),
        "accepted": int((nearer | (not settings.acceptance)).sum()),
        "nearer_own": float(nearer.mean()),
        "spread": {
            "median": float(np.median(selection.scores)),
            "p99": float(np.quantile(selection.scores, 0.99)),
        },
        "signal": asdict(selection.signal) if selection.signal else None,
        "guarded": int((choice.reasons != "").sum()),
        "copies": int((choice.stands_for != np.arange(len(choice.stands_for))).sum()),
    }


def _report(summary: dict[str, Any], pool: int) -> None:
    cycle = summary["cycle"]
    say(
        f"cycle {cycle}: {summary['anchors']} anchors, {summary['variations']} variations, "
        f"{100 * summary['nearer_own']:.0f} % nearer to their own anchor than to a random one, "
        f"{summary['accepted']} accepted; the pool holds {pool}"
    )
    if summary["signal"]:
        say(
            f"  signal: {100 * summary['signal']['share_of_variance']:.0f} % of the scores' "
            f"variance, {100 * summary['signal']['stability']:.0f} % of the anchors the same in "
            "another draw"
        )
    for note in summary["notes"]:
        log.warning("cycle %d: %s", cycle, note)


class _StoredViews(Dataset[tuple[Tensor, int]]):
    """Centre views decoded once, when they were embedded, for the generator to learn from."""

    def __init__(self, views: np.ndarray) -> None:
        self._views = views

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.from_numpy(np.array(self._views[index])), index


def _notes(nearer: np.ndarray) -> list[str]:
    if nearer.mean() >= 0.6:
        return []
    return [
        f"only {100 * nearer.mean():.0f} % of the variations lie nearer to their own anchor than "
        "to a random one (50 % is chance): train the generator longer or lower its strength"
    ]
