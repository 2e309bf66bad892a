"""Which variation came from which anchor, and how.

The truth is one folder a round, `rounds/01/`, that appears by a single rename; `ledger.parquet` is
all rounds' tables in one file, made anew from them, for the reader's convenience.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bradd.errors import BraddError
from bradd.files import replace_atomically, write_errors
from bradd.ledger_table import SCHEMA, Variation, as_table

__all__ = ["GENERATOR", "JOURNAL", "KEY", "VIEWS", "Ledger"]

# In a round's folder: what its generator keeps for the next round, and what is of use only while
# the round is being made.
GENERATOR = "generator"
KEY, JOURNAL, VIEWS = "key.json", "journal.jsonl", "views.npy"


class Ledger:
    """The rounds of one folder; `bradd.round_writer` writes them.

    Args:
        folder: The run's folder; made when the first round is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def committed(self) -> list[int]:
        """The cycles whose round is whole and visible, ascending."""
        rounds = self.folder / "rounds"
        if not rounds.is_dir():
            return []
        return sorted(int(path.name) for path in rounds.iterdir() if path.name.isdecimal())

    def round_folder(self, cycle: int) -> Path:
        """Where a committed round lies."""
        return self.folder / "rounds" / f"{cycle:02d}"

    def variations(self, cycle: int) -> list[Variation]:
        """The rows of one committed round.

        Raises:
            BraddError: The table cannot be read, or a picture it names is missing.
        """
        path = self.round_folder(cycle) / "variations.parquet"
        try:
            rows = [Variation(**row) for row in pq.read_table(path, schema=SCHEMA).to_pylist()]
        except (OSError, pa.ArrowInvalid) as error:
            raise BraddError(
                f"{path} cannot be read ({error}). Restore it, or remove the rounds from "
                f"{path.parent} on to have them made again."
            ) from error
        for row in rows:
            if Path(row.file).is_absolute() or ".." in Path(row.file).parts:
                raise BraddError(
                    f"{path} names {row.file!r}, which lies outside of the run's folder: the table "
                    "is damaged or not to be trusted."
                )
            if not (self.folder / row.file).is_file():
                raise BraddError(
                    f"{self.folder / row.file} is in the ledger, but the file is missing. Restore "
                    f"it, or remove the rounds from {path.parent} on to have them made again."
                )
        return rows

    def summary(self, cycle: int) -> dict[str, Any]:
        """What `round.json` of a committed round says."""
        summary: dict[str, Any] = json.loads(
            (self.round_folder(cycle) / "round.json").read_text(encoding="utf-8")
        )
        return summary

    def write_table(self) -> Path:
        """Write `ledger.parquet` from the committed rounds; the file's path."""
        rows = [row for cycle in self.committed() for row in self.variations(cycle)]
        path = self.folder / "ledger.parquet"
        with replace_atomically(path) as temporary:
            pq.write_table(as_table(rows), temporary)
        return path

    def settle(self) -> None:
        """Do what follows a round's commit, which a killed process may have left undone.

        Working files are removed, and what generators kept, but for the last round's: the next
        round starts from that one. The table of all rounds is written.
        """
        committed = self.committed()
        for cycle in committed:
            folder = self.round_folder(cycle)
            with write_errors(folder):
                for name in (KEY, JOURNAL, VIEWS):
                    (folder / name).unlink(missing_ok=True)
                kept = folder / GENERATOR
                if kept.is_dir() and (cycle < committed[-1] or not any(kept.iterdir())):
                    shutil.rmtree(kept)
        self.write_table()
