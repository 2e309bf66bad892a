"""The anchors of a round with their variations, as pictures embedded in the page."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bradd.reporting.run_files import Round, Run, Variation

__all__ = ["Card", "Gallery", "Picture", "Tile", "embed", "evenly", "gallery", "open_picture"]

SHOWN_SIZE = 96  # of a picture on the page, in CSS pixels
THUMBNAIL_SIZE = 112  # of what is embedded, in pixels: a little more, for dense screens
TINY = 64  # pictures up to this side are enlarged pixel by pixel
LOSSLESS = 32  # up to this side PNG is the smaller, exact choice
ANCHORS_A_CYCLE = 60
ANCHORS_A_PAGE = 300  # keeps a page of many cycles under about 10 MB
VARIATIONS_AN_ANCHOR = 8


@dataclass(frozen=True)
class Picture:
    """An embedded picture: a data URI and its size on the page in CSS pixels."""

    source: str
    width: int
    height: int
    pixelated: bool


@dataclass(frozen=True)
class Tile:
    """A variation and its picture, `None` if the file cannot be shown."""

    row: Variation
    picture: Picture | None


@dataclass(frozen=True)
class Card:
    """An anchor with its variations; rank 1 has the highest score.

    `hidden_accepted` and `hidden_refused` count the variations for which there was no room.
    """

    rank: int
    anchor: int
    name: str
    score: float
    picture: Picture | None
    tiles: list[Tile]
    hidden_accepted: int
    hidden_refused: int


@dataclass(frozen=True)
class Gallery:
    """The anchors shown of one round, and of how many."""

    cards: list[Card]
    anchors: int

    @property
    def widest(self) -> int:
        """Pictures of variations beside the anchor that has most of them."""
        return max((len(card.tiles) for card in self.cards), default=0)


def evenly(total: int, limit: int) -> list[int]:
    """At most `limit` of the positions 0 .. total - 1, evenly spread, first and last among them."""
    if total <= limit:
        return list(range(total))
    return [int(i) for i in np.linspace(0, total - 1, limit).round()]


def open_picture(path: Path) -> Image.Image | None:
    """The picture as L or RGB, or `None` if there is none or it cannot be decoded."""
    try:
        with Image.open(path) as image:
            return image.convert("L" if image.mode in ("1", "L") else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def embed(path: Path) -> Picture | None:
    """Embed a picture: as it is if tiny, as a thumbnail if larger; `None` if unreadable."""
    image = open_picture(path)
    if image is None:
        return None
    image.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE), Image.Resampling.LANCZOS)
    side = max(image.size)
    # Whole halves, so that on a dense screen every pixel of a tiny picture is a square of one size.
    factor = (2 * SHOWN_SIZE // side) / 2 if side <= TINY else SHOWN_SIZE / side
    buffer = io.BytesIO()
    if side <= LOSSLESS:
        kind = "png"
        image.save(buffer, "PNG", optimize=True)
    else:
        kind = "webp"
        image.save(buffer, "WEBP", quality=75, method=4)
    return Picture(
        source=f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}",
        width=max(1, round(image.width * factor)),
        height=max(1, round(image.height * factor)),
        pixelated=side <= TINY,
    )


def gallery(run: Run, one: Round) -> Gallery:
    """The anchors of one round, evenly through the ranking by score, with their variations."""
    variations: defaultdict[int, list[Variation]] = defaultdict(list)
    for row in run.ledger:
        if row.cycle == one.cycle:
            variations[row.anchor].append(row)
    anchors = {
        anchor: (rows[0].anchor_name, rows[0].anchor_score) for anchor, rows in variations.items()
    }
    if one.selection is not None:
        anchors |= one.selection.anchors
    ranking = sorted(anchors, key=lambda anchor: (-np.nan_to_num(anchors[anchor][1]), anchor))
    limit = max(1, min(ANCHORS_A_CYCLE, ANCHORS_A_PAGE // len(run.rounds)))
    cards = []
    for position in evenly(len(ranking), limit):
        anchor = ranking[position]
        name, score = anchors[anchor]
        picture = embed(one.folder / "anchors" / f"{anchor:08d}.png")
        shown, hidden = _shown(variations[anchor])
        cards.append(
            Card(
                rank=position + 1,
                anchor=anchor,
                name=name,
                score=score,
                picture=picture,
                tiles=[Tile(row, embed(run.folder / row.file)) for row in shown],
                hidden_accepted=sum(row.accepted for row in hidden),
                hidden_refused=sum(not row.accepted for row in hidden),
            )
        )
    return Gallery(cards, len(ranking))


def _shown(rows: Sequence[Variation]) -> tuple[list[Variation], list[Variation]]:
    """Split into those shown, evenly spread, and those for which there is no room."""
    positions = set(evenly(len(rows), VARIATIONS_AN_ANCHOR))
    shown = [row for i, row in enumerate(rows) if i in positions]
    return shown, [row for i, row in enumerate(rows) if i not in positions]
