"""Tables of a comparison: means, confidence intervals, and paired tests corrected for their number.

Arms are compared seed by seed, so that what they have in common, the subset drawn, the first
weights and the order of the images, cancels out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bradd.comparison.measured import Measured
from bradd.evaluation.statistics import holm, mean_interval, paired_test

__all__ = ["comparison_tables"]

Row = dict[str, Any]


def comparison_tables(
    measured: Sequence[Measured],
    arms: Sequence[str],
    references: Sequence[str],
    together: bool = False,
) -> list[dict[str, Any]]:
    """One table for each budget, or a single one.

    Args:
        measured: The finished runs.
        arms: Names of the arms in the order of their rows.
        references: Names of the arms that the others are compared with.
        together: Put runs of different budgets into one table.

    Returns:
        Tables, the smallest budget first, ready for JSON. Each has `budgets` (training samples of
        its runs, ascending) and `rows`. A row has `arm`, `seeds`, `budget`, `variations`, `seconds`
        and `gpu_hours` (means over its runs), `external_data`, `scores` by data, score and group
        (each with `values`, `mean` and `half_width` of the 95 % confidence interval, None for a
        single run) and `contrasts` by reference, data, score and group (each with `difference`, its
        `half_width` and the `seeds` that both have; that of all test images, where there are two
        seeds or more, also with `p` of the paired t test and `p_corrected` by Holm over all tests
        of the table).
    """
    budgets = sorted({run.budget for run in measured})
    groups = [budgets] if together and budgets else [[budget] for budget in budgets]
    return [
        _table([run for run in measured if run.budget in group], arms, references, group)
        for group in groups
    ]


def _table(
    measured: Sequence[Measured], arms: Sequence[str], references: Sequence[str], budgets: list[int]
) -> dict[str, Any]:
    of_arm = {
        arm: runs
        for arm in arms
        if (runs := sorted((r for r in measured if r.arm == arm), key=lambda run: run.seed))
    }
    rows = [_row(runs) for runs in of_arm.values()]
    tests: dict[tuple[frozenset[str], str, str], Row] = {}
    for row in rows:
        for reference in references:
            if reference not in of_arm or row["arm"] == reference:
                continue
            contrasts = row["contrasts"].setdefault(reference, {})
            mine, theirs = of_arm[row["arm"]], of_arm[reference]
            for data, scores in theirs[0].scores.items():
                for score, groups in scores.items():
                    found = {group: _contrast(mine, theirs, data, score, group) for group in groups}
                    contrasts.setdefault(data, {})[score] = found
                    if found["all"]["p"] is not None:
                        # Two references are compared with each other once.
                        pair = frozenset((row["arm"], reference))
                        tests.setdefault((pair, data, score), found["all"])
    _correct(rows, tests)
    return {"budgets": budgets, "tests": len(tests), "rows": rows}


def _row(runs: Sequence[Measured]) -> Row:
    first = runs[0]
    return {
        "arm": first.arm,
        "seeds": [run.seed for run in runs],
        "budget": sum(run.budget for run in runs) / len(runs),
        "variations": sum(run.variations for run in runs) / len(runs),
        "external_data": any(run.external_data for run in runs),
        "seconds": sum(run.seconds for run in runs) / len(runs),
        "gpu_hours": sum(run.seconds * run.gpus for run in runs) / len(runs) / 3600,
        "scores": {
            data: {
                score: {
                    group: _summary([run.scores[data][score][group] for run in runs])
                    for group in groups
                    # With another subset for each seed, a group may be without classes in some.
                    if all(group in run.scores[data][score] for run in runs)
                }
                for score, groups in scores.items()
            }
            for data, scores in first.scores.items()
        },
        "contrasts": {},
    }


def _contrast(
    runs: Sequence[Measured], others: Sequence[Measured], data: str, score: str, group: str
) -> Row:
    """An arm's accuracies less another's, seed by seed; groups are not tested."""
    mine, theirs = (
        {
            run.seed: run.scores[data][score][group]
            for run in part
            if group in run.scores[data][score]
        }
        for part in (runs, others)
    )
    seeds = sorted(mine.keys() & theirs.keys())
    found: Row = {"seeds": seeds, "difference": None, "half_width": None}
    found |= {"p": None, "p_corrected": None}
    if not seeds:
        return found
    one, other = [mine[seed] for seed in seeds], [theirs[seed] for seed in seeds]
    summary = _summary([a - b for a, b in zip(one, other, strict=True)])
    found |= {"difference": summary["mean"], "half_width": summary["half_width"]}
    if group == "all" and len(seeds) > 1:
        found["p"] = paired_test(one, other)
    return found


def _correct(rows: Sequence[Row], tests: dict[tuple[frozenset[str], str, str], Row]) -> None:
    corrected = dict(zip(tests, holm([test["p"] for test in tests.values()]), strict=True))
    for row in rows:
        for reference, by_data in row["contrasts"].items():
            for data, by_score in by_data.items():
                for score, by_group in by_score.items():
                    if by_group["all"]["p"] is not None:
                        pair = frozenset((row["arm"], reference))
                        by_group["all"]["p_corrected"] = corrected[pair, data, score]


def _summary(values: Sequence[float]) -> Row:
    mean, half = mean_interval(values)
    return {
        "values": list(values),
        "mean": mean,
        "half_width": half if math.isfinite(half) else None,
    }
