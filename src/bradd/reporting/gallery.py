"""The anchors of every round with all their variations, as data that the page's script shows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bradd.ledger_table import Variation
from bradd.reporting.run_files import Round, Run
from bradd.reporting.sprites import Sprites, pack

__all__ = ["Gallery", "galleries"]

Variations = defaultdict[tuple[int, int], list[Variation]]  # by cycle and anchor
Place = Callable[[Path], int]  # takes a picture's file, and says which of all pictures it is

# Of all pictures of a page together, in bytes; a third more as text.
BUDGET = 6_500_000


@dataclass(frozen=True)
class Gallery:
    """What is shown of one round.

    Attributes:
        anchors: How many there are.
        data: For the script: the anchors by descending score, each with its variations.
    """

    anchors: int
    data: dict[str, Any]


def galleries(run: Run) -> tuple[list[Gallery], Sprites]:
    """Every anchor and every draw of all rounds, and their pictures."""
    variations: Variations = defaultdict(list)
    for row in run.ledger:
        variations[row.cycle, row.anchor].append(row)
    files: list[Path] = []

    def picture(path: Path) -> int:
        files.append(path)
        return len(files) - 1

    found = [_gallery(run, one, variations, picture) for one in run.rounds]
    return found, pack(files, BUDGET)


def _gallery(run: Run, one: Round, variations: Variations, picture: Place) -> Gallery:
    anchors = {
        anchor: (rows[0].anchor_name, rows[0].anchor_score)
        for (cycle, anchor), rows in variations.items()
        if cycle == one.cycle
    }
    if one.selection is not None:
        anchors |= one.selection.anchors
    ranking = sorted(anchors, key=lambda anchor: (-np.nan_to_num(anchors[anchor][1]), anchor))
    reasons = list(
        dict.fromkeys(
            row.reason or "no reason given"
            for anchor in ranking
            for row in variations[one.cycle, anchor]
            if not row.accepted
        )
    )
    shown = []
    for rank, anchor in enumerate(ranking, 1):
        name, score = anchors[anchor]
        rows = variations[one.cycle, anchor]
        shown.append(
            {
                "index": anchor,
                "name": name,
                "rank": rank,
                "score": _short(score),
                "picture": picture(one.folder / "anchors" / f"{anchor:08d}.png"),
                "variations": [_draw(run, row, reasons, picture) for row in rows],
            }
        )
    return Gallery(len(shown), {"cycle": one.cycle, "reasons": reasons, "anchors": shown})


def _draw(run: Run, row: Variation, reasons: list[str], picture: Place) -> list[Any]:
    """One draw, as short as can be: `NUMBER` to `FILE` in page.js say what is where."""
    return [
        row.number,
        row.attempt,
        -1 if row.accepted else reasons.index(row.reason or "no reason given"),
        row.reason if row.accepted else "",
        _short(row.own_distance),
        _short(row.random_distance),
        _short(row.nearest_distance),
        _short(row.pixel_distance),
        picture(run.folder / row.file),
        row.file,
    ]


def _short(value: float) -> float | None:
    return None if not math.isfinite(value) else float(f"{value:.4g}")
