from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bradd.errors import BraddError
from bradd.reporting import write_contact_sheet
from bradd.reporting.contact_sheet import CELL, evenly


def enlarged(path: Path) -> np.ndarray:
    pixels = np.asarray(Image.open(path))
    factor = CELL // len(pixels)
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def places(sheet: np.ndarray, picture: np.ndarray) -> list[tuple[int, int]]:
    """Top left corners at which the sheet holds the picture, pixel for pixel."""
    side = len(picture)
    corners = np.argwhere((sheet[:-side, :-side] == picture[0, 0]).all(axis=2))
    return [
        (int(y), int(x))
        for y, x in corners
        if np.array_equal(sheet[y : y + side, x : x + side], picture)
    ]


def rows_of(run: Path, cycle: int) -> list[dict[str, object]]:
    rows = pq.read_table(run / "ledger.parquet").to_pylist()
    return sorted((r for r in rows if r["cycle"] == cycle), key=lambda r: -r["anchor_score"])


@pytest.mark.parametrize("cycle", [None, 1])
def test_each_row_is_an_anchor_with_its_accepted_variations(run: Path, cycle: int | None) -> None:
    path = write_contact_sheet(run, run / "sheet.png", cycle=cycle)
    sheet = np.asarray(Image.open(path))
    shown = cycle or 2
    tops = []
    for row in rows_of(run, shown):
        anchor = run / f"rounds/{shown:02d}/anchors/{row['anchor']:08d}.png"
        (top, left), *more = places(sheet, enlarged(anchor))
        assert not more
        tops.append(top)
        found = places(sheet, enlarged(run / str(row["file"])))
        if row["accepted"]:
            assert len(found) == 1
            assert found[0][0] == top
            assert found[0][1] > left
        else:
            assert found == []
    assert tops == sorted(tops)


def test_at_most_so_many_rows_and_columns(run: Path) -> None:
    whole = Image.open(write_contact_sheet(run, run / "whole.png"))
    path = write_contact_sheet(run, run / "part.png", anchors=1, variations=2)
    part = np.asarray(Image.open(path))
    assert len(part) < whole.height - CELL
    accepted = [row for row in rows_of(run, 2) if row["accepted"]]
    found = [bool(places(part, enlarged(run / str(row["file"])))) for row in accepted]
    assert found == [True, True] + [False] * 7


def test_same_run_same_sheet(run: Path) -> None:
    one = write_contact_sheet(run, run / "one.png").read_bytes()
    assert write_contact_sheet(run, run / "two.png").read_bytes() == one


def test_large_pictures_are_shrunk_and_long_names_cut(run: Path) -> None:
    rows = pq.read_table(run / "ledger.parquet").to_pylist()
    for row in rows:
        row["anchor_name"] = "very/long/" * 20 + "name" * 50
        Image.new("RGB", (400, 300), "#123456").save(run / row["file"])
    pq.write_table(pa.Table.from_pylist(rows), run / "ledger.parquet")
    sheet = np.asarray(Image.open(write_contact_sheet(run, run / "sheet.png")))
    blue = (sheet == (0x12, 0x34, 0x56)).all(axis=2).sum()
    assert blue == 9 * CELL * (CELL * 3 // 4)


def test_what_cannot_be_shown_is_said(run: Path, young_run: Path) -> None:
    path = run / "sheet.png"
    with pytest.raises(BraddError, match="no accepted variation"):
        write_contact_sheet(young_run, path)
    with pytest.raises(BraddError, match=r"cycle is 9.*\[1, 2\]"):
        write_contact_sheet(run, path, cycle=9)
    with pytest.raises(BraddError, match="anchors is 0"):
        write_contact_sheet(run, path, anchors=0)
    with pytest.raises(BraddError, match="variations is 0"):
        write_contact_sheet(run, path, variations=0)
    gone = next((run / "rounds/02/anchors").iterdir())
    gone.unlink()
    with pytest.raises(BraddError, match=gone.name):
        write_contact_sheet(run, path)
    with pytest.raises(BraddError, match="cannot be written"):
        write_contact_sheet(run, run / "absent" / "sheet.png", cycle=1)
    assert not path.exists()


@given(st.integers(0, 2000), st.integers(2, 80))
def test_evenly_spread_positions(total: int, limit: int) -> None:
    positions = evenly(total, limit)
    assert len(positions) == min(total, limit)
    assert positions == sorted(set(positions))
    if total:
        assert positions[0] == 0
        assert positions[-1] == total - 1
        gaps = np.diff(positions)
        assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1
