"""`bradd.rank`: score images and select anchors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from bradd.clock import Clock
from bradd.component import describe
from bradd.data import Images
from bradd.embedding import Encoder
from bradd.errors import BraddError
from bradd.inspection import inspect_images
from bradd.ranking.facts import facts_of
from bradd.ranking.ranking import Ranking
from bradd.ranking.subject import open_subject
from bradd.round_settings import usual_anchors
from bradd.run_settings import MAX_UNREADABLE
from bradd.seeds import derive_seed
from bradd.select import Rare, Selector
from bradd.select.guarded import select_guarded

__all__ = ["DEFAULT_SELECTOR", "rank"]

DEFAULT_SELECTOR: Selector = Rare()


def rank(
    images: str | Path | Images | npt.NDArray[np.uint8] | None = None,
    encoder: str | Path | Encoder | None = None,
    *,
    embeddings: str | Path | npt.ArrayLike | None = None,
    weights: str | Path | None = None,
    selector: Selector | None = None,
    n_anchors: int | None = None,
    guard: bool = True,
    seed: int = 0,
    batch_size: int = 64,
    num_workers: int = 0,
    max_unreadable: float = MAX_UNREADABLE,
) -> Ranking:
    """Rank images by how under-represented they are, and select anchors. Writes no files.

        ranking = bradd.rank("photos", "timm:vit_small_patch16_224.dino")
        bradd.write_ranking(ranking, "ranked")

    Every image is decoded once to see whether it can be; suspected ones (blank, noise, tiny,
    extremely long) are set aside, duplicates counted once, and the rest is scored.

    Args:
        images: A folder, a text file of paths, the name of a data set, an array uint8
            `[N, H, W, 3]` or `[N, H, W]`, or any `Images`. May be left out where embeddings are
            given: then nothing is decoded, guarded or shown.
        encoder: `timm:NAME`, `hf:NAME_OR_FOLDER`, `run:FOLDER`, or an `Encoder`; see
            `bradd.encoders.open_encoder`.
        embeddings: Instead of an encoder: an array `[N, D]` or a `.npy` file, in the order of the
            images (those of a folder or list are sorted by name), or a `.parquet` file that may
            name its rows; see `bradd.ranking.given_embeddings.read_embeddings`.
        weights: A file of weights for a timm encoder. Default: those that timm publishes.
        selector: What is under-represented. Default: `DEFAULT_SELECTOR`.
        n_anchors: How many images to select. Default: one in 30, at least 2, at most 500.
        guard: Set suspected images aside and count duplicates once.
        seed: For selectors that draw.
        batch_size: Images embedded at once.
        num_workers: Processes that decode; 0 decodes in this one.
        max_unreadable: Share of unreadable images that is left out and listed rather than refused.

    Raises:
        BraddError: An argument is not as needed; the message says what to do.
    """
    selector = DEFAULT_SELECTOR if selector is None else selector
    subject = open_subject(images, encoder, embeddings, weights)
    _check(len(subject), selector, n_anchors, batch_size)
    clock = Clock()
    with clock("check"):
        subject, checked = subject.readable(num_workers, max_unreadable)
    rows = len(subject)
    reasons: npt.NDArray[np.str_] = np.full(rows, "")
    stands_for = np.arange(rows)
    seen = None
    if guard and subject.images is not None and checked is not None:
        with clock("guard"):
            seen = inspect_images(subject.images, num_workers)
            reasons = seen.reasons
    with clock("embed"):
        values = subject.embed(batch_size, num_workers)
    wanted = usual_anchors(rows) if n_anchors is None else n_anchors
    with clock("select"):
        if seen is not None:
            stands_for = seen.stands_for(values)
        selector.device = "cuda" if torch.cuda.is_available() else None
        possible = int(((stands_for == np.arange(rows)) & (reasons == "")).sum())
        selection = select_guarded(
            selector,
            values,
            max(1, min(wanted, selector.most_anchors(possible))),
            # As the first round of `bradd balance` and of a run draws.
            derive_seed(seed, "select", 1),
            reasons=reasons,
            stands_for=stands_for,
        )
    ranking = Ranking(
        names=subject.names(),
        scores=selection.scores,
        anchors=selection.indices,
        reasons=reasons,
        stands_for=stands_for,
        unreadable=[] if checked is None else checked.unreadable,
        signal=selection.signal,
        embeddings=values,
        images=subject.images,
        facts={},
    )
    ranking.facts.update(facts_of(ranking, subject, selector, wanted, guard, seed, clock.seconds))
    return ranking


def _check(rows: int, selector: Selector, n_anchors: int | None, batch_size: int) -> None:
    if batch_size < 1:
        raise BraddError(f"batch_size is {batch_size}: it must be at least 1.")
    if n_anchors is not None and not 1 <= n_anchors <= rows:
        raise BraddError(
            f"n_anchors is {n_anchors}, but there are {rows:,} images: choose a number from 1 to "
            "that."
        )
    if n_anchors is not None and n_anchors > selector.most_anchors(rows):
        raise BraddError(
            f"n_anchors is {n_anchors}, but {describe(selector)} chooses at most "
            f"{selector.most_anchors(rows)} of {rows:,} images: choose fewer."
        )
    if rows < selector.minimum_images():
        raise BraddError(
            f"{describe(selector)} needs at least {selector.minimum_images()} images; there are "
            f"{rows}. Add images, or choose another selector or smaller settings of it."
        )
