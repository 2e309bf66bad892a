"""Evaluation of runs and timm checkpoints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from bradd import Duplicate, evaluate, load_backbone, pretrain
from bradd.cli import main
from bradd.errors import BraddError
from killable import SETTINGS
from samples import SIZE, picture

CHANNELS = {"channels": [4, 4, 8, 8]}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty pictures in two class folders."""
    root = tmp_path_factory.mktemp("data") / "photos"
    for number in range(60):
        path = root / ("frequent" if number % 2 else "rare") / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(path)
    return root


@pytest.fixture(scope="module")
def tailed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a long-tailed subset of the pictures."""
    out = tmp_path_factory.mktemp("tailed") / "run"
    settings = {**SETTINGS, "cycles": 2, "epochs_per_cycle": 1}
    return pretrain(photos, out, longtail="exponential:3", generator=Duplicate(), **settings)


def scores(result: dict[str, Any]) -> list[Any]:
    return [result["knn"], result["linear"], result["encoder_fingerprint"], result["rank_me"]]


def refused(**arguments: Any) -> str:
    with pytest.raises(BraddError) as caught:
        evaluate(**{"num_workers": 0, **arguments})
    return str(caught.value)


def test_a_run_with_a_manifest_has_groups(tailed: Path, photos: Path) -> None:
    (result,) = evaluate(tailed, num_workers=0)
    manifest = json.loads((tailed / "manifest.json").read_text())
    for probe in ("knn", "linear"):
        groups = result[probe]["groups"]
        named = {group for group in ("many", "medium", "few") if group in groups}
        expected = {"few" if count < 20 else "medium" for count in manifest["counts"].values()}
        assert named == expected
        assert result[probe]["images"] == 12
    assert result["data"] == str(photos)
    assert (result["training_images"], result["test_images"]) == (48, 12)
    images = sum(manifest["counts"].values())
    assert result["training_samples"] == 2 * (images // 8) * 8
    assert result["variations"] == 6
    assert result["external_data"] is False
    assert json.loads((tailed / "results.json").read_text()) == json.loads(json.dumps([result]))
    assert "kNN" in (tailed / "report.html").read_text()


def test_a_checkpoint_is_scored_as_the_run_that_wrote_it(
    tailed: Path, photos: Path, tmp_path: Path
) -> None:
    (expected,) = evaluate(str(tailed), str(photos), num_workers=0)
    out = tmp_path / "results.json"
    (found,) = evaluate(
        data=str(photos),
        checkpoint=str(tailed / "backbone.safetensors"),
        backbone="resnet18",
        backbone_kwargs=CHANNELS,
        image_size=SIZE,
        num_workers=0,
        out=str(out),
    )
    for result in (expected, found):
        for probe in ("knn", "linear"):
            result[probe].pop("groups", None)
    assert scores(found) == scores(expected)
    assert "training_samples" not in found
    assert len(json.loads(out.read_text())) == 1


def test_a_checkpoint_with_a_classifier(photos: Path, tmp_path: Path) -> None:
    """As timm and torch save it; the classifier is left out."""
    torch.manual_seed(0)
    model = timm.create_model("resnet18", num_classes=7, **CHANNELS)
    settings = {"backbone": "resnet18", "backbone_kwargs": CHANNELS, "image_size": 65}
    results = []
    for classes in (7, 0):
        model.reset_classifier(classes)
        path = tmp_path / f"{classes}.pth"
        torch.save({"state_dict": model.state_dict()}, path)
        results += evaluate(data=str(photos), checkpoint=str(path), num_workers=0, **settings)
    assert scores(results[0]) == scores(results[1])
    assert (tmp_path / "results.json").exists()


def test_random_weights(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    (result,) = evaluate(
        data=str(photos),
        backbone="resnet18",
        backbone_kwargs=CHANNELS,
        image_size=SIZE,
        num_workers=0,
        out=str(out),
    )
    assert result["name"] == "resnet18 (random weights)"
    assert out.exists()


def test_what_the_run_could_not_read_is_left_out(tmp_path: Path) -> None:
    data = tmp_path / "photos"
    for number in range(40):
        path = data / ("a" if number % 2 else "b") / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(path)
    for name in ("00.png", "02.png", "04.png", "06.png", "08.png", "10.png"):
        (data / "b" / name).write_bytes(b"no picture")
    settings = {**SETTINGS, "cycles": 1, "epochs_per_cycle": 1}
    run = pretrain(data, tmp_path / "run", max_unreadable=0.5, **settings)
    (result,) = evaluate(run, num_workers=0)
    assert result["training_images"] + result["test_images"] == 34


def test_several_runs_are_shown_as_rows(
    tailed: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = f"{tailed}, {tailed}"
    assert main(["evaluate", "--run", runs, f"--data={photos}", "--num_workers=0"]) == 0
    shown = capsys.readouterr().out
    assert f"Accuracy on {photos.name} in %" in shown
    assert shown.count(f"{tailed}  6  ") == 2


def test_an_unfinished_run_is_refused(tailed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_bytes((tailed / "config.yaml").read_bytes())
    message = refused(run=run)
    assert "is not finished" in message
    assert f"--out {run} --resume" in message
    assert not (run / "results.json").exists()


def test_a_damaged_backbone_is_named(tailed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_bytes((tailed / "config.yaml").read_bytes())
    (run / "backbone.safetensors").write_bytes(b"no weights")
    assert str(run / "backbone.safetensors") in refused(run=run)


def test_a_wrong_run_ends_it_before_work_on_the_others(tailed: Path, tmp_path: Path) -> None:
    page = (tailed / "report.html").stat().st_mtime_ns
    assert f"{tmp_path} holds no run" in refused(run=f"{tailed},{tmp_path}")
    assert (tailed / "report.html").stat().st_mtime_ns == page


def test_what_is_missing_is_said(tailed: Path) -> None:
    assert "--run FOLDER, or --backbone" in refused()
    assert "--run FOLDER, or --backbone" in refused(run=tailed, backbone="resnet18")
    assert "--data" in refused(backbone="resnet18", image_size=SIZE)
    assert "'resnet19'. Did you mean" in refused(backbone="resnet19", data="digits")


def test_wrong_data_is_named(tailed: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    picture(0).save(flat / "0.png")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert f"{flat} lie outside of the class folders" in refused(run=tailed, data=str(flat))
    assert f"{empty} is empty" in refused(run=tailed, data=str(empty))
    assert "Did you mean 'digits'?" in refused(run=tailed, data="digit")
    (flat / "0.png").unlink()
    (flat / "a").mkdir()
    picture(0).save(flat / "a" / "0.png")
    assert "single class folder 'a'" in refused(run=tailed, data=str(flat))


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.pth", b"no weights"), ("x.safetensors", b"no weights"), ("y.pth", b"")],
)
def test_a_broken_checkpoint_is_named(
    name: str, content: bytes, photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    message = refused(data=str(photos), checkpoint=str(path), backbone="resnet18", image_size=SIZE)
    assert message.startswith(f"weights: {path} is ")


def test_a_checkpoint_of_another_model_is_named(tailed: Path, photos: Path, tmp_path: Path) -> None:
    path = tailed / "backbone.safetensors"
    settings = {"data": str(photos), "checkpoint": str(path), "image_size": SIZE}
    message = refused(backbone="resnet34", backbone_kwargs=CHANNELS, **settings)
    assert f"the weights in {path} are not those of resnet34" in message
    missing = refused(
        data=str(photos), checkpoint=str(tmp_path / "none"), backbone="resnet18", image_size=SIZE
    )
    assert "none does not exist" in missing


def test_a_checkpoint_runs_no_code(photos: Path, tmp_path: Path) -> None:
    """Checkpoints are read as weights alone, never as pickled programs."""

    class Program:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "was run",))

    torch.save({"state_dict": Program()}, tmp_path / "evil.pth")
    refused(
        data=str(photos),
        checkpoint=str(tmp_path / "evil.pth"),
        backbone="resnet18",
        image_size=SIZE,
    )
    assert not (tmp_path / "was run").exists()


def test_the_backbone_file_says_how_it_is_built(tailed: Path) -> None:
    model, plan, facts = load_backbone(tailed / "backbone.safetensors")
    assert (plan.name, plan.image_size, plan.kwargs) == ("resnet18", SIZE, CHANNELS)
    assert facts == {"seed": 0}
    assert model(torch.zeros(2, 3, SIZE, SIZE)).shape == (2, 8)
