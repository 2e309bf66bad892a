"""Which variation came from which anchor, and how.

The truth is one folder a round, `rounds/01/`, that appears by a single rename; `ledger.parquet` is
all rounds' tables in one file, made anew from them, for the reader's convenience.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bradd.errors import BraddError
from bradd.files import replace_atomically, sync_folder, write_errors

__all__ = ["Ledger", "RoundWriter", "Variation"]

VIEWS = "views.npy"


@dataclass(frozen=True)
class Variation:
    """One row of the ledger.

    Attributes:
        variation: Its number within the round.
        cycle: The cycle at whose end it was generated, from 1.
        anchor: The anchor's number in the pool.
        anchor_name: The anchor's name, for a folder its path in it.
        seed: The generator's seed.
        generator: The generator's class and settings.
        generator_revision: Which weights: a hub revision, or a hash of what was fitted.
        external_data: Whether the generator was trained on anything but the user's images.
        anchor_score: The anchor's score, larger means more under-represented.
        own_distance: Distance to its own anchor between L2-normalised embeddings.
        random_distance: Distance to another anchor, drawn at random.
        accepted: Whether training draws from it.
        reason: Why it was refused; empty when accepted.
        file: The picture, relative to the run's folder.
        sha256: The file's checksum.
    """

    variation: int
    cycle: int
    anchor: int
    anchor_name: str
    seed: int
    generator: str
    generator_revision: str
    external_data: bool
    anchor_score: float
    own_distance: float
    random_distance: float
    accepted: bool
    reason: str
    file: str
    sha256: str


SCHEMA = pa.schema(
    [
        ("variation", pa.int64()),
        ("cycle", pa.int64()),
        ("anchor", pa.int64()),
        ("anchor_name", pa.string()),
        ("seed", pa.int64()),
        ("generator", pa.string()),
        ("generator_revision", pa.string()),
        ("external_data", pa.bool_()),
        ("anchor_score", pa.float64()),
        ("own_distance", pa.float64()),
        ("random_distance", pa.float64()),
        ("accepted", pa.bool_()),
        ("reason", pa.string()),
        ("file", pa.string()),
        ("sha256", pa.string()),
    ]
)


class Ledger:
    """The rounds of one folder.

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

    def start_round(self, cycle: int) -> RoundWriter:
        """Begin a round in a hidden folder; what an interrupted one left there is removed."""
        return RoundWriter(self, cycle)

    def write_table(self) -> Path:
        """Write `ledger.parquet` from the committed rounds; the file's path."""
        rows = [row for cycle in self.committed() for row in self.variations(cycle)]
        path = self.folder / "ledger.parquet"
        with replace_atomically(path) as temporary:
            pq.write_table(_table(rows), temporary)
        return path


class RoundWriter:
    """A round being written, invisible until `commit`."""

    def __init__(self, ledger: Ledger, cycle: int) -> None:
        self._ledger = ledger
        self._cycle = cycle
        self._rows: list[Variation] = []
        self._folder = ledger.folder / "rounds" / f".{cycle:02d}.partial"
        with write_errors(self._folder):
            if self._folder.exists():
                shutil.rmtree(self._folder)
            for name in ("variations", "anchors"):
                (self._folder / name).mkdir(parents=True)

    def store_views(self, images: int, size: int) -> np.ndarray:
        """Room on disk for the centre views of a round, uint8 `[N, 3, S, S]`; gone at `commit`."""
        with write_errors(self._folder):
            return np.lib.format.open_memmap(
                self._folder / VIEWS, mode="w+", dtype=np.uint8, shape=(images, 3, size, size)
            )

    def add_anchor(self, anchor: int, image: Image.Image) -> None:
        """Keep the picture of an anchor as the encoder saw it, for the page."""
        _write_file(self._folder / "anchors" / f"{anchor:08d}.png", _png(image))

    def add(self, image: Image.Image, number: int, **row: Any) -> None:
        """Write a variation's picture and remember its row.

        Args:
            image: 8-bit RGB.
            number: Which of its anchor's variations this is, from 0.
            **row: `Variation`'s fields but `variation`, `cycle`, `file` and `sha256`.

        Raises:
            BraddError: The disk is full or cannot be written to.
        """
        name = f"{row['anchor']:08d}_{number:03d}.png"
        picture = _png(image)
        _write_file(self._folder / "variations" / name, picture)
        self._rows.append(
            Variation(
                variation=len(self._rows),
                cycle=self._cycle,
                file=f"rounds/{self._cycle:02d}/variations/{name}",
                sha256=hashlib.sha256(picture).hexdigest(),
                **row,
            )
        )

    def add_selection(self, columns: dict[str, np.ndarray | list[str]]) -> None:
        """Write `selection.parquet`: one row for each image of the pool."""
        with write_errors(self._folder):
            pq.write_table(pa.table(columns), self._folder / "selection.parquet")

    def commit(self, summary: dict[str, Any]) -> None:
        """Make the round visible, whole, by one rename."""
        final = self._ledger.round_folder(self._cycle)
        (self._folder / VIEWS).unlink(missing_ok=True)
        with write_errors(self._folder):
            pq.write_table(_table(self._rows), self._folder / "variations.parquet")
            text = json.dumps(summary, indent=2, ensure_ascii=False)
            _write_file(self._folder / "round.json", text.encode())
            for folder in (self._folder / "variations", self._folder / "anchors", self._folder):
                sync_folder(folder)
            os.rename(self._folder, final)
            sync_folder(final.parent)
        self._ledger.write_table()


def _table(rows: list[Variation]) -> pa.Table:
    return pa.Table.from_pylist([asdict(row) for row in rows], schema=SCHEMA)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _write_file(path: Path, content: bytes) -> None:
    with write_errors(path), path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
