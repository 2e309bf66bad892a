"""What a finished run of a comparison came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bradd.comparison.study import Evaluation, StudyRun, results_of, seconds_trained
from bradd.errors import BraddError

__all__ = ["GROUPS", "SCORES", "Measured", "measure_run"]

SCORES = {"knn": "kNN", "linear": "linear"}
GROUPS = ("many", "medium", "few")


@dataclass(frozen=True)
class Measured:
    """A finished run.

    Attributes:
        arm: Name of its arm.
        seed: Its seed.
        budget: Training samples it has seen.
        variations: Accepted variations in its pool.
        external_data: Whether weights or a generator rest on anything but its images.
        seconds: Of training and rounds, without the evaluation at the end.
        gpus: On how many GPUs; 1 also where only a part was.
        scores: Accuracies in percent by data, score (`"kNN"`, `"linear"`) and group (`"all"`: of
            all test images; `"many"`, `"medium"`, `"few"`: mean of those classes' accuracies).
        groups: How the groups are defined; empty where there are none.
    """

    arm: str
    seed: int
    budget: int
    variations: int
    external_data: bool
    seconds: float
    gpus: int
    scores: dict[str, dict[str, dict[str, float]]]
    groups: str


def measure_run(run: StudyRun, evaluation: Evaluation) -> Measured:
    """Read what a finished run came to.

    Raises:
        BraddError: It has not been evaluated, or one of its files is damaged.
    """
    results = results_of(run, evaluation)
    if set(results) != set(evaluation.data):
        raise BraddError(f"{run.folder} has not been evaluated on {', '.join(evaluation.data)}.")
    first = results[evaluation.data[0]]
    definitions = [result["linear"].get("groups", {}) for result in results.values()]
    return Measured(
        arm=run.arm.name,
        seed=run.seed,
        budget=first["training_samples"],
        variations=first["variations"],
        external_data=first["external_data"],
        seconds=seconds_trained(run.folder),
        gpus=int(run.devices() != ["cpu"]),
        scores={
            data: {name: _accuracies(result[key]) for key, name in SCORES.items()}
            for data, result in results.items()
        },
        groups=next((groups["definition"] for groups in definitions if groups), ""),
    )


def _accuracies(summary: dict[str, Any]) -> dict[str, float]:
    groups = summary.get("groups", {})
    return {"all": summary["top1_percent"]} | {
        group: groups[group]["accuracy_percent"] for group in GROUPS if group in groups
    }
