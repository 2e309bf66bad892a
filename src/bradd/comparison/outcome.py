"""What a comparison came to: collected from its runs, written to its folder, and told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bradd.comparison.measured import measure_run
from bradd.comparison.rendering import contrast_cells, markdown, notes, score_cells
from bradd.comparison.study import Evaluation, StudyRun
from bradd.comparison.tables import comparison_tables
from bradd.console import say, show_table
from bradd.files import write_atomically

__all__ = ["outcome_of", "say_outcome", "write_outcome"]


def outcome_of(
    runs: Sequence[StudyRun],
    evaluation: Evaluation,
    arms: Sequence[str],
    references: Sequence[str],
    together: bool,
) -> dict[str, Any]:
    """Collect what the finished runs came to.

    Args:
        runs: All runs.
        evaluation: What they are measured by.
        arms: Names of the arms in the order of their rows.
        references: Names of the arms that the others are compared with.
        together: Put arms of different budgets into one table.

    Returns:
        `tables` as of `comparison_tables`; `data`, `evaluated_on`, `protocol`, `about` (the arms in
        words), `groups` (how they are defined), `devices` (where the runs were trained), `finished`
        and `runs` (how many). Ready for JSON.

    Raises:
        BraddError: A run's file is damaged.
    """
    finished = [run for run in runs if run.is_finished(evaluation)]
    measured = [measure_run(run, evaluation) for run in finished]
    return {
        "data": runs[0].settings["data"],
        "evaluated_on": list(evaluation.data),
        "protocol": evaluation.protocol,
        "about": {run.arm.name: run.arm.about for run in runs},
        "groups": next((one.groups for one in measured if one.groups), ""),
        "devices": sorted({device for run in finished for device in run.devices()}),
        "finished": len(finished),
        "runs": len(runs),
        "tables": comparison_tables(measured, arms, references, together),
    }


def write_outcome(found: dict[str, Any], folder: Path, references: Sequence[str]) -> None:
    """Write comparison.json and comparison.md into the comparison's folder."""
    write_atomically(folder / "comparison.json", json.dumps(found, indent=1) + "\n")
    lines = [
        f"{found['finished']} of {found['runs']} runs, trained on {', '.join(found['devices'])}.",
        f"Protocol: {found['protocol']}.",
    ]
    if found["groups"]:
        lines.append(f"Groups by {found['groups']}; means of their classes' accuracies.")
    lines += ["", *(f"- {name}: {about}" for name, about in found["about"].items())]
    for table in found["tables"]:
        for data in found["evaluated_on"]:
            lines += ["", f"## Evaluated on {Path(data).name}", ""]
            lines += [markdown(score_cells(table, data))]
            if contrasts := contrast_cells(table, data, references):
                lines += [markdown(contrasts)]
            lines += notes(table)
    write_atomically(folder / "comparison.md", "\n".join(lines) + "\n")


def say_outcome(found: dict[str, Any], folder: Path, references: Sequence[str]) -> None:
    """Print the tables, and where they lie."""
    for table in found["tables"]:
        for data in found["evaluated_on"]:
            name = Path(data).name
            header, *rows = score_cells(table, data)
            show_table(f"Accuracy on {name} in %", header, rows)
            if contrasts := contrast_cells(table, data, references):
                show_table(f"Differences on {name} in points", contrasts[0], contrasts[1:])
        for line in notes(table):
            say(line)
    if found["finished"] < found["runs"]:
        say(f"{found['finished']} of {found['runs']} runs are finished; the same command goes on.")
    say(f"Written: {folder / 'comparison.md'} and comparison.json")
