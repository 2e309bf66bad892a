"""Evaluation of runs and timm checkpoints, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm
import torch

from bradd import Duplicate, evaluate, load_backbone, pretrain, subject
from bradd.cli import main
from bradd.embedding import Encoder, embed
from bradd.errors import BraddError
from bradd.evaluation.protocol import STANDARD
from killable import SETTINGS
from samples import SIZE, TinyBackbone, picture

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
    assert len(list((tailed / "features").glob("*.npy"))) == 2


def test_a_checkpoint_is_scored_as_the_run_that_wrote_it(
    tailed: Path, photos: Path, tmp_path: Path
) -> None:
    (expected,) = evaluate(str(tailed), str(photos), num_workers=0)
    (found,) = evaluate(**of_checkpoint(tailed, photos, tmp_path))
    for result in (expected, found):
        for probe in ("knn", "linear"):
            result[probe].pop("groups", None)
    assert scores(found) == scores(expected)
    assert "training_samples" not in found
    assert len(json.loads((tmp_path / "results.json").read_text())) == 1


def of_checkpoint(run: Path, photos: Path, folder: Path) -> dict[str, Any]:
    """Arguments that evaluate a run's weights without the run."""
    return {
        "data": str(photos),
        "checkpoint": str(run / "backbone.safetensors"),
        "backbone": "resnet18",
        "backbone_kwargs": CHANNELS,
        "image_size": SIZE,
        "num_workers": 0,
        "out": str(folder / "results.json"),
    }


def test_an_encoder_embeds_a_data_set_once(
    tailed: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded: list[int] = []

    def counting(images: Any, *arguments: Any, **settings: Any) -> Any:
        embedded.append(len(images))
        return embed(images, *arguments, **settings)

    monkeypatch.setattr(subject, "embed", counting)
    settings = of_checkpoint(tailed, photos, tmp_path)
    (first,) = evaluate(**settings)
    assert embedded == [48, 12]
    (other,) = evaluate(**settings, protocol="sgd", seed=1)
    (again,) = evaluate(**settings)
    assert embedded == [48, 12]
    assert scores(again) == scores(first)
    assert other["knn"] == first["knn"]
    (anew,) = evaluate(**settings, cache=False)
    assert embedded == [48, 12, 48, 12]
    assert scores(anew) == scores(first)
    # The same protocol and seed replace each other, other ones stand beside them.
    assert len(json.loads((tmp_path / "results.json").read_text())) == 2
    assert len(list((tmp_path / "features").iterdir())) == 4


def test_an_encoder_that_changes_meanwhile_is_refused(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results.json"
    backbone = TinyBackbone()
    changing = subject.Subject("tiny", Encoder(backbone, SIZE), str(photos), results, None)

    def change(*_: Any) -> dict[str, Any]:
        backbone.norm.running_mean += 1
        return {}

    monkeypatch.setattr(subject, "evaluate_features", change)
    with pytest.raises(BraddError, match="tiny: the encoder changed while it was evaluated"):
        changing.evaluate(STANDARD, 0, None, subject.Embedding(32, 0, None, cache=True))
    assert not results.exists()


@pytest.mark.parametrize("protocol", ["standard", "paper", "sgd"])
def test_protocols(protocol: str, tailed: Path, photos: Path, tmp_path: Path) -> None:
    (result,) = evaluate(**of_checkpoint(tailed, photos, tmp_path), protocol=protocol)
    assert result["protocol"].startswith(f"{protocol}: kNN k = ")
    assert result["protocol_settings"]["name"] == protocol
    for probe in ("knn", "linear"):
        assert result[probe]["top1_standard_error_percent"] >= 0
    assert ("penalty" in result["linear"]) == (protocol == "standard")
    assert ("learning_rate" in result["linear"]) == (protocol != "standard")


def test_a_manifest_can_be_given(tailed: Path, photos: Path, tmp_path: Path) -> None:
    settings = of_checkpoint(tailed, photos, tmp_path)
    (without,) = evaluate(**settings)
    (result,) = evaluate(labels=str(tailed / "manifest.json"), **settings)
    assert "groups" not in without["knn"]
    assert result["knn"]["groups"].keys() > {"definition"}
    assert result["knn"]["per_class"] == without["knn"]["per_class"]


def test_a_manifest_of_other_classes_is_refused(tailed: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    manifest = json.loads((tailed / "manifest.json").read_text())
    renamed = dict(zip(["cat", "dog"], manifest["counts"].values(), strict=True))
    path.write_text(json.dumps(manifest | {"counts": renamed}))
    assert "classes are not those of" in refused(run=tailed, labels=str(path))
    assert "'best'" in refused(run=tailed, protocol="best")


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


@pytest.mark.parametrize("source", ["a generator", "a refused picture", "weights"])
def test_external_data_are_told(tailed: Path, tmp_path: Path, source: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(tailed, run)
    if source == "weights":
        config = run / "config.yaml"
        config.write_text(config.read_text().replace("weights: random", "weights: timm"))
    else:
        path = run / "rounds/01/variations.parquet"
        rows = pq.read_table(path).to_pylist()
        rows[0] |= {"external_data": True, "accepted": source == "a generator"}
        pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)
    (result,) = evaluate(run, num_workers=0)
    assert result["external_data"] is (source != "a refused picture")


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
