"""Where a run's numbers and pictures go beside metrics.csv: TensorBoard, and what users name."""

from __future__ import annotations

import importlib
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from PIL import Image

from bradd.console import say
from bradd.errors import BraddError
from bradd.files import write_atomically
from bradd.run import Run

__all__ = ["LoggerName", "check_logger", "close_loggers", "log_picture", "run_loggers"]

LoggerName = Literal["none", "wandb", "mlflow"]

# What `pip install bradd[NAME]` brings.
MODULES = {"none": (), "wandb": ("wandb",), "mlflow": ("sqlalchemy", "alembic", "mlflow")}

PROJECT = "bradd"
RUN_ID = "run_id"


def check_logger(name: LoggerName) -> None:
    """Find out before long work whether a logger can be had.

    Raises:
        BraddError: It is not installed.
    """
    # No news of what is used goes to their makers, who are not who was asked to keep the run.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    for module in MODULES[name]:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise BraddError(
                f"logger is {name!r}, which is not installed ({error}): pip install "
                f"'bradd[{name}]'. Without it a run is kept in metrics.csv and for TensorBoard."
            ) from error


def run_loggers(run: Run, name: LoggerName) -> list[Logger]:
    """The loggers of a run, started; a resumed run goes on in the same place.

    Args:
        run: The run.
        name: What is used beside TensorBoard. Weights & Biases and MLflow are told by their own
            environment variables where to send to (WANDB_MODE=offline, MLFLOW_TRACKING_URI);
            without MLFLOW_TRACKING_URI it is a database in the run's folder.

    Raises:
        BraddError: It cannot be started, for example because its server is not reached.
    """
    loggers: list[Logger] = [TensorBoardLogger(run.folder, name="", version="tensorboard")]
    if name == "none":
        return loggers
    try:
        logger = _wandb(run) if name == "wandb" else _mlflow(run)
        logger.log_hyperparams(run.read_config())
    except Exception as error:  # of their own many kinds
        raise BraddError(
            f"logger {name} cannot be started: {' '.join(str(error).split())} Resume without it by "
            "--resume --logger none."
        ) from error
    return [*loggers, logger]


def close_loggers(loggers: Sequence[Logger]) -> None:
    """End what Lightning leaves open: the next run of this process would go on in it."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()


def log_picture(logger: Logger, name: str, picture: Image.Image, step: int) -> None:
    """Give a logger a picture.

    Args:
        logger: Of `run_loggers`; others are given nothing.
        name: What the picture is called.
        picture: RGB.
        step: The training step it belongs to.
    """
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(name, np.asarray(picture), step, dataformats="HWC")
    elif isinstance(logger, WandbLogger):
        logger.log_image(name, [picture], step=step)
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_image(logger.run_id, picture, f"{name}/step-{step:08d}.png")


def _wandb(run: Run) -> WandbLogger:
    import wandb

    folder = run.folder / "wandb"
    identity = _kept(folder) or uuid.uuid4().hex[:8]
    logger = WandbLogger(
        name=_title(run),
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        save_dir=run.folder,
        id=identity,
        resume="allow",
        # The terminal stays bradd's, and neither the code nor what it printed is sent.
        settings=wandb.Settings(console="off", quiet=True, save_code=False, disable_git=True),
    )
    started = logger.experiment
    _keep(folder, identity)
    say(f"  logger: Weights & Biases, {started.url or folder}")
    return logger


def _mlflow(run: Run) -> MLFlowLogger:
    folder = run.folder.resolve() / "mlflow"
    server = os.environ.get("MLFLOW_TRACKING_URI")
    folder.mkdir(exist_ok=True)
    logger = MLFlowLogger(
        experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT),
        run_name=_title(run),
        tracking_uri=server or f"sqlite:///{folder / 'mlflow.db'}",
        artifact_location=None if server else (folder / "pictures").as_uri(),
        run_id=_kept(folder),
    )
    _keep(folder, str(logger.run_id))  # asking for it starts the run
    if server is None:  # MLflow has set it meanwhile; the next run has a database of its own
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    say(f"  logger: MLflow, {server or folder}")
    return logger


def _title(run: Run) -> str:
    return run.folder.resolve().name


def _kept(folder: Path) -> str | None:
    """What the logger calls this run, if it was started before."""
    file = folder / RUN_ID
    return file.read_text(encoding="utf-8") if file.exists() else None


def _keep(folder: Path, identity: str) -> None:
    folder.mkdir(exist_ok=True)
    write_atomically(folder / RUN_ID, identity)
