from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bradd.data.images import ArrayImages
from bradd.data.manifest import Manifest
from bradd.data.open import absolute_data, labelled_splits, open_images, open_labelled
from bradd.errors import BraddError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "cifar10"
    for name in ("train/a", "train/b", "test/a", "test/b"):
        (root / name).mkdir(parents=True)
        Image.new("L", (1, 1)).save(root / name / "1.png")
    return root


def test_images_pass_through() -> None:
    images = ArrayImages(np.zeros((1, 1, 1), np.uint8), ["a"])
    assert open_images(images) is images


def test_a_name_is_its_training_split() -> None:
    images = open_images("digits")
    assert len(images) == len(open_labelled("digits", "train").images)
    assert images.name(0).startswith("train/")
    assert open_labelled("digits", "test").images.name(0).startswith("test/")


def test_a_folder_is_read_as_it_is(folder: Path) -> None:
    expected = ["test/a/1.png", "test/b/1.png", "train/a/1.png", "train/b/1.png"]
    for data in (folder, str(folder)):
        images = open_images(data)
        assert [images.name(index) for index in range(len(images))] == expected
    assert len(open_labelled(folder, "test").images) == 2


def test_a_folder_with_the_name_of_a_dataset(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(folder.parent)
    folder.rename("digits")
    assert len(open_images("./digits")) == len(open_images(Path("digits"))) == 4
    assert not caplog.records
    assert len(open_images("digits")) > 1000
    assert "'./digits'" in caplog.text


def test_a_text_file(folder: Path) -> None:
    file = folder / "list.txt"
    file.write_text("train/a/1.png\n")
    assert open_images(file).name(0) == "train/a/1.png"
    with pytest.raises(BraddError, match=r"list\.txt is a file"):
        open_labelled(file, "train")


def test_a_manifest_is_its_images(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "removed.json"
    manifest = Manifest("pareto:6", 0, {"a": 0, "b": 1}, ["train/b/1.png"], "removed", str(folder))
    manifest.write(file)
    images = open_images(file)
    assert (len(images), images.name(0)) == (1, "train/b/1.png")
    assert images.load(0).size == (1, 1)
    Manifest("pareto:6", 0, {"a": 0, "b": 1}, ["train/b/1.png"]).write(file)
    with pytest.raises(BraddError, match="does not say of which data set: give that with --data"):
        open_images(file)
    Manifest("pareto:6", 0, {"a": 1}, ["test/a/1.png"], data=str(folder)).write(file)
    with pytest.raises(BraddError, match="not in the training split"):
        open_images(file)


def test_the_splits_that_labels_come_in(folder: Path) -> None:
    assert labelled_splits(folder) == labelled_splits("digits") == ("train", "test")
    assert labelled_splits("aircraft") == ("train", "val", "test")


def test_where_data_lie_from_any_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert absolute_data("cifar10") == "cifar10"
    for path in ("./cifar10", Path("cifar10")):
        assert absolute_data(path) == str(folder.resolve())


def test_neither(tmp_path: Path) -> None:
    for open_it in (open_images, lambda data: open_labelled(data, "train")):
        with pytest.raises(BraddError, match=r"'digit' is neither.*Did you mean 'digits'\?"):
            open_it("digit")
        with pytest.raises(BraddError, match=r"is neither.*fashion-mnist") as caught:
            open_it(tmp_path / "gone")
        assert "Did you mean" not in str(caught.value)


def test_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    assert len(open_images("~/cifar10")) == 4


def test_importing_the_room_is_cheap() -> None:
    heavy = "{'torch', 'torchvision', 'sklearn', 'lightning', 'datasets', 'pyarrow'}"
    code = f"import sys, bradd.data; sys.exit(', '.join({heavy} & set(sys.modules)) or None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_functions_that_share_their_modules_name_are_the_functions() -> None:
    from bradd.data import decode, scan

    assert callable(decode)
    assert callable(scan)
