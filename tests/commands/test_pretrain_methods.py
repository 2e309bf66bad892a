"""Every method through the whole of `bradd pretrain`, and what the encoder starts from."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from bradd import (
    DINO,
    SDCLR,
    DINOViews,
    Duplicate,
    Encoder,
    Method,
    MoCoV3,
    SimCLR,
    load_backbone,
    pretrain,
)
from bradd.errors import BraddError
from bradd.ssl.method import Progress
from bradd.trainer import EpochMetrics
from killable import SETTINGS
from samples import SIZE, picture

TRANSFORMER = {
    "backbone": "vit_tiny_patch16_224",
    "backbone_kwargs": {"depth": 1, "embed_dim": 16, "num_heads": 2, "patch_size": 4},
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "photos"
    for number in range(40):
        path = root / ("a" if number < 20 else "b") / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(path)
    return root


def train(photos: Path, out: Path, **settings: Any) -> Path:
    short = {**SETTINGS, "cycles": 2, "epochs_per_cycle": 1, "generator": Duplicate()}
    return pretrain(photos, out, **{**short, **settings})


def metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        (SimCLR(temperature_schedule="cosine"), {}),
        (MoCoV3(hidden_size=8, projection_size=4), {}),
        (MoCoV3(hidden_size=8, projection_size=4), TRANSFORMER),
        (DINO(output_size=16, hidden_size=8, bottleneck_size=4), {}),
        (
            DINO(output_size=16, hidden_size=8, bottleneck_size=4),
            {**TRANSFORMER, "views": DINOViews(local_count=2, local_side=0.5)},
        ),
        (SDCLR(), {}),
    ],
)
def test_a_run_of_every_method(
    method: Method, settings: dict[str, Any], photos: Path, tmp_path: Path
) -> None:
    run = train(photos, tmp_path / "run", method=method, **settings)
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    backbone, _, _ = load_backbone(run / "backbone.safetensors")
    # What was saved is what the method names as its encoder, and what selected the anchors.
    for name, value in backbone.state_dict().items():
        assert torch.equal(state[f"{method.encoder}.{name}"], value)
    images = torch.randint(0, 256, (4, 3, SIZE, SIZE), dtype=torch.uint8)
    assert np.isfinite(Encoder(backbone, SIZE)(images)).all()
    assert all(float(row["loss"]) > 0 for row in metrics(run))
    # The same run again, from its own config.
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings |= {"out": tmp_path / "again"}
    again = pretrain(**{name: value for name, value in settings.items() if value is not None})
    assert (again / "backbone.safetensors").read_bytes() == (
        run / "backbone.safetensors"
    ).read_bytes()


def test_a_transformer_cannot_be_pruned(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(BraddError, match="Choose a convolutional one"):
        train(photos, tmp_path / "run", method=SDCLR(), **TRANSFORMER)
    assert not (tmp_path / "run").exists()


def test_health_is_followed_and_labels_add_knn(photos: Path, tmp_path: Path) -> None:
    without = metrics(train(photos, tmp_path / "without"))
    labelled = metrics(train(photos, tmp_path / "with", labels=photos))
    for row in labelled:
        assert 0 < float(row["feature_std"]) <= 1
        assert 1 <= float(row["rank_me"]) <= 40
        assert float(row["alignment"]) > 0
        assert float(row["uniformity"]) < 0
        assert 0 <= float(row["knn"]) <= 100
    assert "knn" not in without[0]
    # Looking changes nothing.
    files = [(tmp_path / run / "backbone.safetensors") for run in ("with", "without")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_weights_are_a_starting_point(photos: Path, tmp_path: Path) -> None:
    first = train(photos, tmp_path / "first") / "backbone.safetensors"
    settings = {"weights": first, "learning_rate": 1e-12, "cycles": 1, "seed": 5}
    second = train(photos, tmp_path / "second", **settings) / "backbone.safetensors"
    start, end = (dict(load_backbone(path)[0].named_parameters()) for path in (first, second))
    for name, value in start.items():
        torch.testing.assert_close(end[name], value)
    with pytest.raises(BraddError, match=r"none\.pth does not exist"):
        train(photos, tmp_path / "third", weights=tmp_path / "none.pth")
    assert not (tmp_path / "third").exists()


def test_larger_images_may_be_kept_in_memory_as_squares(photos: Path, tmp_path: Path) -> None:
    large = tmp_path / "photos"
    large.mkdir()
    for number in range(40):
        picture(number, 48).resize((72, 48)).save(large / f"{number:02d}.png")
    run = train(large, tmp_path / "run", cache=32)
    assert len(metrics(run)) == 2


def test_a_round_then_killed_resumes_exactly_from_images_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variations are larger than these images; they must not decide how the images are kept."""
    small = tmp_path / "photos"
    small.mkdir()
    for number in range(40):
        picture(number, 12).save(small / f"{number:02d}.png")
    whole = train(small, tmp_path / "whole")
    start_epoch = EpochMetrics.on_train_epoch_start

    def killed(self: EpochMetrics, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 1:
            raise InterruptedError
        start_epoch(self, trainer, module)

    monkeypatch.setattr(EpochMetrics, "on_train_epoch_start", killed)
    with pytest.raises(InterruptedError):
        train(small, tmp_path / "killed")
    monkeypatch.setattr(EpochMetrics, "on_train_epoch_start", start_epoch)
    assert (tmp_path / "killed" / "rounds" / "01").is_dir()
    resumed = pretrain(out=tmp_path / "killed", resume=True)
    for name in ("backbone.safetensors", "ledger.parquet"):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()


def test_resuming_needs_no_starting_weights(photos: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    first = train(photos, tmp_path / "first", cycles=1)
    weights.write_bytes((first / "backbone.safetensors").read_bytes())
    run = train(photos, tmp_path / "run", cycles=1, weights=weights)
    trained = (run / "backbone.safetensors").read_bytes()
    weights.unlink()
    (run / "backbone.safetensors").unlink()
    pretrain(out=run, resume=True)
    assert (run / "backbone.safetensors").read_bytes() == trained


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": "nowhere"}, "nowhere"),
        ({"weights": "nowhere.pth"}, r"nowhere\.pth does not exist"),
        ({"backbone": "resnet_18"}, "Did you mean"),
    ],
)
def test_cheap_mistakes_are_found_before_images_are_read(
    settings: dict[str, Any],
    message: str,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(*_: Any) -> None:
        raise AssertionError("images were read")

    monkeypatch.setattr("bradd.commands.pretrain.open_training_set", read)
    with pytest.raises(BraddError, match=message):
        train(photos, tmp_path / "run", **settings)


def test_a_run_that_diverges_keeps_its_last_good_checkpoint(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here in the last step of the second epoch, of which no loss tells."""

    def diverge(method: SimCLR, backbone: Any, progress: Progress) -> None:
        if progress.step == 9:
            next(backbone.parameters()).data.fill_(float("inf"))

    monkeypatch.setattr(SimCLR, "after_step", diverge)
    with pytest.raises(BraddError, match=r"end of epoch 1 \(step 10\).*learning_rate"):
        train(photos, tmp_path / "run", cycles=1, epochs_per_cycle=3, health_every_n_epochs=3)
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 5
    assert all(value.isfinite().all() for value in checkpoint["state_dict"].values())


@pytest.mark.slow
@pytest.mark.parametrize("method", [SimCLR(), SDCLR()])
def test_a_compiled_run_trains_the_same(method: Method, photos: Path, tmp_path: Path) -> None:
    plain, compiled = (
        dict(load_backbone(run / "backbone.safetensors")[0].named_parameters())
        for run in (
            train(photos, tmp_path / str(compiled), cycles=1, method=method, compile=compiled)
            for compiled in (False, True)
        )
    )
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, rtol=0.01, atol=1e-3)
