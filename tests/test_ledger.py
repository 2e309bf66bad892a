from __future__ import annotations

import hashlib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bradd.errors import BraddError
from bradd.ledger import GENERATOR, JOURNAL, KEY, VIEWS, Ledger
from bradd.ledger_table import SCHEMA, Variation
from bradd.round_writer import RoundWriter
from samples import picture, row


def write_round(ledger: Ledger, cycle: int) -> None:
    writer = RoundWriter(ledger, cycle)
    writer.add_anchor(3, picture(3))
    for number in range(2):
        writer.add(picture(number), **row(3, accepted=number == 0, number=number))
    writer.add_selection({"index": np.arange(2), "name": ["a", "b"]})
    writer.commit({"cycle": cycle})


def test_rows_and_files_agree(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    write_round(ledger, 1)
    write_round(ledger, 2)
    table = pq.read_table(tmp_path / "ledger.parquet").to_pylist()
    assert [(r["cycle"], r["variation"], r["accepted"]) for r in table] == [
        (1, 0, True),
        (1, 1, False),
        (2, 0, True),
        (2, 1, False),
    ]
    assert table[0]["seed"] == 2**62 + 3
    named = {r["file"] for r in table}
    on_disk = {str(p.relative_to(tmp_path)) for p in tmp_path.glob("rounds/*/variations/*")}
    assert named == on_disk
    for r in table:
        assert hashlib.sha256((tmp_path / r["file"]).read_bytes()).hexdigest() == r["sha256"]


def test_the_same_round_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_round(Ledger(tmp_path / name), 1)
    first, second = (tmp_path / name / "ledger.parquet" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()


def test_a_lost_picture_is_named(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    write_round(ledger, 1)
    lost = next((tmp_path / "rounds/01/variations").iterdir())
    lost.unlink()
    with pytest.raises(BraddError, match=f"{lost.name} is in the ledger, but"):
        ledger.variations(1)


@pytest.mark.parametrize("file", ["/etc/passwd", "../../secret.png"])
def test_a_table_cannot_name_files_outside_of_the_run(tmp_path: Path, file: str) -> None:
    ledger = Ledger(tmp_path)
    write_round(ledger, 1)
    path = tmp_path / "rounds/01/variations.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[0]["file"] = file
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)
    with pytest.raises(BraddError, match="lies outside of the run's folder"):
        ledger.variations(1)


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    write_round(ledger, 1)
    (tmp_path / "rounds/01/variations.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(BraddError, match=r"variations.parquet cannot be read"):
        ledger.variations(1)


def test_every_field_of_a_row_is_a_column() -> None:
    kinds = {"int": "int64", "str": "string", "bool": "bool", "float": "double"}
    declared = {field.name: kinds[str(field.type)] for field in fields(Variation)}
    assert {field.name: str(field.type) for field in SCHEMA} == declared


def test_what_a_killed_process_left_undone_is_done(tmp_path: Path) -> None:
    """Killed between a round's commit and the table of all rounds."""
    ledger = Ledger(tmp_path)
    for cycle in (1, 2):
        write_round(ledger, cycle)
    expected = (tmp_path / "ledger.parquet").read_bytes()
    (tmp_path / "ledger.parquet").unlink()
    for cycle in (1, 2):
        folder = ledger.round_folder(cycle)
        (folder / GENERATOR).mkdir()
        (folder / GENERATOR / "weights").write_text(str(cycle))
        for name in (KEY, JOURNAL, VIEWS):
            (folder / name).touch()
    ledger.settle()
    assert (tmp_path / "ledger.parquet").read_bytes() == expected
    usual = {"anchors", "round.json", "selection.parquet", "variations", "variations.parquet"}
    assert {path.name for path in ledger.round_folder(1).iterdir()} == usual
    assert {path.name for path in ledger.round_folder(2).iterdir()} == usual | {GENERATOR}
    assert (ledger.round_folder(2) / GENERATOR / "weights").read_text() == "2"
