from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bradd.pool import Pool
from bradd.round_writer import RoundWriter
from bradd.sample_grids import CELL, GAP, VARIATIONS, anchor_grid, view_grid
from bradd.views.photometric import normalise
from samples import SIZE, row

STEP = CELL // SIZE * SIZE + GAP


def cell(grid: Image.Image, line: int, column: int, size: int = SIZE) -> np.ndarray:
    """One of a grid's pictures, reduced to its own size."""
    side = CELL // SIZE * size
    start = (STEP - GAP - side) // 2
    left, top = column * STEP + start, line * STEP + start
    found = grid.crop((left, top, left + side, top + side))
    return np.asarray(found.resize((size, size), Image.Resampling.NEAREST))


def test_a_row_of_views_for_each_image() -> None:
    generator = torch.Generator().manual_seed(0)
    whole, small = (
        torch.randint(0, 256, (3, 3, size, size), generator=generator, dtype=torch.uint8)
        for size in (SIZE, SIZE // 2)
    )
    grid = view_grid([normalise(whole), normalise(small)])
    assert grid.size == (2 * STEP - GAP, 3 * STEP - GAP)
    for line in range(3):
        assert np.array_equal(cell(grid, line, 0), whole[line].permute(1, 2, 0))
        assert np.array_equal(cell(grid, line, 1, SIZE // 2), small[line].permute(1, 2, 0))


def test_anchors_with_the_highest_scores_beside_what_was_accepted(
    folder: Path, tmp_path: Path
) -> None:
    pool = Pool(folder, tmp_path / "run")
    writer = RoundWriter(pool.ledger, 1)
    for anchor in range(10):
        writer.add_anchor(anchor, Image.new("RGB", (SIZE, SIZE), (anchor, 0, 0)))
        for number in range(VARIATIONS + 2):
            facts = row(anchor, number=number) | {
                "anchor_score": float(anchor),
                "accepted": number != 1,
                "reason": "" if number != 1 else "copy",
            }
            writer.add(Image.new("RGB", (SIZE, SIZE), (anchor, number, 9)), **facts)
    writer.commit({})
    grid = anchor_grid(pool.ledger, 1)
    assert grid is not None
    assert grid.size == ((1 + VARIATIONS) * STEP - GAP, 8 * STEP - GAP)
    for line, anchor in enumerate(range(9, 1, -1)):
        shown = [tuple(cell(grid, line, column)[0, 0]) for column in range(1 + VARIATIONS)]
        accepted = [number for number in range(VARIATIONS + 1) if number != 1]
        assert shown == [(anchor, 0, 0), *((anchor, number, 9) for number in accepted)]


def test_no_picture_where_nothing_was_accepted(folder: Path, tmp_path: Path) -> None:
    pool = Pool(folder, tmp_path / "run")
    writer = RoundWriter(pool.ledger, 1)
    writer.add(Image.new("RGB", (SIZE, SIZE)), **row(0) | {"accepted": False, "reason": "copy"})
    writer.commit({})
    assert anchor_grid(pool.ledger, 1) is None
