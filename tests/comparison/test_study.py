"""Doing a comparison's runs: which are done, by whom, and what failures leave."""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest

from bradd.comparison.arms import STANDARD_ARMS
from bradd.comparison.study import Evaluation, StudyRun, do_runs, results_of, seconds_trained
from bradd.errors import BraddError
from bradd.evaluation.results import add_result
from bradd.lock import locked_if_free
from bradd.run import Run

CONTEXT = multiprocessing.get_context("fork")
EVALUATION = Evaluation(("digits", "/photos"), "standard, seed 0")


def study(folder: Path, **settings: Any) -> list[StudyRun]:
    return [
        StudyRun(STANDARD_ARMS[arm], seed, {"cycles": 1, **settings}, folder / arm / f"seed-{seed}")
        for seed in (0, 1)
        for arm in ("none", "duplicate")
    ]


def train(run: StudyRun) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    with (run.folder / "log").open("a") as log:
        log.write("trained\n")
    Run(run.folder).backbone.touch()


def measure(run: StudyRun, data: str) -> None:
    facts = {"encoder_fingerprint": "x", "data": data, "protocol": EVALUATION.protocol}
    add_result(Run(run.folder).results, facts)


def test_every_run_is_done_once(tmp_path: Path) -> None:
    runs = study(tmp_path)
    for _ in range(2):
        assert do_runs(runs, EVALUATION, train, measure) == {}
    for run in runs:
        assert (run.folder / "log").read_text() == "trained\n"
        assert set(results_of(run, EVALUATION)) == set(EVALUATION.data)
        facts = json.loads(run.folder.with_suffix(".json").read_text())
        assert (facts["arm"], facts["seed"]) == (run.arm.name, run.seed)
        assert facts["devices"] == run.devices() == ["cpu"]
    assert not list(tmp_path.rglob(".*"))


def test_only_what_is_missing_is_evaluated(tmp_path: Path) -> None:
    (run, *_) = study(tmp_path)
    do_runs([run], Evaluation(("digits",), EVALUATION.protocol), train, measure)
    asked = []
    do_runs([run], EVALUATION, train, lambda _, data: asked.append(data))
    assert asked == ["/photos"]
    assert not run.is_finished(EVALUATION)
    other = Evaluation(("digits",), "paper, seed 0")
    assert run.missing(other) == ["digits"]


def test_a_failed_run_does_not_keep_others_from_being_done(tmp_path: Path) -> None:
    runs = study(tmp_path)

    def fail_once(run: StudyRun) -> None:
        if run is runs[1]:
            raise BraddError("the loss is no number")
        train(run)

    failures = do_runs(runs, EVALUATION, fail_once, measure)
    assert failures == {"duplicate, seed 0": "the loss is no number"}
    assert [run.is_finished(EVALUATION) for run in runs] == [True, False, True, True]


def test_whatever_goes_wrong_in_a_run_is_its_failure_alone(tmp_path: Path) -> None:
    def die(run: StudyRun, data: str) -> None:
        raise RuntimeError("a worker died")

    failures = do_runs(study(tmp_path), EVALUATION, train, die)
    assert len(failures) == 4
    assert set(failures.values()) == {"RuntimeError: a worker died"}


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (run, *_) = study(tmp_path)
    run.start()
    run.facts_file.write_text("{")
    failures = do_runs([run], EVALUATION, train, measure)
    assert "seed-0.json cannot be read" in failures[run.name]
    assert "restore it" in failures[run.name]


def test_a_run_that_goes_on_elsewhere_names_both_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run, *_) = study(tmp_path)
    run.start()
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H200")
    run.start()
    run.start()
    assert run.devices() == ["cpu", "NVIDIA H200"]


def test_a_run_whose_process_was_killed_is_taken_over(tmp_path: Path) -> None:
    """By whoever has come to the end meanwhile."""
    runs = study(tmp_path)
    held = tmp_path / "held"
    process = CONTEXT.Process(target=hold, args=(runs[0].folder, held))
    process.start()
    while not held.exists():
        time.sleep(0.001)

    def kill_and_train(run: StudyRun) -> None:
        process.kill()
        process.join(30)
        train(run)

    assert do_runs(runs, EVALUATION, kill_and_train, measure) == {}
    assert all(run.is_finished(EVALUATION) for run in runs)


def hold(folder: Path, held: Path) -> None:
    folder.parent.mkdir(parents=True)
    with locked_if_free(folder):
        held.touch()
        time.sleep(60)


def slowly(folder: Path) -> None:
    def train_slowly(run: StudyRun) -> None:
        time.sleep(0.05)
        train(run)

    do_runs(study(folder), EVALUATION, train_slowly, measure)


def test_several_processes_share_the_runs(tmp_path: Path) -> None:
    processes = [CONTEXT.Process(target=slowly, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    for run in study(tmp_path):
        assert (run.folder / "log").read_text() == "trained\n"
        assert run.is_finished(EVALUATION)


def test_seconds_are_those_of_epochs_and_rounds(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,step,seconds\n0,5,1.5\n1,10,2.0\n")
    assert seconds_trained(tmp_path) == 3.5
    folder = tmp_path / "rounds/01"
    folder.mkdir(parents=True)
    (folder / "round.json").write_text(json.dumps({"seconds": {"embed": 1.0, "generate": 4.0}}))
    assert seconds_trained(tmp_path) == 8.5
