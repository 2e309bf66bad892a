"""One round of the paper's Algorithm 1: embed, select, generate, accept, grow."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from dataclasses import asdict, fields
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bradd.anchors import Choice, choose_anchors
from bradd.clock import Clock
from bradd.component import describe, settings_of
from bradd.console import say
from bradd.embedding import Encoder, embed
from bradd.embedding_map import EmbeddingMap, groups, places_before
from bradd.errors import BraddError
from bradd.generate import Acceptance, Generator
from bradd.ledger_table import Variation
from bradd.pool import Pool
from bradd.round_settings import RoundSettings, check_round
from bradd.round_writer import RoundWriter
from bradd.seeds import derive_seed
from bradd.select import Uniform
from bradd.select.thumbnail import thumbnails
from bradd.variations import VariationMaker

__all__ = ["rebalance"]

log = logging.getLogger(__name__)


def rebalance(pool: Pool, encoder: Encoder, cycle: int, settings: RoundSettings) -> dict[str, Any]:
    """Do one round and commit it to the pool's ledger.

    The result is a function of the pool, the encoder's weights, the settings and the cycle. A round
    that was killed is gone on with: what was generated is not generated again.

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
    device = next(encoder.backbone.parameters()).device
    settings.selector.device = settings.generator.device = device
    _pin(pool, settings.generator)
    key = _key(pool, encoder, cycle, settings)
    writer = RoundWriter(pool.ledger, cycle, key)
    clock = Clock()
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
    with clock("select"):
        choice = choose_anchors(pool, embeddings, cycle, settings)
    with clock("map"):
        embedding_map, columns = _mapped(pool, embeddings, cycle, settings, writer, views)
    writer.add_selection(choice.columns(pool) | columns)
    with clock("accept"):
        acceptance = _acceptance(len(pool.images), embeddings, views, choice, settings)
    maker = VariationMaker(
        pool,
        encoder,
        embeddings,
        choice.selection,
        acceptance,
        embedding_map,
        cycle,
        settings,
        clock,
    )
    finished = writer.finished(maker.groups)
    if finished < len(maker.groups):
        with clock("fit_generator"):
            settings.generator.fit(
                _StoredViews(views[: len(pool.images)]),
                embeddings[: len(pool.images)],
                derive_seed(settings.seed, "fit", cycle),
                writer.generator_folder,
            )
    maker.write(writer, finished)
    facts = _facts(choice, writer.rows)
    summary = {
        "cycle": cycle,
        "encoder_fingerprint": key["encoder"],
        "images": len(pool.images),
        "pool": len(pool),
        **facts,
        "selector": describe(settings.selector),
        "notes": choice.notes + _notes(facts, settings),
        "seconds": clock.seconds,
    }
    writer.commit(summary)
    pool.show_rounds(cycle)
    _report(summary, len(pool))
    return summary


def _key(pool: Pool, encoder: Encoder, cycle: int, settings: RoundSettings) -> dict[str, Any]:
    """All that a round follows from."""
    plain = {field.name: getattr(settings, field.name) for field in fields(settings)}
    del plain["num_workers"]
    for name in ("selector", "generator"):
        plain[name] = settings_of(plain[name])
    checksums = {
        row.file: row.sha256
        for committed in pool.ledger.committed()
        for row in pool.ledger.variations(committed)
    }
    variations = [checksums[pool.name(index)] for index in range(len(pool.images), len(pool))]
    return {
        "bradd": version("bradd"),
        "cycle": cycle,
        "encoder": encoder.fingerprint(),
        "image_size": encoder.image_size,
        "device": settings.generator.device.type,
        "images": pool.images.fingerprint(),
        "variations": hashlib.sha256("".join(variations).encode()).hexdigest(),
        "settings": plain,
    }


