from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bradd.errors import BraddError
from bradd.reporting import write_report
from bradd.reporting.run_files import read_run


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("ledger.parquet", b"PAR1 not a table"),
        ("rounds/01/selection.parquet", b""),
        ("rounds/02/round.json", b"{"),
        ("results.json", b"{}"),
        ("results.json", b"[1]"),
        ("manifest.json", b"\xff"),
        ("config.yaml", b"a: [1"),
        ("config.yaml", b"- 1"),
        ("metrics.csv", b"epoch,loss\n0,many\n"),
        ("metrics.csv", b"loss\n1\n"),
        ("unreadable.csv", b"file\na.jpg\n"),
    ],
)
def test_a_damaged_file_is_named(run: Path, file: str, content: bytes) -> None:
    (run / file).write_bytes(content)
    with pytest.raises(BraddError, match=Path(file).name):
        write_report(run)
    assert not (run / "report.html").exists()


def test_a_missing_column_is_named(run: Path) -> None:
    ledger = run / "ledger.parquet"
    pq.write_table(pq.read_table(ledger).drop(["accepted"]), ledger)
    with pytest.raises(BraddError, match=r"ledger\.parquet.*'accepted'"):
        read_run(run)


@pytest.mark.parametrize("file", ["/etc/passwd", "rounds/../../secret.png"])
def test_a_ledger_cannot_show_files_outside_the_run(run: Path, file: str) -> None:
    ledger = run / "ledger.parquet"
    rows = pq.read_table(ledger).to_pylist()
    rows[0]["file"] = file
    pq.write_table(pa.Table.from_pylist(rows), ledger)
    with pytest.raises(BraddError, match="outside the run"):
        read_run(run)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BraddError, match="holds no run"):
        write_report(tmp_path)


def test_half_a_last_line_of_metrics_is_read_as_far_as_it_goes(young_run: Path) -> None:
    with (young_run / "metrics.csv").open("a") as file:
        file.write("2,30,4.0")
    metrics = read_run(young_run).metrics
    assert metrics["loss"].tolist() == [4.5, 4.25, 4.0]
    assert np.isnan(metrics["seconds"][2])
    write_report(young_run)


def test_rounds_in_a_ledger_or_on_the_disk_are_found_and_temporary_folders_are_not(
    run: Path,
) -> None:
    (run / "rounds" / "03.tmp").mkdir()
    (run / "rounds" / ".04").mkdir()
    (run / "rounds" / "05").mkdir()
    assert [one.cycle for one in read_run(run).rounds] == [1, 2, 5]


def test_absent_distances_are_nan(run: Path) -> None:
    ledger = run / "ledger.parquet"
    rows = pq.read_table(ledger).to_pylist()
    rows[0] |= {"own_distance": None, "reason": None}
    pq.write_table(pa.Table.from_pylist(rows), ledger)
    first = read_run(run).ledger[0]
    assert np.isnan(first.own_distance)
    assert first.reason == ""
    write_report(run)


def test_suspected_images_are_those_with_a_reason(run: Path) -> None:
    selection = read_run(run).rounds[0].selection
    assert selection is not None
    assert selection.suspected == {7: ("photos/007.jpg", "one colour only")}
    assert len(selection.anchors) == 3
