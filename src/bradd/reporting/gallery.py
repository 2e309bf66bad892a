"""The anchors of a round with their variations, as pictures embedded in the page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bradd.ledger_table import Variation
from bradd.reporting.pictures import Picture, embed
from bradd.reporting.run_files import Round, Run

__all__ = ["Card", "Gallery", "Tile", "evenly", "gallery"]

ANCHORS_A_CYCLE = 60
ANCHORS_A_PAGE = 300  # keeps a page of many cycles under about 10 MB
VARIATIONS_AN_ANCHOR = 8


@dataclass(frozen=True)
class Tile:
    """One draw of a variation and its picture, `None` if the file cannot be shown."""

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
    """Split into those shown and those for which there is no room; accepted ones go first."""
    accepted = [i for i, row in enumerate(rows) if row.accepted]
    refused = [i for i, row in enumerate(rows) if not row.accepted]
    positions = {accepted[i] for i in evenly(len(accepted), VARIATIONS_AN_ANCHOR)}
    room = VARIATIONS_AN_ANCHOR - len(positions)
    positions |= {refused[i] for i in evenly(len(refused), room)}
    shown = [row for i, row in enumerate(rows) if i in positions]
    return shown, [row for i, row in enumerate(rows) if i not in positions]
