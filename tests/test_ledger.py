from __future__ import annotations

import errno
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bradd.errors import BraddError
from bradd.ledger import Ledger
from samples import picture, row


def write_round(ledger: Ledger, cycle: int, commit: bool = True) -> None:
    writer = ledger.start_round(cycle)
    writer.add_anchor(3, picture(3))
    for number in range(2):
        writer.add(picture(number), number=number, **row(3, accepted=number == 0))
    writer.add_selection({"index": np.arange(2), "name": ["a", "b"]})
    if commit:
        writer.commit({"cycle": cycle})


def test_a_round_is_invisible_until_it_is_committed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    write_round(ledger, 1, commit=False)
    assert ledger.committed() == []
    write_round(ledger, 1)  # what the interrupted one left is replaced
    assert ledger.committed() == [1]
    assert sorted(p.name for p in (tmp_path / "rounds").iterdir()) == ["01"]


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


def test_a_full_disk_ends_clearly_and_commits_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path)
    writer = ledger.start_round(1)
    opened = Path.open

    def full(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if "w" in mode:
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(BraddError, match=r"disk is full.*--resume"):
        writer.add(picture(0), number=0, **row(1))
    assert ledger.committed() == []
