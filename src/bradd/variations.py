"""Generating, judging and writing the variations of a round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from bradd.console import stage
from bradd.data.resize import centre_view
from bradd.embedding import Encoder
from bradd.embedding_map import EmbeddingMap
from bradd.generate import Acceptance, Verdict
from bradd.pool import Pool
from bradd.provenance import picture_text, provenance
from bradd.round_settings import RoundSettings
from bradd.round_writer import RoundWriter
from bradd.seeds import derive_seed
from bradd.select import Selection
from bradd.select.thumbnail import thumbnails

__all__ = ["VariationMaker"]

# Anchors are held at their own size, which may be tens of megabytes each.
ANCHORS_AT_ONCE = 8


@dataclass(frozen=True)
class _Draw:
    """One picture that is drawn of a variation.

    `row` is its anchor's place among the round's anchors, `number` says which of the anchor's
    variations it is and `attempt` how many draws of that were refused before. `closer` is how many
    steps nearer to the anchor than usual it is made.
    """

    row: int
    number: int
    attempt: int
    seed: int
    closer: int = 0


@dataclass(frozen=True)
class _Judged:
    """A draw with its picture, the verdict on it, and where it lies on the map, `[2]`."""

    draw: _Draw
    picture: Image.Image
    verdict: Verdict
    place: list[float]


class VariationMaker:
    """Makes every anchor's variations, judges them, and draws refused ones again.

    Args:
        pool: Where the anchors are.
        encoder: The backbone that embedded the pool.
        embeddings: Of the pool, float32 `[P, D]`.
        selection: The anchors, `[A]`, and the scores of the pool.
        acceptance: Judges by those anchors.
        embedding_map: Of the round.
        cycle: The cycle that has ended.
        settings: Of the round; their generator must be fitted before `write`.
        clock: Measures the stages `"generate"` and `"accept"`.

    Attributes:
        groups: The anchors, in the groups whose variations are made together.
    """

    def __init__(
        self,
        pool: Pool,
        encoder: Encoder,
        embeddings: np.ndarray,
        selection: Selection,
        acceptance: Acceptance,
        embedding_map: EmbeddingMap,
        cycle: int,
        settings: RoundSettings,
        clock: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self._pool = pool
        self._encoder = encoder
        self._embeddings = embeddings[selection.indices]
        self._anchors: list[int] = selection.indices.tolist()
        self._scores = selection.scores
        self._acceptance = acceptance
        self._map = embedding_map
        self._cycle = cycle
        self._settings = settings
        self._clock = clock
        self._judged = settings.acceptance and settings.generator.judged
        self.groups = [
            self._anchors[first : first + ANCHORS_AT_ONCE]
            for first in range(0, len(self._anchors), ANCHORS_AT_ONCE)
        ]

    def write(self, writer: RoundWriter, finished: int = 0) -> None:
        """Write all draws of all variations, but for the first `finished` groups."""
        each = self._settings.n_variations
        title = f"cycle {self._cycle}: generate"
        groups = self.groups[finished:]
        facts = provenance(self._settings.generator) if groups else {}
        with stage(title, each * len(self._anchors)) as progress:
            progress.advance(each * sum(map(len, self.groups[:finished])))
            for number, group in enumerate(groups, finished):
                self._write_group(number * ANCHORS_AT_ONCE, group, facts, writer)
                writer.finish_group(group)
                progress.advance(each * len(group))

    def _write_group(
        self, first: int, group: Sequence[int], facts: dict[str, Any], writer: RoundWriter
    ) -> None:
        """Write the variations of some anchors, the `first` of the round's and the next ones."""
        originals = {first + place: self._pool.load(anchor) for place, anchor in enumerate(group)}
        for row, original in originals.items():
            writer.add_anchor(self._anchors[row], _picture(self._view(original)))
        for one in self._drawn(originals):
            draw, verdict = one.draw, one.verdict
            anchor = self._anchors[draw.row]
            name = self._pool.name(anchor)
            writer.add(
                one.picture,
                picture_text(facts, name, draw.seed, self._settings.generator.judged),
                anchor=anchor,
                anchor_name=name,
                number=draw.number,
                attempt=draw.attempt,
                seed=draw.seed,
                anchor_score=float(self._scores[anchor]),
                accepted=not verdict.reason,
                map_x=one.place[0],
                map_y=one.place[1],
                **vars(verdict),
                **facts,
            )

    def _drawn(self, originals: dict[int, Image.Image]) -> list[_Judged]:
        """Every draw of the anchors' variations, in the order of anchor, variation and attempt."""
        waiting = [
            self._draw(row, number)
            for row in originals
            for number in range(self._settings.n_variations)
        ]
        found: list[_Judged] = []
        for attempt in range(1, 1 + (self._settings.draws if self._judged else 1)):
            with self._clock("generate"):
                pictures = self._pictures(waiting, originals)
            with self._clock("accept"):
                judged = self._judge(waiting, pictures)
            found += judged
            waiting = [
                self._draw(
                    one.draw.row, one.draw.number, attempt, one.draw.closer + one.verdict.step
                )
                for one in judged
                if one.verdict.reason
            ]
            if not waiting:
                break
        return sorted(found, key=lambda one: (one.draw.row, one.draw.number, one.draw.attempt))

    def _draw(self, row: int, number: int, attempt: int = 0, closer: int = 0) -> _Draw:
        place = ("generate", self._cycle, self._anchors[row], number, attempt)
        return _Draw(row, number, attempt, derive_seed(self._settings.seed, *place), closer)

    def _pictures(
        self, draws: Sequence[_Draw], originals: dict[int, Image.Image]
    ) -> list[Image.Image]:
        generator = self._settings.generator
        anchors = [originals[draw.row] for draw in draws]
        embeddings = self._embeddings[[draw.row for draw in draws]]
        seeds = [draw.seed for draw in draws]
        if any(draw.attempt for draw in draws):
            steps = [draw.closer for draw in draws]
            return generator.generate_closer(anchors, embeddings, seeds, steps)
        return generator.generate(anchors, embeddings, seeds)

    def _judge(self, draws: Sequence[_Draw], pictures: Sequence[Image.Image]) -> list[_Judged]:
        views = np.stack([self._view(picture) for picture in pictures])
        step = self._settings.batch_size
        embeddings = np.concatenate(
            [
                self._encoder(torch.from_numpy(views[start : start + step]))
                for start in range(0, len(views), step)
            ]
        )
        rows, seeds = [draw.row for draw in draws], [draw.seed for draw in draws]
        verdicts = self._acceptance.judge(embeddings, thumbnails(views), rows, seeds)
        if not self._judged:
            verdicts = [replace(verdict, reason="") for verdict in verdicts]
        places = self._map(embeddings).tolist()
        return [_Judged(*one) for one in zip(draws, pictures, verdicts, places, strict=True)]

    def _view(self, image: Image.Image) -> np.ndarray:
        return centre_view(image, self._encoder.image_size)


def _picture(view: np.ndarray) -> Image.Image:
    return Image.fromarray(view.transpose(1, 2, 0))
