"""Subsets as their user makes them: what is written, what is said, and what is refused."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from bradd import prepare
from bradd.cli import main
from bradd.commands.pretrain import pretrain
from bradd.data import ArrayImages, LabelledImages, Manifest, open_images, open_labelled
from bradd.data.imagenet100 import IMAGENET100_CLASSES
from bradd.errors import BraddError
from bradd.generate import Duplicate
from dataset_trees import imagenet
from killable import SETTINGS
from samples import picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Forty pictures, half in either class folder, and eight test pictures."""
    root = tmp_path / "photos"
    for number in range(48):
        split = "train" if number < 40 else "test"
        name = "a" if number % 2 else "b"
        path = root / split / name / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(path)
    return root


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return re.sub(r"\s+", " ", capsys.readouterr().out)


def test_a_long_tail_and_what_it_leaves_out(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, removed = tmp_path / "splits/lt.json", tmp_path / "splits/removed.json"
    written = prepare(photos, out, longtail="exponential:3", removed=removed, seed=1)
    assert written == out
    tail, rest = Manifest.read(out), Manifest.read(removed)
    assert (tail.kind, rest.kind) == ("longtail", "removed")
    assert tail.data == rest.data == str(photos.resolve())
    assert tail.counts == {"a": 20, "b": 6}
    assert sorted(tail.names + rest.names) == sorted(
        path.relative_to(photos).as_posix() for path in (photos / "train").rglob("*.png")
    )
    text = said(capsys)
    assert "long-tailed subset exponential:3 of" in text
    assert "26 of 40 training images in 2 classes, 20 to 6 a class" in text
    assert "many (> 100 images): 0, medium (20 to 100): 1, few (< 20): 1" in text
    assert (
        "no image is in two of: the subset (26), the removed pool (14), the test split (8)" in text
    )
    assert "byte for byte" not in text
    assert f"bradd pretrain --manifest {out}" in text


def test_the_same_input_is_the_same_file(photos: Path, tmp_path: Path) -> None:
    outs = [tmp_path / f"{number}.json" for number in range(3)]
    for out, seed in zip(outs, (0, 0, 1), strict=True):
        prepare(photos, out, longtail="exponential:9", seed=seed)
    assert outs[0].read_bytes() == outs[1].read_bytes() != outs[2].read_bytes()
    assert Manifest.read(outs[0]).names != Manifest.read(outs[2]).names


def test_a_subset_balanced_like_another(photos: Path, tmp_path: Path) -> None:
    tail, even, rest = (tmp_path / f"{name}.json" for name in ("tail", "even", "rest"))
    prepare(photos, tail, longtail="exponential:9")
    assert Manifest.read(tail).counts == {"a": 20, "b": 2}
    prepare(None, even, balanced_like=tail, removed=rest)
    found = Manifest.read(even)
    assert (found.kind, found.spec) == ("balanced", "balanced:22")
    assert found.counts == {"a": 11, "b": 11}
    assert found.data == Manifest.read(tail).data
    assert Manifest.read(rest).counts == {"a": 9, "b": 9}


def test_a_run_on_the_manifest_is_the_run_on_its_long_tail(photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "tail.json"
    prepare(photos, file, longtail="exponential:9", seed=SETTINGS.get("seed", 0))
    settings: dict[str, Any] = {**SETTINGS, "generator": Duplicate(), "cycles": 1}
    first = pretrain(photos, tmp_path / "first", longtail="exponential:9", **settings)
    second = pretrain(None, tmp_path / "second", manifest=file, **settings)
    for name in ("backbone.safetensors", "manifest.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert (second / "manifest.json").read_bytes() == file.read_bytes()
    config = yaml.safe_load((second / "config.yaml").read_text())
    assert config["manifest"] == str(file.resolve())
    assert config["data"] == str(photos.resolve())
    with pytest.raises(BraddError, match="Give longtail or manifest"):
        pretrain(photos, tmp_path / "x", manifest=file, longtail="pareto:6", **settings)
    (photos / Manifest.read(file).names[0]).unlink()
    with pytest.raises(BraddError, match="1 of the manifest's 22 images are not in the training"):
        pretrain(photos, tmp_path / "x", manifest=file, **settings)


def test_removed_images_can_be_opened_again(photos: Path, tmp_path: Path) -> None:
    removed = tmp_path / "removed.json"
    prepare(photos, tmp_path / "lt.json", longtail="exponential:9", removed=removed)
    images = open_images(str(removed))
    assert [images.name(row) for row in range(len(images))] == Manifest.read(removed).names
    assert images.load(0).mode == "RGB"


def test_copies_among_the_test_images_are_told(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = photos / "test/a/copy.png"
    copy.write_bytes((photos / "train/a/01.png").read_bytes())
    prepare(photos, tmp_path / "lt.json", longtail="exponential:3")
    assert (
        "but 1 images of the test split are byte for byte the same as one of the subset, "
        "for example test/a/copy.png and train/a/01.png"
    ) in said(capsys)


def test_a_training_image_that_is_a_link_to_a_test_image_is_an_error(
    photos: Path, tmp_path: Path
) -> None:
    (photos / "train/a/zz.png").symlink_to(photos / "test/a/41.png")
    out = tmp_path / "lt.json"
    with pytest.raises(BraddError, match="not disjoint"):
        prepare(photos, out, longtail="exponential:3")
    assert not out.exists()


def test_imagenets_validation_images_are_never_trained_on(photos: Path, tmp_path: Path) -> None:
    bad = photos / "train/a/ILSVRC2012_val_00000012.JPEG"
    bad.write_bytes((photos / "train/a/01.png").read_bytes())
    out = tmp_path / "lt.json"
    with pytest.raises(BraddError, match=r"1 of ImageNet's validation images.*val_00000012\.JPEG"):
        prepare(photos, out, longtail="exponential:3")
    assert not out.exists()
    name = "train/a/ILSVRC2012_val_00000012.JPEG"
    Manifest("exponential:1", 0, {"a": 1, "b": 0}, [name], data=str(photos)).write(out)
    with pytest.raises(BraddError, match="1 of ImageNet's validation images"):
        pretrain(photos, tmp_path / "run", manifest=out, **SETTINGS)


def test_imagenet100_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    imagenet(tmp_path / "imagenet", (*IMAGENET100_CLASSES, "n99999999"))
    monkeypatch.setenv("BRADD_DATA", str(tmp_path))
    listed, out = tmp_path / "list.txt", tmp_path / "lt.json"
    name = IMAGENET100_CLASSES[3]
    listed.write_text(f"train/{name}/{name}_10.JPEG 7\n")
    checksum = hashlib.sha256(listed.read_bytes()).hexdigest()
    monkeypatch.setattr("bradd.data.imagenet100_lt.SDCLR_CHECKSUM", checksum)
    arguments = ["--longtail", "imagenet100-lt:sdclr", "--list", str(listed), f"--out={out}"]
    assert main(["prepare", *arguments]) == 0
    assert Manifest.read(out).names == [f"train/{name}/{name}_10.JPEG"]
    assert Manifest.read(out).data == "imagenet100"
    text = said(capsys)
    assert "the subset (1), the removed pool (199), the test split (100)" in text
    assert main(["prepare", "--longtail=imagenet100-lt:pareto", f"--out={out}"]) == 2
    assert "needs 1280 images of the first class" in capsys.readouterr().err


def test_cifar10_lt_has_12406_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"train": [5000, 2997] + [2500] * 8, "test": [1000] * 10}

    def of_that_size(data: object, split: str) -> LabelledImages:
        """As many images as the folder that CIFAR-10-LT is cut from, each of four pixels."""
        assert data == "cifar10"
        labels = np.repeat(np.arange(10), sizes[split])
        start = 0 if split == "train" else 100_000
        pixels = np.arange(start, start + len(labels), dtype="<u4").view(np.uint8)
        names = [f"{split}/{row:05d}" for row in range(len(labels))]
        images = ArrayImages(pixels.reshape(-1, 2, 2), names)
        return LabelledImages(images, labels, [f"class {label}" for label in range(10)])

    monkeypatch.setattr("bradd.commands.prepare.open_labelled", of_that_size)
    out, removed = tmp_path / "lt.json", tmp_path / "removed.json"
    prepare("cifar10", out, longtail="exponential:100", removed=removed)
    expected = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert list(Manifest.read(out).counts.values()) == expected
    text = said(capsys)
    assert "12406 of 27997 training images in 10 classes, 5000 to 50 a class" in text
    assert "many (> 100 images): 8, medium (20 to 100): 2, few (< 20): 0" in text
    assert "the subset (12406), the removed pool (15591), the test split (10000)" in text
    assert "byte for byte" not in text
    prepare(None, tmp_path / "even.json", balanced_like=out)
    assert sorted(Manifest.read(tmp_path / "even.json").counts.values()) == [1240] * 4 + [1241] * 6


def test_any_named_set_can_be_cut(tmp_path: Path) -> None:
    out = tmp_path / "digits.json"
    prepare("digits", out, longtail="pareto:6")
    manifest = Manifest.read(out)
    assert manifest.data == "digits"
    train = open_labelled("digits", "train")
    rows = manifest.rows_in(train.images)
    assert np.bincount(train.labels[rows]).tolist() == list(manifest.counts.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Say where to write the manifest: --out splits/NAME.json"),
        (["--out=x.json"], "Say what to make, one of: --longtail exponential:100"),
        (["--out=x.json", "--longtail=pareto:6"], "Say what to cut: --data FOLDER"),
        (["--out=x", "--longtail=pareto:6"], "out: x is to be a manifest: call it x.json."),
        (["--out=x.json", "--removed=x.json"], "are the same file, x.json"),
        (["--out=x.json", "--longtail=pareto:6", "--balanced_like=y.json"], "one of: --longtail"),
        (["--out=x.json", "--longtail=pareto:6", "--list=y"], "list is for --longtail imagenet100"),
        (["--out=x.json", "--balanced_like=none.json"], "the manifest none.json cannot be read"),
        (["--out=x.json", "--data=digitz", "--longtail=pareto:6"], "Did you mean 'digits'?"),
        (["--out=x.json", "--data=digits", "--longtail=paretto:6"], "Did you mean pareto:6?"),
        (["--out=x.json", "--longtial=pareto:6"], "Did you mean 'longtail'?"),
        (["--out=x.json", "--longtail=imagenet100-lt"], "Did you mean imagenet100-lt:"),
        (["--out=x.json", "--longtail=imagenet100-lt:sdclr"], "--list imageNet_100_LT_train.txt"),
        (["--out=x.json", "--longtail=imagenet100-lt:pareto"], "imagenet100 is not there: none of"),
    ],
)
def test_an_error_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRADD_DATA", str(tmp_path))
    assert main(["prepare", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_not_replaced_unasked(photos: Path, tmp_path: Path) -> None:
    out, removed = tmp_path / "lt.json", tmp_path / "removed.json"
    removed.write_text("mine")
    with pytest.raises(BraddError, match=r"removed\.json holds something else.*--overwrite"):
        prepare(photos, out, longtail="exponential:3", removed=removed)
    assert not out.exists()
    assert removed.read_text() == "mine"
    prepare(photos, out, longtail="exponential:3", removed=removed, overwrite=True)
    prepare(photos, out, longtail="exponential:3", removed=removed)  # the same again
    assert json.loads(removed.read_text())["kind"] == "removed"
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(BraddError, match="is a folder: give a file"):
        prepare(photos, tmp_path / "folder.json", longtail="exponential:3")
