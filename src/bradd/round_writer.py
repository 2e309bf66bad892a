"""Writing a round so that it appears whole, and goes on where it was killed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bradd.embedding_map import SAMPLE, sample_table
from bradd.files import sync_folder, write_atomically, write_errors
from bradd.ledger import GENERATOR, JOURNAL, KEY, VIEWS, Ledger
from bradd.ledger_table import Variation, as_table

__all__ = ["RoundWriter"]


class RoundWriter:
    """A round being written, in a hidden folder, invisible until `commit`.

    When all variations of some anchors are written, a line in a journal says so. What a killed
    process left is taken up again if it had the same key: its journal's groups need not be made
    again. Pictures that no line names are removed.

    Args:
        ledger: Of the run.
        cycle: The cycle that has ended.
        key: All that the round follows from, as plain values. Default: what another process left
            is never taken up.

    Attributes:
        rows: The variations written so far.
        generator_folder: The generator's own place. In a new round it holds what the generator of
            the round before left.

    Raises:
        BraddError: The disk is full or cannot be written to.
    """

    def __init__(self, ledger: Ledger, cycle: int, key: Mapping[str, Any] | None = None) -> None:
        self.rows: list[Variation] = []
        self._ledger = ledger
        self._cycle = cycle
        self._folder = ledger.folder / "rounds" / f".{cycle:02d}.partial"
        self.generator_folder = self._folder / GENERATOR
        self._groups: list[dict[str, Any]] = []
        text = json.dumps(key, indent=2, default=str)
        with write_errors(self._folder):
            kept = self._folder / KEY
            if key is not None and kept.exists() and kept.read_text(encoding="utf-8") == text:
                return
            self._begin(text)

    def finished(self, groups: Sequence[Sequence[int]]) -> int:
        """Take up what another process finished of this round.

        Args:
            groups: The round's anchors as they will be made, `finish_group` by `finish_group`.

        Returns:
            How many of the groups, from the first on, need not be made again; their variations are
            among `rows`. Where other groups were finished than these, nothing is kept.
        """
        self._groups = self._journal()
        anchors = [group["anchors"] for group in self._groups]
        if anchors != [list(group) for group in groups[: len(anchors)]]:
            self._groups = []
        self.rows = [Variation(**row) for group in self._groups for row in group["rows"]]
        with write_errors(self._folder):
            lines = [_line(group) for group in self._groups]
            write_atomically(self._folder / JOURNAL, "".join(lines))
            known = {Path(row.file).name for row in self.rows}
            known |= {_anchor_file(row.anchor) for row in self.rows}
            for folder in ("variations", "anchors"):
                for path in (self._folder / folder).iterdir():
                    if path.name not in known:
                        path.unlink()
        return len(self._groups)

    def store_views(self, images: int, size: int) -> np.ndarray:
        """Room on disk for the centre views of a round, uint8 `[N, 3, S, S]`; gone at `commit`."""
        with write_errors(self._folder):
            return np.lib.format.open_memmap(
                self._folder / VIEWS, mode="w+", dtype=np.uint8, shape=(images, 3, size, size)
            )

    def add_anchor(self, anchor: int, image: Image.Image) -> None:
        """Keep the picture of an anchor as the encoder saw it, for the page."""
        _write_file(self._folder / "anchors" / _anchor_file(anchor), _png(image, {}))

    def add(self, image: Image.Image, text: Mapping[str, str] | None = None, **row: Any) -> None:
        """Write a variation's picture and remember its row.

        Args:
            image: 8-bit RGB.
            text: What the file itself says of where it comes from; see `bradd.provenance`.
            **row: `Variation`'s fields but `variation`, `cycle`, `file` and `sha256`.

        Raises:
            BraddError: The disk is full or cannot be written to.
        """
        name = f"{row['anchor']:08d}_{row['number']:03d}_{row['attempt']}.png"
        picture = _png(image, text or {})
        _write_file(self._folder / "variations" / name, picture)
        self.rows.append(
            Variation(
                variation=len(self.rows),
                cycle=self._cycle,
                file=f"rounds/{self._cycle:02d}/variations/{name}",
                sha256=hashlib.sha256(picture).hexdigest(),
                **row,
            )
        )

    def finish_group(self, anchors: Sequence[int]) -> None:
        """Say that all variations of these anchors are written, for good."""
        before = sum(len(group["rows"]) for group in self._groups)
        group = {"anchors": list(anchors), "rows": [asdict(row) for row in self.rows[before:]]}
        with write_errors(self._folder):
            for name in ("variations", "anchors"):
                sync_folder(self._folder / name)
            with (self._folder / JOURNAL).open("ab") as file:
                file.write(_line(group).encode())
                file.flush()
                os.fsync(file.fileno())
        self._groups.append(group)

    def add_selection(self, columns: dict[str, np.ndarray | list[str]]) -> None:
        """Write `selection.parquet`: one row for each image of the pool."""
        with write_errors(self._folder):
            pq.write_table(pa.table(columns), self._folder / "selection.parquet")

    def add_sample(self, views: np.ndarray, seed: int) -> None:
        """Keep small pictures of some images, for the page's map; see `sample_table`."""
        with write_errors(self._folder):
            pq.write_table(sample_table(views, seed), self._folder / SAMPLE)

    def commit(self, summary: dict[str, Any]) -> None:
        """Make the round visible, whole, by one rename."""
        final = self._ledger.round_folder(self._cycle)
        with write_errors(self._folder):
            pq.write_table(as_table(self.rows), self._folder / "variations.parquet")
            text = json.dumps(summary, indent=2, ensure_ascii=False)
            _write_file(self._folder / "round.json", text.encode())
            _sync_all(self._folder)
            os.rename(self._folder, final)
            sync_folder(final.parent)
        self._ledger.settle()

    def _begin(self, key: str) -> None:
        """Make the folder anew; its key comes last, so that half a beginning is none."""
        if self._folder.exists():
            shutil.rmtree(self._folder)
        for name in ("variations", "anchors"):
            (self._folder / name).mkdir(parents=True)
        earlier = [cycle for cycle in self._ledger.committed() if cycle < self._cycle]
        left = self._ledger.round_folder(earlier[-1]) / GENERATOR if earlier else None
        if left is not None and left.is_dir():
            shutil.copytree(left, self.generator_folder)
        self.generator_folder.mkdir(exist_ok=True)
        write_atomically(self._folder / KEY, key)

    def _journal(self) -> list[dict[str, Any]]:
        """The journal's groups up to the first line that is no whole one: a kill leaves half."""
        path = self._folder / JOURNAL
        groups: list[dict[str, Any]] = []
        for line in path.read_bytes().splitlines() if path.exists() else []:
            try:
                groups.append(json.loads(line))
            except ValueError:
                break
        return groups


def _line(group: dict[str, Any]) -> str:
    return json.dumps(group) + "\n"


def _anchor_file(anchor: int) -> str:
    return f"{anchor:08d}.png"


def _png(image: Image.Image, text: Mapping[str, str]) -> bytes:
    buffer, chunks = io.BytesIO(), PngInfo()
    for keyword, value in text.items():
        chunks.add_text(keyword, value)
    image.save(buffer, format="PNG", pnginfo=chunks)
    return buffer.getvalue()


def _write_file(path: Path, content: bytes) -> None:
    with write_errors(path), path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_all(folder: Path) -> None:
    """Bring everything in a folder to the disk."""
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)
