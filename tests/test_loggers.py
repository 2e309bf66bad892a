"""Loggers that are asked for, and what they are given."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image

from bradd import loggers
from bradd.errors import BraddError
from bradd.loggers import LoggerName, check_logger, close_loggers, log_picture, run_loggers
from bradd.run import Run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = Run(tmp_path / "one run")
    run.prepare(overwrite=False)
    run.write_config({"cycles": 3, "method": {"class_path": "bradd.SimCLR"}})
    return run


@pytest.mark.parametrize(("name", "module"), [("wandb", "wandb"), ("mlflow", "sqlalchemy")])
def test_a_missing_extra_is_named(
    name: LoggerName, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BraddError, match=rf"pip install 'bradd\[{name}\]'"):
        check_logger(name)
    check_logger("none")


def test_tensorboard_alone_unless_told(run: Run) -> None:
    (logger,) = run_loggers(run, "none")
    assert isinstance(logger, TensorBoardLogger)
    assert logger.log_dir == str(run.folder / "tensorboard")


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_resumed_run_goes_on_where_it_was(name: LoggerName, run: Run) -> None:
    identities = set()
    for step in (1, 2):
        _, logger = run_loggers(run, name)
        logger.log_metrics({"loss": 1.0 / step}, step=step)
        log_picture(logger, "views", Image.new("RGB", (8, 8), "red"), step)
        logger.finalize("success")
        identities.add(logger.version if name == "wandb" else getattr(logger, "run_id"))  # noqa: B009
        close_loggers([logger])
    assert len(identities) == 1
    kind = "wandb/offline-run-*/files/media/images/views*.png"
    pictures = list(run.folder.glob(kind if name == "wandb" else "mlflow/pictures/**/*.png"))
    assert len(pictures) == 2
    assert Image.open(pictures[0]).convert("RGB").getpixel((0, 0)) == (255, 0, 0)
    run.prepare(overwrite=True)  # a new run is not the old one's going on
    assert list(run.folder.iterdir()) == []


def test_two_runs_of_a_process_have_a_database_each(run: Run, tmp_path: Path) -> None:
    other = Run(tmp_path / "other")
    other.prepare(overwrite=False)
    other.write_config({"cycles": 4})
    identities = [getattr(run_loggers(each, "mlflow")[1], "run_id") for each in (run, other)]  # noqa: B009
    assert (other.folder / "mlflow" / "run_id").read_text() == identities[1]
    assert (other.folder / "mlflow" / "mlflow.db").exists()


def test_mlflow_has_the_settings_and_numbers(run: Run) -> None:
    from mlflow.tracking import MlflowClient

    _, logger = run_loggers(run, "mlflow")
    logger.log_metrics({"loss": 0.5}, step=7)
    identity = (run.folder / "mlflow" / "run_id").read_text()
    client = MlflowClient(f"sqlite:///{run.folder}/mlflow/mlflow.db")
    found = client.get_run(identity)
    assert found.info.run_name == "one run"
    assert found.data.params == {"cycles": "3", "method/class_path": "bradd.SimCLR"}
    assert [(m.step, m.value) for m in client.get_metric_history(identity, "loss")] == [(7, 0.5)]


def test_one_that_cannot_be_started_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_: Any) -> Any:
        raise ConnectionError("no server\nthere")

    monkeypatch.setattr(loggers, "_wandb", unreachable)
    with pytest.raises(BraddError, match=r"logger wandb cannot be started: no server there.*none"):
        run_loggers(run, "wandb")
