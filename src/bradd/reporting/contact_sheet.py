"""A picture for a README: anchors, each in a row with its accepted variations."""

from __future__ import annotations

import io
from collections import defaultdict
from pathlib import Path, PurePath

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bradd.errors import BraddError
from bradd.files import write_atomically
from bradd.ledger_table import Variation
from bradd.reporting.numbers import number
from bradd.reporting.pictures import open_picture
from bradd.reporting.run_files import Run, read_run

__all__ = ["write_contact_sheet"]

CELL = 128  # side of a picture, in pixels
GAP = 12
MARGIN = 32
DIVIDER = 28  # between the anchors and their variations
HEADER = 104
CAPTION = 42
PAPER, INK, MUTED, LINE, ACCENT = "#faf8f4", "#1c2228", "#56606b", "#ddd8cd", "#0c6470"


def write_contact_sheet(
    run: Path, path: Path, anchors: int = 8, variations: int = 5, cycle: int | None = None
) -> Path:
    """Write a PNG in which each row is an anchor and its first accepted variations.

    Args:
        run: A run's folder.
        path: The PNG to write; it is replaced in one step.
        anchors: At most how many rows, taken evenly through the ranking by score.
        variations: At most how many variations a row.
        cycle: The round to show. Default: the last one with an accepted variation.

    Returns:
        `path`.

    Raises:
        BraddError: Nothing was accepted in that round, `anchors` or `variations` is below 1, or a
            file of the run is damaged.
    """
    for name, value in (("anchors", anchors), ("variations", variations)):
        if value < 1:
            raise BraddError(f"{name} is {value}: it must be at least 1.")
    files = read_run(Path(run))
    accepted = [row for row in files.ledger if row.accepted]
    cycles = sorted({row.cycle for row in accepted})
    if not cycles:
        raise BraddError(f"{run} holds no accepted variation: there is nothing to show yet.")
    shown = cycles[-1] if cycle is None else cycle
    if shown not in cycles:
        raise BraddError(f"cycle is {shown}, but {run} has accepted variations in {cycles} only.")
    by_anchor: defaultdict[int, list[Variation]] = defaultdict(list)
    for row in accepted:
        if row.cycle == shown:
            by_anchor[row.anchor].append(row)
    ranking = sorted(by_anchor.values(), key=lambda rows: (-_score(rows[0]), rows[0].anchor))
    rows = [ranking[i][:variations] for i in evenly(len(ranking), anchors)]
    buffer = io.BytesIO()
    _sheet(files, rows, shown).save(buffer, "PNG", optimize=True)
    write_atomically(Path(path), buffer.getvalue())
    return Path(path)


def _score(row: Variation) -> float:
    return float(np.nan_to_num(row.anchor_score))


def _sheet(run: Run, rows: list[list[Variation]], cycle: int) -> Image.Image:
    columns = max(len(row) for row in rows)
    first_variation = MARGIN + CELL + DIVIDER
    width = max(640, first_variation + columns * (CELL + GAP) - GAP + MARGIN)
    row_height = CELL + CAPTION + GAP
    height = HEADER + len(rows) * row_height + MARGIN - GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    title = f"{run.folder.resolve().name}: under-represented images and their variations"
    _text(draw, (MARGIN, 22), title, 20, INK, width - 2 * MARGIN)
    generator = rows[0][0].generator
    _text(draw, (MARGIN, 50), f"round {cycle}, {generator}", 14, MUTED, width - 2 * MARGIN)
    _text(draw, (MARGIN, HEADER - 26), "anchor (real)", 14, ACCENT, CELL)
    _text(draw, (first_variation, HEADER - 26), "variations (generated)", 14, ACCENT, width)
    rule = MARGIN + CELL + DIVIDER // 2
    draw.line([(rule, HEADER - 24), (rule, height - MARGIN)], fill=LINE)
    for i, row in enumerate(rows):
        top = HEADER + i * row_height
        anchor = run.folder / "rounds" / f"{cycle:02d}" / "anchors" / f"{row[0].anchor:08d}.png"
        _paste(sheet, anchor, MARGIN, top)
        for column, variation in enumerate(row):
            left = first_variation + column * (CELL + GAP)
            _paste(sheet, run.folder / variation.file, left, top)
        name = "/".join(PurePath(row[0].anchor_name).parts[-2:])
        score = f"score {number(row[0].anchor_score)}"
        _text(draw, (MARGIN, top + CELL + 5), name, 12, INK, CELL)
        _text(draw, (MARGIN, top + CELL + 21), score, 12, MUTED, CELL)
    return sheet


def _paste(sheet: Image.Image, path: Path, left: int, top: int) -> None:
    """Paste a picture into the middle of its cell; tiny ones enlarged by a whole factor."""
    image = open_picture(path)
    if image is None:
        raise BraddError(
            f"{path} is missing or cannot be decoded: restore it, or show a cycle "
            "whose pictures are complete."
        )
    side = max(image.size)
    if side <= CELL:
        factor = CELL // side
        size = (image.width * factor, image.height * factor)
        image = image.resize(size, Image.Resampling.NEAREST)
    else:
        image.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    sheet.paste(image, (left + (CELL - image.width) // 2, top + (CELL - image.height) // 2))


def _text(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, colour: str, width: int
) -> None:
    """Write one line, its end replaced by an ellipsis where it is wider than `width`."""
    font = ImageFont.load_default(size)
    whole = text
    while text and draw.textlength(text if text == whole else text + "…", font) > width:
        text = text[:-1]
    draw.text(place, text if text == whole else text + "…", colour, font)


def evenly(total: int, limit: int) -> list[int]:
    """At most `limit` of the positions 0 .. total - 1, evenly spread, first and last among them."""
    if total <= limit:
        return list(range(total))
    return [int(i) for i in np.linspace(0, total - 1, limit).round()]
