"""The command as its user meets it: what it refuses, and what it then does."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image, ImageChops

from bradd import Duplicate, KNNDistance, pretrain
from bradd.cli import main
from bradd.data import training_set
from bradd.errors import BraddError
from killable import SETTINGS
from samples import SIZE, picture


def train(data: Path | str, out: Path, **settings: Any) -> Path:
    return pretrain(data, out, **{"generator": Duplicate(), **SETTINGS, **settings})


def refused(data: Path | str | None, out: Path, **settings: Any) -> str:
    """The message; nothing was trained, and nothing lies in the way of the next try."""
    with pytest.raises(BraddError) as caught:
        train(data, out, **settings)  # type: ignore[arg-type]
    assert not out.is_dir() or list(out.iterdir()) == []
    return str(caught.value)


def options(**settings: Any) -> list[str]:
    """Settings as on a command line."""
    given = {"generator": "Duplicate", **SETTINGS, **settings}
    return [f"--{name}={value}" for name, value in given.items()]


def table(run: Path, name: str = "metrics.csv") -> list[dict[str, str]]:
    with (run / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def steps(run: Path) -> int:
    return int(table(run)[-1]["step"])


def weights(run: Path) -> bytes:
    return (run / "backbone.safetensors").read_bytes()


def config(run: Path) -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load((run / "config.yaml").read_text())
    return settings


def bomb() -> bytes:
    """A PNG of a few bytes whose header claims 50,000 x 50,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures in two class folders, the first thirty in one."""
    root = tmp_path_factory.mktemp("data") / "photos"
    for number in range(40):
        path = root / ("a" if number < 30 else "b") / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(path)
    return root


@pytest.fixture(scope="module")
def plain(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run on the photos."""
    return train(photos, tmp_path_factory.mktemp("plain") / "run")


# What lies in the folder.


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "is empty"),
        ({"notes.txt": b"text"}, "holds no image file"),
        ({".hidden.png": b"x"}, "is empty"),
        ({"a.png": b"", "b.png": b"text"}, r"none of the 2 images can be read:\n  a.png: .*empty"),
    ],
)
def test_folder_without_images(
    files: dict[str, bytes], message: str, tmp_path: Path, out: Path
) -> None:
    data = tmp_path / "photos"
    data.mkdir()
    for name, content in files.items():
        (data / name).write_bytes(content)
    assert re.search(message, refused(data, out))


def test_missing_data_and_out_are_named(tmp_path: Path, photos: Path, out: Path) -> None:
    assert str(tmp_path / "none") in refused(tmp_path / "none", out)
    assert "Did you mean 'digits'?" in refused("digit", out)
    assert "--data FOLDER" in refused(None, out)
    assert "--data FOLDER" in refused("", out)
    for nowhere in (None, ""):
        with pytest.raises(BraddError, match="--out"):
            pretrain(photos, nowhere)


BROKEN = {
    "bomb.png": (bomb(), "2500000000 pixels"),
    "cut.png": (None, "truncated"),
    "empty.jpg": (b"", "empty"),
    "text.jpeg": (b"no picture, but a text", "not an image"),
}


def add_broken(folder: Path) -> None:
    for name, (content, _) in BROKEN.items():
        (folder / name).write_bytes(content if content is not None else whole()[:-400])


def whole() -> bytes:
    buffer = io.BytesIO()
    picture(0).save(buffer, "png")
    return buffer.getvalue()


