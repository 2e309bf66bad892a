"""Loggers get numbers and pictures, and change nothing of a run."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bradd import Duplicate, pretrain
from bradd.errors import BraddError
from killable import SETTINGS
from samples import picture


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "photos"
    root.mkdir()
    for number in range(24):
        picture(number).save(root / f"{number:02d}.png")
    return root


def train(photos: Path | None, out: Path, **settings: Any) -> Path:
    given = {"generator": Duplicate(), **SETTINGS, "cycles": 2, "epochs_per_cycle": 1}
    return pretrain(photos, out, **(given | settings))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def usual(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(photos, tmp_path_factory.mktemp("usual") / "run")


def result(run: Path) -> tuple[bytes, bytes, list[list[str]]]:
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = [row[:4] for row in csv.reader(file)]
    return (run / "backbone.safetensors").read_bytes(), (run / "ledger.parquet").read_bytes(), rows


def test_tensorboard_has_numbers_views_and_anchors(usual: Path) -> None:
    events = EventAccumulator(str(usual / "tensorboard")).Reload()
    tags = events.Tags()
    assert sorted(tags["images"]) == ["anchors", "views"]
    assert [event.step for event in events.Images("views")] == [0]
    assert [event.step for event in events.Images("anchors")] == [24 // 8]
    assert {"rank_me", "feature_std"} <= set(tags["scalars"])


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_the_result_is_the_same_with_any_logger(
    name: str, photos: Path, usual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    runs = [train(photos, tmp_path / each, logger=name) for each in ("first", "run")]
    assert result(runs[0]) == result(usual)
    run = runs[1]  # of the same process, and yet in a place of its own
    pictures = [str(path.relative_to(run / name)) for path in (run / name).rglob("*.png")]
    assert len(pictures) == 2
    for kind in ("views", "anchors"):
        assert sum(kind in path for path in pictures) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "first",
        "run",
    ]  # nothing beside the run's folder


def test_nothing_of_a_logger_is_there_unless_it_is_named(usual: Path) -> None:
    assert not {"wandb", "mlflow"} & {path.name for path in usual.iterdir()}


def test_the_logger_may_change_on_resuming(
    photos: Path, usual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = tmp_path / "run"

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("bradd.commands.pretrain.save_backbone", stop)
        with pytest.raises(KeyboardInterrupt):
            train(photos, run, logger="mlflow")
    pretrain(out=run, resume=True, logger="none")
    assert result(run) == result(usual)


def test_a_missing_extra_is_said_before_images_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(BraddError, match=r"pip install 'bradd\[wandb\]'"):
        train(tmp_path / "empty", tmp_path / "run", logger="wandb")
    assert not (tmp_path / "run").exists()
    with pytest.raises(BraddError, match=r"logger is 'wandbb'.*Did you mean 'wandb'"):
        train(tmp_path / "empty", tmp_path / "run", logger="wandbb")


def test_an_interrupt_while_training_is_one(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning alone would end the process with status 1."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bradd.ssl.pretraining.Pretraining.training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(photos, tmp_path / "run")
