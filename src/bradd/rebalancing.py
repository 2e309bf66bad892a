"""One round of the paper's Algorithm 1: embed, select, generate, accept, grow."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from bradd.component import describe
from bradd.console import say, stage
from bradd.data.resize import centre_view
from bradd.embedding import Encoder, embed
from bradd.errors import BraddError
from bradd.generate import Generator, anchor_distances
from bradd.ledger import RoundWriter
from bradd.pool import Pool
from bradd.seeds import derive_seed
from bradd.select import Selection, Selector, pixel_guard
from bradd.views.dataset import CentreViewDataset

__all__ = ["Candidates", "RoundSettings", "check_round", "rebalance"]

log = logging.getLogger(__name__)

Candidates = Literal["images", "pool"]

REFUSED = "nearer to another anchor than to its own"


@dataclass(frozen=True)
class RoundSettings:
    """How a round is done.

    Attributes:
        selector: Chooses the anchors.
        generator: Makes the variations.
        n_anchors: Anchors a round.
        n_variations: Variations of each anchor.
        seed: The run's seed.
        candidates: Whether anchors are real images only (`"images"`), or may be variations of
            earlier rounds too (`"pool"`: the paper's Algorithm 1 read to the letter). Neighbours
            are searched in the whole pool either way.
        guard: Whether blank and noise images are kept from being anchors.
        acceptance: Whether variations that are nearer to a random other anchor than to their own
            are refused. The distances are recorded either way.
        batch_size: Images embedded or generated at once.
        num_workers: Processes that decode.
    """

    selector: Selector
    generator: Generator
    n_anchors: int
    n_variations: int
    seed: int = 0
    candidates: Candidates = "images"
    guard: bool = True
    acceptance: bool = True
    batch_size: int = 256
    num_workers: int = 0


def check_round(images: int, settings: RoundSettings) -> None:
    """Raise before any long work what would make a round impossible.

    Args:
        images: Number of real images.
        settings: Of the round.

    Raises:
        BraddError: Names the setting and says which values are possible.
    """
    if settings.n_anchors < 2:
        raise BraddError(
            f"n_anchors is {settings.n_anchors}: at least 2 are needed, since a variation is "
            "accepted by comparing its own anchor with another."
        )
    if settings.n_anchors > images:
        raise BraddError(
            f"n_anchors is {settings.n_anchors}, but there are {images} images: choose at most "
            "that many."
        )
    if settings.n_variations < 1:
        raise BraddError(f"n_variations is {settings.n_variations}: it must be at least 1.")
    if images < settings.selector.minimum_images():
        raise BraddError(
            f"{describe(settings.selector)} needs at least {settings.selector.minimum_images()} "
            f"images; there are {images}. Add images or choose a smaller k."
        )


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
    clock = _Clock()
    fingerprint = encoder.fingerprint()
    guards: np.ndarray = np.full(len(pool), "", dtype=object)
    with clock("embed"):
        embeddings = embed(
            pool,
            encoder,
            batch_size=settings.batch_size,
            num_workers=settings.num_workers,
            inspect=_guard_into(guards) if settings.guard else None,
            description=f"cycle {cycle}: embed",
        )
    with clock("select"):
        selection, candidates = _select(pool, embeddings, guards, cycle, settings)
    settings.generator.device = next(encoder.backbone.parameters()).device
    with clock("fit_generator"):
        settings.generator.fit(
            CentreViewDataset(pool.images, encoder.image_size),
            embeddings[: len(pool.images)],
            derive_seed(settings.seed, "fit", cycle),
        )
    writer = pool.ledger.start_round(cycle)
    writer.add_selection(_selection_columns(pool, selection, candidates, guards))
    accepted, nearer = _generate(
        pool, encoder, embeddings, selection, cycle, settings, writer, clock
    )
    notes = _notes(nearer)
    summary: dict[str, Any] = {
        "cycle": cycle,
        "encoder_fingerprint": fingerprint,
        "images": len(pool.images),
        "pool": len(pool),
        "anchors": settings.n_anchors,
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
        f"cycle {cycle}: {settings.n_anchors} anchors, {len(accepted)} variations, "
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


def _guard_into(guards: np.ndarray) -> Callable[[np.ndarray, np.ndarray], None]:
    def inspect(indices: np.ndarray, pixels: np.ndarray) -> None:
        guards[indices] = pixel_guard(pixels)

    return inspect


def _select(
    pool: Pool, embeddings: np.ndarray, guards: np.ndarray, cycle: int, settings: RoundSettings
) -> tuple[Selection, np.ndarray]:
    candidates = guards == ""
    if settings.candidates == "images":
        candidates[len(pool.images) :] = False
    seed = derive_seed(settings.seed, "select", cycle)
    selection = settings.selector.select(embeddings, settings.n_anchors, seed, candidates)
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


def _generate(
    pool: Pool,
    encoder: Encoder,
    embeddings: np.ndarray,
    selection: Selection,
    cycle: int,
    settings: RoundSettings,
    writer: RoundWriter,
    clock: _Clock,
) -> tuple[np.ndarray, np.ndarray]:
    """Generate, judge and write all variations; which are accepted and which nearer, `[V]`."""
    generator, anchors = settings.generator, selection.indices
    for anchor in anchors:
        view = centre_view(pool.load(int(anchor)), encoder.image_size)
        writer.add_anchor(int(anchor), Image.fromarray(view.transpose(1, 2, 0)))
    own = np.repeat(np.arange(len(anchors)), settings.n_variations)
    numbers = np.tile(np.arange(settings.n_variations), len(anchors))
    seeds = [
        derive_seed(settings.seed, "generate", cycle, int(anchors[row]), int(number))
        for row, number in zip(own, numbers, strict=True)
    ]
    facts: dict[str, Any] = {
        "generator": describe(generator),
        "generator_revision": generator.revision(),
        "external_data": generator.external_data,
    }
    nearer = np.zeros(len(own), dtype=bool)
    with stage(f"cycle {cycle}: generate", len(own)) as progress:
        for start in range(0, len(own), settings.batch_size):
            batch = slice(start, start + settings.batch_size)
            rows = own[batch]
            with clock("generate"):
                pictures = generator.generate(
                    [pool.load(int(index)) for index in anchors[rows]],
                    embeddings[anchors[rows]],
                    seeds[batch],
                )
            with clock("accept"):
                own_distance, random_distance = anchor_distances(
                    _embed_pictures(pictures, encoder),
                    embeddings[anchors],
                    rows,
                    derive_seed(settings.seed, "accept", cycle, start),
                )
                nearer[batch] = own_distance < random_distance
            for position, picture in enumerate(pictures):
                variation, anchor = start + position, int(anchors[rows[position]])
                keep = bool(nearer[variation]) or not settings.acceptance
                writer.add(
                    picture,
                    number=int(numbers[variation]),
                    anchor=anchor,
                    anchor_name=pool.name(anchor),
                    seed=seeds[variation],
                    anchor_score=float(selection.scores[anchor]),
                    own_distance=float(own_distance[position]),
                    random_distance=float(random_distance[position]),
                    accepted=keep,
                    reason="" if keep else REFUSED,
                    **facts,
                )
            progress.advance(len(pictures))
    return nearer | (not settings.acceptance), nearer


def _embed_pictures(pictures: list[Image.Image], encoder: Encoder) -> np.ndarray:
    views = np.stack([centre_view(picture, encoder.image_size) for picture in pictures])
    return encoder(torch.from_numpy(views))


def _notes(nearer: np.ndarray) -> list[str]:
    if nearer.mean() >= 0.6:
        return []
    return [
        f"only {100 * nearer.mean():.0f} % of the variations lie nearer to their own anchor than "
        "to a random one (50 % is chance): train the generator longer or lower its strength"
    ]
