"""Reading a run's folder: what is there, checked; what is absent, empty."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from bradd.errors import BraddError
from bradd.ledger_table import Variation

__all__ = ["Round", "Run", "Selection", "damaged", "read_run"]

PARTS = (
    "config.yaml",
    "metrics.csv",
    "manifest.json",
    "unreadable.csv",
    "ledger.parquet",
    "rounds",
    "results.json",
)


LEDGER_COLUMNS = [field.name for field in fields(Variation)]
MAP_COLUMNS = ["map_x", "map_y"]  # rounds of before there was a map lack them
MOST_FOLDERS = 200  # of images that say by their folder what they are


@dataclass(frozen=True)
class Selection:
    """One round's scores.

    Attributes:
        scores: The score of every image, larger means more under-represented, float64 `[N]`.
        selected: Which images became anchors, bool `[N]`.
        candidates: Which images could have, bool `[N]`.
        anchors: Name and score of each anchor, by its image index.
        suspected: Name of each image suspected of being broken, and why, by its image index.
        places: Where each lies on the map, `[N, 2]`; None without a map.
        groups: The cluster of each, int64 `[N]`; None without.
        folders: The number of each image's folder, int64 `[N]`; None where they lie in one, or in
            more than can be told apart.
        folder_names: Of these folders.
    """

    scores: np.ndarray
    selected: np.ndarray
    candidates: np.ndarray
    anchors: dict[int, tuple[str, float]]
    suspected: dict[int, tuple[str, str]]
    places: np.ndarray | None = None
    groups: np.ndarray | None = None
    folders: np.ndarray | None = None
    folder_names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Round:
    """One round of select and generate: `facts` is round.json, `folder` is rounds/01."""

    cycle: int
    folder: Path
    facts: dict[str, Any]
    selection: Selection | None


@dataclass(frozen=True)
class Run:
    """A run's folder. Every part but `folder` is empty where the folder lacks it.

    Attributes:
        folder: Where the run lies.
        settings: The resolved config.yaml.
        metrics: Column -> values, float64 `[epochs]`; NaN where a cell is blank.
        manifest: What a long-tailed subset was cut to.
        unreadable: (name, reason) of each image that could not be decoded.
        ledger: Every picture that was generated, in the ledger's order; what the table lacks is NaN
            or empty.
        rounds: By cycle.
        results: Evaluations.
    """

    folder: Path
    settings: dict[str, Any]
    metrics: dict[str, np.ndarray]
    manifest: dict[str, Any]
    unreadable: list[tuple[str, str]]
    ledger: list[Variation]
    rounds: list[Round]
    results: list[dict[str, Any]]


def read_run(folder: Path) -> Run:
    """Read what a run's folder holds so far.

    Raises:
        BraddError: The folder is no run, or one of its files is damaged (the file is named).
    """
    if not any((folder / part).exists() for part in PARTS):
        raise BraddError(f"{folder} holds no run: give a folder that bradd wrote.")
    ledger = _read_ledger(folder / "ledger.parquet")
    return Run(
        folder=folder,
        settings=_read_settings(folder / "config.yaml"),
        metrics=_read_metrics(folder / "metrics.csv"),
        manifest=_read_json(folder / "manifest.json", dict),
        unreadable=[
            (row.get("name") or "", row.get("reason") or "")
            for row in _read_csv(folder / "unreadable.csv", ("name", "reason"))
        ],
        ledger=ledger,
        rounds=_read_rounds(folder, {row.cycle for row in ledger}),
        results=_read_results(folder / "results.json"),
    )


def damaged(path: Path, why: object) -> BraddError:
    """What to raise for a file of a run that cannot be read."""
    return BraddError(
        f"{path} cannot be read: {why}. It is damaged or was copied in part: "
        "copy it again from where the run was made, or remove it."
    )


def _read_settings(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise damaged(path, error) from error
    if not isinstance(settings, dict):
        raise damaged(path, "it is not a mapping of settings")
    return settings


def _read_json(path: Path, kind: type[Any]) -> Any:
    if not path.exists():
        return kind()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise damaged(path, error) from error
    if not isinstance(content, kind):
        raise damaged(path, f"it holds a {type(content).__name__}, not a {kind.__name__}")
    return content


def _read_results(path: Path) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = _read_json(path, list)
    if not all(isinstance(result, Mapping) for result in results):
        raise damaged(path, "an evaluation in it is not a mapping")
    return results


def _read_csv(path: Path, required: tuple[str, ...]) -> list[dict[str, str | None]]:
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise damaged(path, error) from error
    missing = [column for column in required if column not in (reader.fieldnames or [])]
    if missing and (rows or reader.fieldnames):
        raise damaged(path, f"it lacks the column {missing[0]!r}")
    return rows


def _read_metrics(path: Path) -> dict[str, np.ndarray]:
    rows = _read_csv(path, ("epoch",))
    metrics: dict[str, np.ndarray] = {}
    for column in (name for name in (rows[0] if rows else {}) if name is not None):
        try:
            # A run that is being written, or was killed, may end in half a line.
            metrics[column] = np.array([float(row[column] or "nan") for row in rows])
        except ValueError as error:
            raise damaged(path, f"column {column!r} is not all numbers ({error})") from error
    return metrics


def _read_table(path: Path, columns: list[str], optional: Sequence[str] = ()) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error
    for column in columns:
        if column not in table.column_names:
            raise damaged(path, f"it lacks the column {column!r}")
    return table.select([*columns, *(name for name in optional if name in table.column_names)])


def _read_ledger(path: Path) -> list[Variation]:
    if not path.exists():
        return []
    required = [name for name in LEDGER_COLUMNS if name not in MAP_COLUMNS]
    rows = [
        Variation(**{name: _filled(name, row.get(name)) for name in LEDGER_COLUMNS})
        for row in _read_table(path, required, MAP_COLUMNS).to_pylist()
    ]
    for row in rows:
        file = PurePosixPath(row.file)
        if file.is_absolute() or ".." in file.parts:
            raise damaged(path, f"variation {row.variation} names a file outside the run: {file}")
    return rows


def _filled(column: str, value: Any) -> Any:
    """An absent distance is NaN, an absent text empty."""
    if value is not None:
        return value
    return float("nan") if column.endswith(("_distance", "_score", "_x", "_y")) else ""


def _read_rounds(folder: Path, ledger_cycles: set[int]) -> list[Round]:
    parent = folder / "rounds"
    on_disk = {int(entry.name) for entry in parent.glob("[0-9]*") if entry.name.isdecimal()}
    rounds = []
    for cycle in sorted(on_disk | ledger_cycles):
        place = parent / f"{cycle:02d}"
        selection = _read_selection(place / "selection.parquet")
        rounds.append(Round(cycle, place, _read_json(place / "round.json", dict), selection))
    return rounds


def _read_selection(path: Path) -> Selection | None:
    if not path.exists():
        return None
    table = _read_table(
        path,
        ["index", "name", "score", "selected", "candidate", "guard"],
        [*MAP_COLUMNS, "group"],
    )
    mapped = all(column in table.column_names for column in MAP_COLUMNS)
    folders, folder_names = _folders(table["name"])
    guarded = pc.greater(pc.utf8_length(pc.fill_null(table["guard"], "")), 0)
    return Selection(
        scores=table["score"].to_numpy().astype(np.float64),
        selected=table["selected"].to_numpy().astype(bool),
        candidates=table["candidate"].to_numpy().astype(bool),
        # Names are taken only where they are shown: there may be millions.
        anchors=_by_index(table.filter(table["selected"]), "name", "score"),
        suspected=_by_index(table.filter(guarded), "name", "guard"),
        places=np.column_stack([table[column] for column in MAP_COLUMNS]) if mapped else None,
        groups=table["group"].to_numpy() if "group" in table.column_names else None,
        folders=folders,
        folder_names=folder_names,
    )


def _folders(names: pa.ChunkedArray) -> tuple[np.ndarray | None, list[str]]:
    """The number of each image's folder, and the folders' names; those of variations come last."""
    parents = pc.replace_substring_regex(names, "/?[^/]*$", "").combine_chunks()
    coded = pc.dictionary_encode(parents)
    found = coded.dictionary.to_pylist()
    of_images = [name for name in found if not name.startswith("rounds/")]
    if not 2 <= len(of_images) <= MOST_FOLDERS:
        return None, []
    return coded.indices.to_numpy().astype(np.int64), [name or "." for name in found]


def _by_index(table: pa.Table, *columns: str) -> dict[int, tuple[Any, ...]]:
    values = zip(*(table[column].to_pylist() for column in columns), strict=True)
    return dict(zip(table["index"].to_pylist(), values, strict=True))
