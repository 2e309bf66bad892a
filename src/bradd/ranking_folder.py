"""A ranking's folder: tables, what made them, and a page."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bradd.component import settings_of
from bradd.data import FileImages, Images, SubsetImages
from bradd.errors import BraddError
from bradd.files import write_atomically, write_errors
from bradd.ranking.ranking import Ranking, printable
from bradd.reporting.ranking_page import ranking_page
from bradd.run import Run

__all__ = ["check_ranking_folder", "score_table", "write_ranking"]

# Everything written, and so all that overwrite may replace. The last one says that it is whole.
FILES = ("scores.parquet", "anchors.csv", "unreadable.csv", "report.html", "balance.json")
WHOLE = FILES[-1]


def check_ranking_folder(folder: Path, *, overwrite: bool) -> None:
    """Check that a ranking may be written to a folder, and leave everything as it is.

    Args:
        folder: Need not exist.
        overwrite: It may hold a ranking, whose files are replaced, and files of other names.

    Raises:
        BraddError: It holds something else, or a ranking that is not to be replaced, or it cannot
            be made or written to.
    """
    with _folder_errors(folder):
        present = next(path for path in (folder, *folder.parents) if path.exists())
        found = sorted(path.name for path in present.iterdir())
    if not os.access(present, os.W_OK | os.X_OK):
        raise BraddError(
            f"{folder} cannot be written. Choose another --out or change its permissions."
        )
    if present != folder or not found:
        return
    if Run(folder).exists():
        raise BraddError(f"{folder} holds a run of bradd pretrain. Choose another --out.")
    if not overwrite:
        held = "a ranking" if WHOLE in found else ", ".join(found[:3])
        raise BraddError(
            f"{folder} holds {held} already. Choose another --out, or --overwrite to replace the "
            "files of a ranking there; others are left."
        )
    replaced = [name for name in FILES if name in found]
    if replaced and WHOLE not in found:
        raise BraddError(
            f"{folder} holds {', '.join(replaced)} but no {WHOLE}, so they are not those of a "
            "whole ranking and --overwrite leaves them. Remove them yourself, or choose another "
            "--out."
        )


def write_ranking(ranking: Ranking, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write a ranking's tables and page, as `bradd balance --dry_run` does.

    `balance.json` is written last.

    Args:
        ranking: What is written.
        folder: Made if it does not exist.
        overwrite: Replace the ranking that it holds; other files there are left.

    Returns:
        The page's path.

    Raises:
        BraddError: See `check_ranking_folder`; or the disk is full.
    """
    folder = Path(folder).expanduser()
    check_ranking_folder(folder, overwrite=overwrite)
    contents: dict[str, str | bytes] = {
        "scores.parquet": _parquet(score_table(ranking)),
        "anchors.csv": _anchors(ranking),
        "unreadable.csv": _csv(("name", "reason"), ranking.unreadable),
        "report.html": ranking_page(ranking, folder.resolve().name),
        "balance.json": json.dumps(ranking.facts, indent=2, default=settings_of) + "\n",
    }
    with _folder_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / WHOLE).unlink(missing_ok=True)
    for name in FILES:
        write_atomically(folder / name, contents[name])
    return folder / "report.html"


def score_table(ranking: Ranking) -> pa.Table:
    """One row an image: index, name, score, rank, selected, candidate, guard and stands_for.

    The rank is that among the candidates, and absent for the others. `stands_for` is the index of
    the image that stands for a group of duplicates.
    """
    selected = [False] * len(ranking)
    for row in ranking.anchors:
        selected[row] = True
    ranks = ranking.ranks
    return pa.table(
        {
            "index": pa.array(range(len(ranking)), pa.int64()),
            "name": [printable(name) for name in ranking.names],
            "score": ranking.scores,
            "rank": pa.array(ranks, mask=ranks == 0),
            "selected": selected,
            "candidate": ranking.candidates,
            "guard": ranking.reasons.tolist(),
            "stands_for": ranking.stands_for,
        }
    )


def _anchors(ranking: Ranking) -> str:
    """In the order in which they were chosen, which need not be that of the ranks."""
    rows = [
        (
            place,
            ranking.ranks[row],
            ranking.names[row],
            repr(float(ranking.scores[row])),
            _path(ranking.images, row),
        )
        for place, row in enumerate(ranking.anchors.tolist(), start=1)
    ]
    return _csv(("order", "rank", "name", "score", "path"), rows)


def _path(images: Images | None, row: int) -> str:
    """Where an image's file lies; empty for those that have none."""
    while isinstance(images, SubsetImages):
        row = int(images.indices[row])
        images = images.images
    return (
        os.path.abspath(images.root / images.names[row]) if isinstance(images, FileImages) else ""
    )


def _csv(header: tuple[str, ...], rows: list[Any]) -> str:
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(header)
    writer.writerows(rows)
    return table.getvalue()


@contextmanager
def _folder_errors(folder: Path) -> Iterator[None]:
    """Turn what keeps a folder from being made or read into an error that says what to do."""
    try:
        with write_errors(folder):
            yield
    except OSError as error:  # a file of that name, or above it
        raise BraddError(
            f"{folder} cannot hold a ranking ({error.strerror}). Choose another --out."
        ) from error


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()
