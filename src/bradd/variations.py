"""Generating, judging and writing the variations of a round."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from PIL import Image

from bradd.component import describe
from bradd.console import stage
from bradd.data.resize import centre_view
from bradd.embedding import Encoder
from bradd.generate import anchor_distances
from bradd.ledger import RoundWriter
from bradd.pool import Pool
from bradd.round_settings import RoundSettings
from bradd.seeds import derive_seed
from bradd.select import Selection

__all__ = ["write_variations"]

REFUSED = "nearer to another anchor than to its own"

# Anchors are held at their own size, which may be tens of megabytes each.
ANCHORS_AT_ONCE = 8


def write_variations(
    pool: Pool,
    encoder: Encoder,
    embeddings: np.ndarray,
    selection: Selection,
    cycle: int,
    settings: RoundSettings,
    writer: RoundWriter,
    clock: Callable[[str], AbstractContextManager[None]],
) -> np.ndarray:
    """Make every anchor's variations, compare them with it, and write them to the round.

    Args:
        pool: Where the anchors are.
        encoder: The backbone that embedded the pool.
        embeddings: Of the pool, float32 `[P, D]`.
        selection: The anchors, `[A]`, and the scores of the pool.
        cycle: The cycle that has ended.
        settings: Of the round.
        writer: Of the round.
        clock: Measures the stages `"generate"` and `"accept"`.

    Returns:
        Which variations lie nearer to their own anchor than to a random one, bool `[V]`.
    """
    anchors, generator = selection.indices, settings.generator
    facts: dict[str, Any] = {
        "generator": describe(generator),
        "generator_revision": generator.revision(),
        "external_data": generator.external_data,
    }
    nearer: list[np.ndarray] = []
    with stage(f"cycle {cycle}: generate", len(anchors) * settings.n_variations) as progress:
        for start in range(0, len(anchors), ANCHORS_AT_ONCE):
            group = [int(anchor) for anchor in anchors[start : start + ANCHORS_AT_ONCE]]
            own = np.repeat(np.arange(start, start + len(group)), settings.n_variations)
            numbers = list(range(settings.n_variations)) * len(group)
            seeds = [
                derive_seed(settings.seed, "generate", cycle, int(anchors[row]), number)
                for row, number in zip(own, numbers, strict=True)
            ]
            with clock("generate"):
                originals = [pool.load(anchor) for anchor in group]
                pictures = generator.generate(
                    [originals[row - start] for row in own], embeddings[anchors[own]], seeds
                )
            with clock("accept"):
                own_distance, random_distance = anchor_distances(
                    _embed(pictures, encoder),
                    embeddings[anchors],
                    own,
                    derive_seed(settings.seed, "accept", cycle, start),
                )
            nearer.append(own_distance < random_distance)
            for anchor, original in zip(group, originals, strict=True):
                writer.add_anchor(anchor, _view(original, encoder))
            for position, picture in enumerate(pictures):
                anchor = int(anchors[own[position]])
                kept = bool(nearer[-1][position]) or not settings.acceptance
                writer.add(
                    picture,
                    number=numbers[position],
                    anchor=anchor,
                    anchor_name=pool.name(anchor),
                    seed=seeds[position],
                    anchor_score=float(selection.scores[anchor]),
                    own_distance=float(own_distance[position]),
                    random_distance=float(random_distance[position]),
                    accepted=kept,
                    reason="" if kept else REFUSED,
                    **facts,
                )
            progress.advance(len(pictures))
    return np.concatenate(nearer)


def _view(image: Image.Image, encoder: Encoder) -> Image.Image:
    return Image.fromarray(centre_view(image, encoder.image_size).transpose(1, 2, 0))


def _embed(pictures: list[Image.Image], encoder: Encoder) -> np.ndarray:
    views = np.stack([centre_view(picture, encoder.image_size) for picture in pictures])
    return encoder(torch.from_numpy(views))
