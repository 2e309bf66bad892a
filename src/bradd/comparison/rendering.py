"""A comparison's tables as cells, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bradd.comparison.measured import GROUPS, SCORES

__all__ = ["contrast_cells", "markdown", "notes", "score_cells"]

MARK = "*"


def score_cells(table: dict[str, Any], data: str) -> list[list[str]]:
    """Accuracies of the arms, and what they cost, as text; the header first.

    Args:
        table: One of `comparison_tables`.
        data: Which of the data sets it is about.
    """
    rows = table["rows"]
    wanted = _scores_and_groups(rows, data)
    header = ["arm", "runs"]
    header += [_column(score, group) for score, group in wanted]
    header += ["variations", "external data", "minutes", "GPU-hours"]
    lines = [header]
    for row in rows:
        scores = row["scores"][data]
        line = [_name(row, table), str(len(row["seeds"]))]
        line += [_score(scores[score].get(group)) for score, group in wanted]
        line += [
            f"{row['variations']:.0f}",
            "yes" if row["external_data"] else "no",
            f"{row['seconds'] / 60:.1f}",
            f"{row['gpu_hours']:.2f}",
        ]
        lines.append(line)
    return lines


def contrast_cells(table: dict[str, Any], data: str, references: Sequence[str]) -> list[list[str]]:
    """Differences of the arms to the reference arms as text, the header first; empty without any.

    Args:
        table: One of `comparison_tables`.
        data: Which of the data sets it is about.
        references: The arms that the others are compared with.
    """
    rows = table["rows"]
    columns = [
        (reference, score, group)
        for reference in references
        if any(reference in row["contrasts"] for row in rows)
        for score, group in _scores_and_groups(rows, data)
        if group == "all" or score == "linear"
    ]
    lines = [["arm", *(f"{_column(score, group)} - {one}" for one, score, group in columns)]]
    for row in rows:
        of_data = {name: found[data] for name, found in row["contrasts"].items()}
        cells = [
            _contrast(of_data.get(reference, {}).get(score, {}).get(group))
            for reference, score, group in columns
        ]
        lines.append([_name(row, table), *cells])
    return lines if columns else []


def _scores_and_groups(rows: Sequence[dict[str, Any]], data: str) -> list[tuple[str, str]]:
    """Accuracies of all test images first, then those of the groups that there are."""
    return [(score, "all") for score in SCORES.values()] + [
        (score, group)
        for score in SCORES.values()
        for group in GROUPS
        if any(group in row["scores"][data][score] for row in rows)
    ]


def _column(score: str, group: str) -> str:
    return score if group == "all" else f"{score}: {group}"


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """As a Markdown table."""
    header, *rows = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([header, "|" + "---|" * len(lines[0]), *rows]) + "\n"


def notes(table: dict[str, Any]) -> list[str]:
    """What must be known to read a table."""
    budgets = " or ".join(f"{budget:,.0f}" for budget in table["budgets"])
    lines = [
        f"{budgets} training samples seen in each run. Accuracies in %, the mean over the runs ± "
        "half of its 95 % confidence interval (Student's t).",
    ]
    if table["tests"]:
        lines.append(
            "Differences are paired by seed; p is that of the paired t test, corrected for all "
            f"{table['tests']} of the table's tests (Holm). Groups are not tested."
        )
    if len(table["budgets"]) > 1:
        lines.append(
            f"{MARK} Another budget than {table['budgets'][0]:,.0f} training samples: "
            + ", ".join(
                f"{row['arm']} {row['budget']:,.0f}"
                for row in table["rows"]
                if row["budget"] != table["budgets"][0]
            )
            + ". What comes of more training cannot be told from what comes of the arm."
        )
    return lines


def _name(row: dict[str, Any], table: dict[str, Any]) -> str:
    """The arm's, marked if its budget is not the table's first."""
    return f"{row['arm']}{MARK if row['budget'] != table['budgets'][0] else ''}"


def _score(summary: dict[str, Any] | None) -> str:
    return "-" if summary is None else _with_half(summary["mean"], summary["half_width"], ".1f")


def _contrast(contrast: dict[str, Any] | None) -> str:
    if contrast is None or contrast["difference"] is None:
        return "-"
    difference = _with_half(contrast["difference"], contrast["half_width"], "+.1f")
    p = contrast["p_corrected"]
    return difference if p is None else f"{difference} (p {p:.2g})"


def _with_half(value: float, half: float | None, form: str) -> str:
    value = round(value, 1) + 0.0  # no minus before a zero
    return f"{value:{form}}" if half is None else f"{value:{form}} ± {half:.1f}"