def test_unreadable_images_are_skipped_counted_and_listed(
    folder: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_broken(folder)
    train(folder, out, max_unreadable=4 / 44)
    assert "4 unreadable images are skipped" in capsys.readouterr().out
    rows = table(out, "unreadable.csv")
    assert [row["name"] for row in rows] == sorted(BROKEN)
    for row in rows:
        assert BROKEN[row["name"]][1] in row["reason"]
    selection = pq.read_table(out / "rounds/01/selection.parquet").to_pydict()
    assert len(selection["name"]) == 40
    assert not set(selection["name"]) & set(BROKEN)
    for file, name in zip(selection["name"], sorted(selection["name"]), strict=True):
        assert file == name


def test_too_many_unreadable_images_are_an_error_that_names_them(folder: Path, out: Path) -> None:
    add_broken(folder)
    message = refused(folder, out, max_unreadable=3.9 / 44)
    assert "4 of 44" in message
    for name in BROKEN:
        assert name in message
    assert "max_unreadable" in refused(folder, out)


def test_one_in_a_hundred_may_be_unreadable_by_default(tmp_path: Path, out: Path) -> None:
    data = tmp_path / "many"
    data.mkdir()
    for number in range(99):
        picture(number).save(data / f"{number:03d}.png")
    (data / "000a.png").write_bytes(bomb())
    settings = {"cycles": 1, "epochs_per_cycle": 1, "batch_size": 32}
    train(data, out, **settings)
    assert [row["name"] for row in table(out, "unreadable.csv")] == ["000a.png"]
    (data / "001a.png").write_bytes(b"")
    assert "2 of 101" in refused(data, tmp_path / "other", **settings)


def test_the_kind_of_file_changes_nothing(tmp_path: Path) -> None:
    """The same pixels as 16-bit, palette, CMYK, grey+alpha, EXIF-rotated and animated files."""
    usual, unusual = tmp_path / "usual", tmp_path / "unusual"
    usual.mkdir()
    unusual.mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6
    for number in range(24):
        image = picture(number)
        name, arguments = f"{number:02d}.png", {}
        stored = image
        if number == 1:
            image = image.convert("L")
            stored = Image.fromarray(np.asarray(image, np.uint16) * 257)
        elif number == 2:
            stored = image.quantize(16)
            image = stored.convert("RGB")
        elif number == 3:
            stored, name = image.convert("CMYK"), "03.tif"
        elif number == 4:
            image = image.convert("L")
            stored = image.convert("LA")
        elif number == 5:
            stored, arguments = image.transpose(Image.Transpose.ROTATE_90), {"exif": turned}
        elif number == 6:
            stored, name = image.quantize(16), "06.gif"
            image = stored.convert("RGB")
            arguments = {"save_all": True, "append_images": [ImageChops.invert(image)]}
        image.convert("RGB").save(usual / f"{number:02d}.png")
        stored.save(unusual / name, **arguments)
    modes = [Image.open(path).mode for path in sorted(unusual.iterdir())[1:5]]
    assert modes == ["I;16", "P", "CMYK", "LA"]
    first, second = (
        train(data, tmp_path / f"run on {data.name}", cycles=1) for data in (usual, unusual)
    )
    assert weights(first) == weights(second)
    assert not (second / "unreadable.csv").exists()


# Impossible values.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"selector": KNNDistance(40)}, "needs at least 41 images; there are 40"),
        ({"n_anchors": 41}, "n_anchors is 41, but there are 40 images"),
        ({"n_anchors": 1}, "n_anchors is 1"),
        ({"n_variations": 0}, "n_variations is 0"),
        ({"draws": 0}, "draws is 0"),
        ({"cycles": 0}, "cycles is 0"),
        ({"epochs_per_cycle": 0}, "epochs_per_cycle is 0"),
        ({"image_size": 0}, "image_size is 0"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"batch_size": 41}, "batch_size is 41, but there are 40 images"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"warmup_epochs": 7}, "warmup_epochs is 7"),
        ({"num_workers": -1}, "workers"),
        ({"max_unreadable": 1.5}, "max_unreadable"),
        ({"backbone": "resnet19"}, "'resnet19'. Did you mean resnet18"),
        ({"backbone_kwargs": {"chanels": [4]}}, "chanels"),
        ({"longtail": "exponental:3"}, "exponental:3"),
        ({"longtail": "exponential:1000"}, "exponential:1000"),
        ({"precision": "fp8"}, "precision is 'fp8': expected one of '32-true'"),
        ({"optimizer": "lamb"}, "optimizer is 'lamb'"),
        ({"preset": "papre"}, "preset is 'papre'"),
        ({"candidates": "all"}, "candidates is 'all'"),
        ({"cycles": "three"}, "cycles is 'three': expected int."),
        ({"seed": 1.5}, "seed is '1.5': expected int."),
        ({"selector": Duplicate()}, "expected Selector."),
        (
            {"views": {"class_path": "SimCLRViews", "init_args": {"blurr": 1.0}}},
            "views has no setting 'blurr'. Did you mean 'blur'?",
        ),
        ({"views": {"class_path": "SimCLRViews", "init_args": {"blur": 2.0}}}, "blur is 2.0"),
    ],
)
def test_impossible_values_are_named(
    settings: dict[str, Any], message: str, photos: Path, out: Path
) -> None:
    assert message in refused(photos, out, **settings)


