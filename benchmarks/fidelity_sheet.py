"""The table and the sheet of pictures that `fidelity.py` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fidelity_judge import GROUPS, VARIATIONS, LongTail, Made


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown."""
    lines = [
        "| configuration | acceptance | keep: head | middle | tail | diversity: head | middle "
        "| tail | copies: head, % | middle, % | tail, % | accepted: tail, % | FD | CPU s |",
        "|---" * 14 + "|",
    ]
    for row in rows:
        cells = [row["configuration"], row["acceptance"]]
        for number, factor, digits in (("keep", 1, 2), ("diversity", 1, 2), ("copies", 100, 1)):
            for name in GROUPS:
                value = row[name][number]
                mean, half = factor * value["mean"], factor * value["half"]
                cells.append(f"{mean:.{digits}f} ± {half:.{digits}f}")
        cells += [f"{100 * row['tail']['accepted']:.0f}", f"{row['frechet']:.2f}"]
        cells.append("" if row["seconds"] is None else f"{row['seconds']:.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def sheet(subject: LongTail, made: Made, anchors: np.ndarray, path: Path, zoom: int = 2) -> None:
    """Four anchors of head, middle and tail each, and right of each its variations."""
    groups = subject.group(anchors)
    side, gap = subject.pixels.shape[-1], 2
    rows = []
    for group in range(len(GROUPS)):
        candidates = np.flatnonzero(groups == group)
        spread = np.linspace(0, len(candidates) - 1, 4).round().astype(int)
        rows += [candidates[place] for place in spread]
    pixels = np.full(
        (3, len(rows) * (side + gap), (VARIATIONS + 1) * (side + gap) + 2 * gap), 255, np.uint8
    )
    for line, anchor in enumerate(rows):
        top = line * (side + gap)
        pixels[:, top : top + side, :side] = subject.pixels[anchors[anchor]]
        mine = np.flatnonzero(made.own == anchor)[:VARIATIONS]
        for column, variation in enumerate(made.pixels[mine]):
            left = (column + 1) * (side + gap) + 2 * gap
            pixels[:, top : top + side, left : left + side] = variation
    picture = Image.fromarray(pixels.transpose(1, 2, 0))
    size = (picture.width * zoom, picture.height * zoom)
    picture.resize(size, Image.Resampling.NEAREST).save(path, optimize=True)
