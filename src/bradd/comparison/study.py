"""The runs of a comparison on disk: which there are, which are finished, and doing the others."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bradd.comparison.arms import Arm
from bradd.console import say
from bradd.errors import BraddError
from bradd.evaluation.results import read_results
from bradd.files import write_atomically, write_errors
from bradd.ledger import Ledger
from bradd.lock import locked_if_free
from bradd.run import Run

__all__ = ["Evaluation", "StudyRun", "do_runs", "results_of", "seconds_trained"]

log = logging.getLogger(__name__)

Train = Callable[["StudyRun"], None]
Measure = Callable[["StudyRun", str], None]


@dataclass(frozen=True)
class Evaluation:
    """What each run is measured by.

    Attributes:
        data: What it is evaluated on, as `bradd evaluate` takes and names it.
        protocol: The protocol and the seed in words, as results.json has them.
    """

    data: tuple[str, ...]
    protocol: str


@dataclass(frozen=True)
class StudyRun:
    """One arm with one seed.

    Attributes:
        arm: The arm.
        seed: The seed.
        settings: Of `bradd pretrain`, plain.
        folder: Of the run.
        groups_by: The manifest whose counts say which classes have many images and which few; the
            same for all arms, whatever they are trained on. None: no groups.
    """

    arm: Arm
    seed: int
    settings: dict[str, Any]
    folder: Path
    groups_by: Path | None = None

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.arm.name}, seed {self.seed}"

    @property
    def facts_file(self) -> Path:
        """What there is to know of it beside its folder."""
        return self.folder.with_suffix(".json")

    def is_trained(self) -> bool:
        """Whether its backbone is there."""
        return Run(self.folder).backbone.exists()

    def is_finished(self, evaluation: Evaluation) -> bool:
        """Whether it is trained and evaluated on everything."""
        return self.is_trained() and not self.missing(evaluation)

    def missing(self, evaluation: Evaluation) -> list[str]:
        """The data that it has yet to be evaluated on."""
        found = results_of(self, evaluation)
        return [data for data in evaluation.data if data not in found]

    def start(self) -> None:
        """Write down that it is trained here, for the first time or going on."""
        here = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        devices = self.devices() if self.facts_file.exists() else []
        facts = {
            "arm": self.arm.name,
            "about": self.arm.about,
            "seed": self.seed,
            "devices": list(dict.fromkeys([*devices, here])),
        }
        with write_errors(self.folder):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.facts_file, json.dumps(facts, indent=1) + "\n")

    def devices(self) -> list[str]:
        """Where it was trained: the names of GPUs, or cpu."""
        try:
            facts = json.loads(self.facts_file.read_text(encoding="utf-8"))
            return [str(device) for device in facts["devices"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BraddError(
                f"{self.facts_file} cannot be read ({error!r}): restore it, or remove it and "
                f"{self.folder} to have the run done again."
            ) from error


def do_runs(
    runs: Sequence[StudyRun], evaluation: Evaluation, train: Train, measure: Measure
) -> dict[str, str]:
    """Train and evaluate what is not finished, one after the other.

    Several processes may do this at once, on one machine or several with a common file system: each
    run has a lock, and a run that another process is doing is left to it. If that process has been
    killed meanwhile, whoever comes to the end goes on with the run.

    Args:
        runs: Those of the comparison.
        evaluation: What they are measured by.
        train: Trains a run, or goes on with it.
        measure: Evaluates a run on some data.

    Returns:
        What there is to say of runs that could not be done, by their names.
    """
    failures: dict[str, str] = {}
    tried: set[str] = set()
    while True:
        free = [run for run in runs if run.name not in tried and not run.is_finished(evaluation)]
        done = 0
        for run in free:
            with write_errors(run.folder):
                run.folder.parent.mkdir(parents=True, exist_ok=True)
            with locked_if_free(run.folder) as mine:
                if not mine:
                    say(f"{run.name}: another process is doing it")
                    continue
                tried.add(run.name)
                done += 1
                say(f"\n{run.name} ({runs.index(run) + 1} of {len(runs)})")
                if why := _do(run, evaluation, train, measure):
                    failures[run.name] = why
        if not done:
            return failures


def _do(run: StudyRun, evaluation: Evaluation, train: Train, measure: Measure) -> str:
    """Why it failed; empty if it is finished."""
    try:
        if not run.is_trained():
            run.start()
            train(run)
        for data in run.missing(evaluation):
            measure(run, data)
    except BraddError as error:
        log.error("%s failed: %s", run.name, error)
        return str(error)
    except Exception as error:  # a worker that died, memory that ran out: other runs may be well
        log.exception("%s failed", run.name)
        return f"{type(error).__name__}: {error}"
    return ""


def results_of(run: StudyRun, evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """The run's results by the data they are on."""
    path = Run(run.folder).results
    return {
        result["data"]: result
        for result in (read_results(path) if path.exists() else [])
        if result["protocol"] == evaluation.protocol and result["data"] in evaluation.data
    }


def seconds_trained(folder: Path) -> float:
    """Seconds that training and rounds took, without what a killed process had begun."""
    with Run(folder).metrics.open(newline="", encoding="utf-8") as file:
        epochs = sum(float(row["seconds"]) for row in csv.DictReader(file))
    ledger = Ledger(folder)
    summaries: Iterable[dict[str, Any]] = map(ledger.summary, ledger.committed())
    return epochs + sum(sum(summary["seconds"].values()) for summary in summaries)