def _mapped(
    pool: Pool,
    embeddings: np.ndarray,
    cycle: int,
    settings: RoundSettings,
    writer: RoundWriter,
    views: np.ndarray,
) -> tuple[EmbeddingMap, dict[str, np.ndarray | list[str]]]:
    """The round's map, and its columns of `selection.parquet`; the first keeps some pictures."""
    before = places_before(pool.ledger, len(pool.images))
    embedding_map = EmbeddingMap(embeddings, before)
    if before is None:
        writer.add_sample(views[: len(pool.images)], settings.seed)
    x, y = embedding_map(embeddings).T
    members = groups(embeddings, derive_seed(settings.seed, "groups", cycle))
    return embedding_map, {"map_x": x, "map_y": y, "group": members}


def _pin(pool: Pool, generator: Generator) -> None:
    """Have all rounds made by the same weights, where they are not learnt in each."""
    committed = pool.ledger.committed()
    if committed:
        before = pool.ledger.summary(committed[-1])
        if before["generator"] == describe(generator):
            generator.pin(before["generator_revision"])


def _acceptance(
    images: int,
    embeddings: np.ndarray,
    views: np.ndarray,
    choice: Choice,
    settings: RoundSettings,
) -> Acceptance:
    scores = choice.selection.scores
    if isinstance(settings.selector, Uniform):  # its scores are a random order: nobody is rare
        scores = np.zeros_like(scores)
    return Acceptance(
        embeddings,
        images,
        choice.selection.indices,
        scores,
        choice.stands_for,
        lambda rows: thumbnails(views[rows]),
    )


def _facts(choice: Choice, rows: list[Variation]) -> dict[str, Any]:
    selection = choice.selection
    first_draws = [row for row in rows if row.attempt == 0]
    accepted = [row for row in rows if row.accepted]
    last = rows[-1]
    return {
        "anchors": len(selection.indices),
        "variations": len(first_draws),
        "draws": len(rows),
        "accepted": len(accepted),
        "accepted_share": len(accepted) / len(first_draws),
        "mean_draws": len(rows) / len(first_draws),
        "refused": dict(Counter(row.reason for row in rows if not row.accepted).most_common()),
        "anchors_without": len(selection.indices) - len({row.anchor for row in accepted}),
        # Of first draws alone: whether pictures follow their anchors before any is refused.
        "nearer_own": float(np.mean([row.nearer_own for row in first_draws])),
        "spread": {
            "median": float(np.median(selection.scores)),
            "p99": float(np.quantile(selection.scores, 0.99)),
        },
        "signal": asdict(selection.signal) if selection.signal else None,
        "guarded": int((choice.reasons != "").sum()),
        "copies": int((choice.stands_for != np.arange(len(choice.stands_for))).sum()),
        "generator": last.generator,
        "generator_revision": last.generator_revision,
        "licence": last.licence,
        "external_data": last.external_data,
    }


def _report(summary: dict[str, Any], pool: int) -> None:
    cycle = summary["cycle"]
    say(
        f"cycle {cycle}: {summary['anchors']} anchors, {summary['variations']} variations, "
        f"{100 * summary['nearer_own']:.0f} % nearer to their own anchor than to a random one, "
        f"{summary['accepted']} accepted in {summary['draws']} draws; the pool holds {pool}"
    )
    if summary["refused"]:
        reasons = [f"{reason} ({count})" for reason, count in summary["refused"].items()]
        say(f"  refused: {', '.join(reasons)}")
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


def _notes(facts: dict[str, Any], settings: RoundSettings) -> list[str]:
    notes = []
    if facts["nearer_own"] < 0.6:
        notes.append(
            f"only {100 * facts['nearer_own']:.0f} % of the variations lie nearer to their own "
            "anchor than to a random one (50 % is chance): train the generator longer or lower its "
            "strength"
        )
    if facts["anchors_without"]:
        notes.append(
            f"{facts['anchors_without']} of {facts['anchors']} anchors have no accepted variation "
            f"after {settings.draws} draws of each"
        )
    return notes
