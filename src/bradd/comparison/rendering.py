"""A comparison's tables as cells, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bradd.comparison.measured import GROUPS, SCORES

__all__ = ["cells", "markdown", "notes"]

MARK = "*"


def cells(table: dict[str, Any], data: str, references: Sequence[str]) -> list[list[str]]:
    """The rows of a table as text, the header first.

    Args:
        table: One of `comparison_tables`.
        data: Which of the data sets it is about.
        references: The arms that the others are compared with.
    """
    rows = table["rows"]
    groups = [group for group in GROUPS if any(_has(row, data, "linear", group) for row in rows)]
    wanted = [(score, "all") for score in SCORES.values()]
    wanted += [(score, group) for score in SCORES.values() for group in groups]
    compared = [(r, score) for r in references for score in SCORES.values()]
    compared = [(r, score) for r, score in compared if any(r in row["contrasts"] for row in rows)]
    header = ["arm", "runs"]
    header += [score if group == "all" else f"{score}: {group}" for score, group in wanted]
    header += [f"{score} - {reference}" for reference, score in compared]
    header += ["variations", "external data", "minutes"]
    on_gpu = any(row["gpu_hours"] for row in rows)
    header += ["GPU-hours"] if on_gpu else []
    lines = [header]
    several = len(table["budgets"]) > 1
    for row in rows:
        line = [row["arm"], str(len(row["seeds"]))]
        line += [_score(row["scores"][data][score].get(group)) for score, group in wanted]
        line += [
            _contrast(row["contrasts"].get(reference, {}).get(data, {}).get(score))
            for reference, score in compared
        ]
        line += [
            f"{row['variations']:.0f}",
            "yes" if row["external_data"] else "no",
            f"{row['seconds'] / 60:.1f}",
        ]
        line += [f"{row['gpu_hours']:.2f}"] if on_gpu else []
        if several and row["budget"] != table["budgets"][0]:
            line[0] += MARK
        lines.append(line)
    return lines


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
        "Differences are paired by seed; p is that of the paired t test, corrected for all "
        f"{table['tests']} of the table's tests (Holm).",
    ]
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


def _has(row: dict[str, Any], data: str, score: str, group: str) -> bool:
    return group in row["scores"][data][score]


def _score(summary: dict[str, Any] | None) -> str:
    return "-" if summary is None else _with_half(summary["mean"], summary["half_width"], ".1f")


def _contrast(contrast: dict[str, Any] | None) -> str:
    if contrast is None or contrast["difference"] is None:
        return "-"
    difference = _with_half(contrast["difference"], contrast["half_width"], "+.1f")
    return f"{difference} (p {contrast['p_corrected']:.2g})"


def _with_half(value: float, half: float | None, form: str) -> str:
    return f"{value:{form}}" if half is None else f"{value:{form}} ± {half:.1f}"
