"""A round's accepted variations as a folder of images that any loader reads."""

from __future__ import annotations

import csv
import io
import os
import shutil
from pathlib import Path, PurePosixPath

from bradd.files import sync_folder, write_errors
from bradd.ledger import Ledger
from bradd.ledger_table import Variation

__all__ = ["write_balanced_folder"]

NAME = "balanced"
# Where images lie in no folder of their own: loaders of labelled folders expect one.
FLAT = "variations"


def write_balanced_folder(ledger: Ledger, cycle: int) -> Path:
    """Lay the accepted variations of a committed round out as their anchors are.

    A variation of `cats/7.jpg` becomes `balanced/cats/7_00000012_03.png` (the anchor's number and
    which of its variations), so that the folder has the same classes and can be read beside the
    data or copied into them. `metadata.csv` names each file's anchor; Hugging Face's image folders
    read it too. The files are links to those of the ledger where the file system has links.

    Args:
        ledger: Of a run.
        cycle: The round.

    Returns:
        The folder, `balanced` beside the ledger, replaced in one step.

    Raises:
        BraddError: The disk is full or cannot be written to.
    """
    folder, made = ledger.folder / NAME, ledger.folder / f".{NAME}.partial"
    rows = [row for row in ledger.variations(cycle) if row.accepted]
    with write_errors(folder):
        for old in (made, folder):
            if old.exists():
                shutil.rmtree(old)
        made.mkdir()
        for row in rows:
            place = made / _place(row)
            place.parent.mkdir(parents=True, exist_ok=True)
            _link(ledger.folder / row.file, place)
        (made / "metadata.csv").write_text(_metadata(rows), encoding="utf-8")
        sync_folder(made)
        os.rename(made, folder)
        sync_folder(ledger.folder)
    return folder


def _place(row: Variation) -> PurePosixPath:
    """Where a variation lies: in its anchor's folders, of which no name leads elsewhere."""
    anchor = PurePosixPath(row.anchor_name.replace("\\", "_"))
    folders = [part for part in anchor.parent.parts if part not in ("/", "..")]
    return PurePosixPath(
        *(folders or [FLAT]), f"{anchor.stem}_{row.anchor:08d}_{row.number:02d}.png"
    )


def _link(source: Path, place: Path) -> None:
    try:
        os.link(source, place)
    except OSError:  # a file system without links
        shutil.copyfile(source, place)


def _metadata(rows: list[Variation]) -> str:
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(("file_name", "anchor", "anchor_score", "own_distance", "seed", "generator"))
    for row in rows:
        anchor = (row.anchor_name, repr(row.anchor_score), repr(row.own_distance))
        writer.writerow((_place(row), *anchor, row.seed, row.generator))
    return table.getvalue()