def test_a_generator_that_cannot_be_had_is_said_before_images_are_read(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setitem(sys.modules, "transformers", None)
    message = refused(tmp_path / "empty", out, preset="paper", generator=None)
    assert "pip install 'bradd[hf]'" in message
    assert "--generator RepresentationDiffusion" in message
    missing = {"class_path": "StableUnCLIP", "init_args": {"model": "/nowhere"}}
    monkeypatch.undo()
    assert "no folder /nowhere" in refused(tmp_path / "empty", out, generator=missing)
    # With one cycle there is no round, so no generator is needed.
    assert "no folder" not in refused(tmp_path / "empty", out, generator=missing, cycles=1)


# The run's folder.


def test_out_inside_data(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for inside in (photos, photos / "runs" / "one", photos / "a" / ".." / "run"):
        with pytest.raises(BraddError, match="lies inside data"):
            train(photos, inside)
    assert sorted(path.name for path in photos.iterdir()) == ["a", "b"]
    assert main(["pretrain", f"--data={photos}", f"--out={photos}/run", *options()]) == 2
    assert_one_error(capsys, "lies inside data")


def test_out_inside_data_written_with_a_tilde(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(photos.parent))
    with pytest.raises(BraddError, match="lies inside data"):
        train(f"~/{photos.name}", photos / "run")


def assert_one_error(capsys: pytest.CaptureFixture[str], message: str) -> None:
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert message in shown
    assert shown.count("error: ") == 1
    assert "Traceback" not in shown


def test_out_is_or_lies_below_a_file(tmp_path: Path, photos: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for where in (file, file / "run"):
        assert str(where) in refused(photos, where)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("function", ["mkdir", "touch"])
@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_out_without_permission_to_write(
    function: str, code: int, photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(Path, function)

    def denied(self: Path, *args: Any, **kwargs: Any) -> None:
        if self == out or out in self.parents:
            raise OSError(code, os.strerror(code), str(self))
        original(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, function, denied)
        assert f"{out} cannot be written ({os.strerror(code)})" in refused(photos, out)


def test_a_full_disk_in_a_round_then_resumed(
    photos: Path,
    plain: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    written: list[Path] = []
    original = Path.open

    def full(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if self.parent.name == "variations" and mode == "wb":
            written.append(self)
            if len(written) == 4:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return original(self, mode, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        assert main(["pretrain", f"--data={photos}", f"--out={out}", *options()]) == 2
    assert_one_error(capsys, "The disk is full")
    assert not (out / "rounds" / "01").exists()
    assert main(["pretrain", f"--out={out}", "--resume"]) == 0
    for name in ("backbone.safetensors", "ledger.parquet"):
        assert (out / name).read_bytes() == (plain / name).read_bytes()


@pytest.mark.parametrize("name", ["a/00.png", "m/17.png", "z/99.png"])
def test_a_planted_outlier_is_an_anchor_of_the_run_under_its_own_name(
    tmp_path: Path, out: Path, name: str
) -> None:
    """From the file through a trained backbone to the ledger."""
    folder = tmp_path / "photos"
    for number in range(40):
        path = folder / "am"[number % 2] / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.blend(picture(0), picture(number), 0.1).save(path)
    outlier = np.zeros((SIZE, SIZE, 3), np.uint8)
    outlier[: SIZE // 2] = 255
    (folder / name).parent.mkdir(exist_ok=True)
    Image.fromarray(outlier).save(folder / name)
    train(folder, out, cycles=2)
    rows = [
        r for r in pq.read_table(out / "ledger.parquet").to_pylist() if r["anchor_name"] == name
    ]
    assert len(rows) == SETTINGS["n_variations"]
    assert np.array_equal(np.asarray(Image.open(out / rows[0]["file"])), outlier)


def test_a_folder_with_a_run_is_refused_and_replaced(photos: Path, out: Path) -> None:
    train(photos, out)
    before = weights(out)
    assert len(list(out.glob("rounds/*"))) == 2
    (out / "mine.txt").write_text("mine")
    (out / "notes").mkdir()
    with pytest.raises(BraddError, match=r"--resume.*--overwrite"):
        train(photos, out, seed=1)
    assert weights(out) == before
    train(photos, out, seed=1, cycles=1, overwrite=True)
    assert weights(out) != before
    assert not (out / "rounds").exists()
    assert not (out / "ledger.parquet").exists()
    assert (out / "mine.txt").read_text() == "mine"
    assert (out / "notes").is_dir()


def test_a_refused_overwrite_leaves_the_run(photos: Path, out: Path) -> None:
    train(photos, out, cycles=1)
    before = sorted(path for path in out.rglob("*"))
    with pytest.raises(BraddError, match="batch_size"):
        train(photos, out, overwrite=True, batch_size=1000)
    assert sorted(path for path in out.rglob("*")) == before


def test_foreign_files_of_the_same_names_are_not_removed_unasked(photos: Path, out: Path) -> None:
    (out / "checkpoints").mkdir(parents=True)
    (out / "checkpoints" / "mine.ckpt").write_text("mine")
    with pytest.raises(BraddError, match="holds what a run would replace: checkpoints"):
        train(photos, out)
    assert (out / "checkpoints" / "mine.ckpt").read_text() == "mine"


# The same again.


def test_config_starts_the_same_run_again(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    settings = options(
        longtail="exponential:3",
        method="simclr",
        selector="knn-distance",
        generator="RepresentationDiffusion",
        cycles=2,
        **{
            "method.temperature": 0.2,
            "selector.k": 3,
            "views.blur": 0.25,
            "generator.steps": 3,
            "generator.channels": [8, 8],
        },
    )
    assert main(["pretrain", f"--data={photos}", f"--out={first}", *settings]) == 0
    saved = config(first)
    assert saved["method"]["init_args"]["temperature"] == 0.2
    assert saved["selector"]["init_args"]["k"] == 3
    assert saved["views"]["init_args"]["blur"] == 0.25
    assert saved["generator"]["init_args"]["channels"] == [8, 8]
    assert None not in [
        saved[name] for name in saved if name not in ("longtail", "manifest", "labels")
    ]
    # --out goes before the file, wherever it stands.
    assert main(["pretrain", f"--out={second}", "--config", str(first / "config.yaml")]) == 0
    for name in ("backbone.safetensors", "ledger.parquet", "manifest.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    again = config(second)
    assert {**again, "out": ""} == {**saved, "out": ""}


def test_the_long_tail_is_written_as_a_manifest(photos: Path, out: Path) -> None:
    train(photos, out, longtail="exponential:3", cycles=1)
    manifest = json.loads((out / "manifest.json").read_text())
    counts = manifest["counts"]
    assert counts["a"] == 3 * counts["b"] > 0
    for name in ("a", "b"):
        assert sum(each.startswith(f"{name}/") for each in manifest["names"]) == counts[name]
    assert len(manifest["names"]) == sum(counts.values())
    assert steps(out) == 2 * (sum(counts.values()) // 8)


# Labels.


class Unreadable:
    """Stands where labels were, and fails whoever looks at them."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError("labels were looked at")

    __len__ = __iter__ = __getitem__ = __array__ = __eq__ = (  # type: ignore[assignment]
        lambda self, *_, **__: self.anything
    )


@pytest.fixture
def labels_hidden(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Once the subset is drawn, no labels can be looked at."""
    original = training_set.long_tailed
    hidden: list[int] = []

    def long_tailed(labelled: Any, *args: Any) -> Any:
        result = original(labelled, *args)
        object.__setattr__(labelled, "labels", Unreadable())
        hidden.append(len(result[0]))
        return result

    monkeypatch.setattr(training_set, "long_tailed", long_tailed)
    return hidden


def test_labels_are_only_seen_by_the_long_tail(
    photos: Path, out: Path, labels_hidden: list[int]
) -> None:
    train(photos, out, longtail="exponential:3")
    assert len(labels_hidden) == 1
    assert (out / "backbone.safetensors").exists()


def test_other_classes_are_the_same_training(photos: Path, plain: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for number, path in enumerate(sorted(photos.rglob("*.png"))):
        name = other / ["m", "n", "o", "p"][number // 10] / path.name
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_bytes(path.read_bytes())
    run = train(other, tmp_path / "run")
    assert weights(run) == weights(plain)
    chosen = [
        pq.read_table(folder / "rounds/02/selection.parquet")["selected"].to_pylist()
        for folder in (run, plain)
    ]
    assert chosen[0] == chosen[1]


# Presets and budgets.


def test_presets_differ_as_stated(photos: Path, plain: Path, out: Path) -> None:
    train(photos, out, preset="paper", warmup_epochs=0)
    names = ("preset", "candidates", "guard", "acceptance", "epoch_length")
    assert [config(out)[name] for name in names] == ["paper", "pool", False, False, "grown"]
    assert [config(plain)[name] for name in names] == [
        "recommended",
        "images",
        True,
        True,
        "matched",
    ]


def test_papers_500_anchors_are_too_many_for_few_images(photos: Path, out: Path) -> None:
    assert "n_anchors is 500" in refused(photos, out, preset="paper", n_anchors=None)


def test_one_cycle_is_the_same_budget_without_rounds(photos: Path, plain: Path, out: Path) -> None:
    train(photos, out, cycles=1, epochs_per_cycle=6)
    assert not (out / "rounds").exists()
    assert sorted(path.name for path in plain.glob("rounds/*")) == ["01", "02"]
    assert [row["step"] for row in table(out)] == [row["step"] for row in table(plain)]
    assert steps(plain) == 6 * (40 // 8)
    rates = [[float(row["learning_rate"]) for row in table(run)] for run in (out, plain)]
    assert rates[0] == rates[1]


def test_grown_epochs_take_as_many_steps_as_the_pool_has_batches(photos: Path, out: Path) -> None:
    train(photos, out, epoch_length="grown", acceptance=False, n_variations=4)
    in_epoch = [40 // 8] * 2 + [(40 + 12) // 8] * 2 + [(40 + 24) // 8] * 2
    expected = [sum(in_epoch[: epoch + 1]) for epoch in range(6)]
    assert [int(row["step"]) for row in table(out)] == expected


def test_images_choose_the_size_and_a_batch_that_suits_them(photos: Path, out: Path) -> None:
    train(photos, out, image_size=None, batch_size=None, n_anchors=None, cycles=1)
    assert config(out)["image_size"] == SIZE
    assert config(out)["batch_size"] == 40 // 8
    assert config(out)["n_anchors"] == 2
