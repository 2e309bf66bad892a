"""report.html of a comparison: its tables, intervals as figures, and where its runs' pages are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from bradd.comparison.measured import SCORES
from bradd.comparison.rendering import contrast_cells, notes, score_cells
from bradd.comparison.study import StudyRun
from bradd.files import write_atomically
from bradd.reporting.interval_figure import Interval, interval_figure
from bradd.reporting.templates import render

__all__ = ["write_comparison_page"]


def write_comparison_page(
    found: dict[str, Any], folder: Path, references: Sequence[str], runs: Sequence[StudyRun]
) -> Path:
    """Write the page.

    Args:
        found: What the comparison came to, see `outcome_of`.
        folder: Of the comparison.
        references: The arms that the others are tested against.
        runs: All runs of the comparison.

    Returns:
        The page's path.
    """
    page = folder / "report.html"
    parts = [
        _part(table, data, number, references)
        for number, (table, data) in enumerate(
            (table, data) for table in found["tables"] for data in found["evaluated_on"]
        )
    ]
    devices = ", ".join(found["devices"]) or "no device yet"
    html = render(
        "comparison.html.j2",
        kind="bradd compare",
        name=folder.resolve().name,
        source="the runs of this comparison",
        summary=(
            f"{found['finished']} of {found['runs']} runs are finished, trained on {devices}. "
            f"Data: {found['data']}."
        ),
        protocol=found["protocol"],
        groups=found["groups"],
        about=found["about"],
        parts=parts,
        runs=[(run.name, _link(run, folder)) for run in runs],
    )
    write_atomically(page, html.encode())
    return page


def _part(
    table: dict[str, Any], data: str, number: int, references: Sequence[str]
) -> dict[str, Any]:
    """What is shown of one table on one data set."""
    figures = [
        interval_figure(
            f"scores-{number}-{place}", f"{score}, all test images", "accuracy in %", rows
        )
        for place, score in enumerate(SCORES.values())
        if (rows := _scores(table, data, score))
    ]
    figures += [
        interval_figure(
            f"differences-{number}-{place}-{against}",
            f"{score} - {reference}",
            "difference in points",
            rows,
            zero=True,
        )
        for against, reference in enumerate(references)
        for place, score in enumerate(SCORES.values())
        if (rows := _differences(table, data, score, reference))
    ]
    return {
        "id": f"table-{number}",
        "title": Path(data).name,
        "tables": [
            ("Accuracies", score_cells(table, data)),
            ("Differences", contrast_cells(table, data, references)),
        ],
        "figures": [Markup(figure) for figure in figures],
        "notes": notes(table),
    }


def _scores(table: dict[str, Any], data: str, score: str) -> list[Interval]:
    found = [(row["arm"], row["scores"][data][score]["all"]) for row in table["rows"]]
    return [Interval(arm, one["mean"], one["half_width"], one["values"]) for arm, one in found]


def _differences(table: dict[str, Any], data: str, score: str, reference: str) -> list[Interval]:
    found = [
        (row["arm"], row["contrasts"][reference][data][score]["all"])
        for row in table["rows"]
        if reference in row["contrasts"]
    ]
    return [
        Interval(arm, one["difference"], one["half_width"])
        for arm, one in found
        if one["difference"] is not None
    ]


def _link(run: StudyRun, folder: Path) -> str:
    """To the run's own page, relative to the comparison's; empty if there is none yet."""
    page = run.folder / "report.html"
    return quote(page.relative_to(folder).as_posix()) if page.exists() else ""
