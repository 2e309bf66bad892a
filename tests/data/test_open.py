from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bradd.data.images import ArrayImages
from bradd.data.open import open_images, open_labelled
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
    heavy = "{'torch', 'torchvision', 'sklearn', 'lightning'}"
    code = f"import sys, bradd.data; sys.exit(', '.join({heavy} & set(sys.modules)) or None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_functions_that_share_their_modules_name_are_the_functions() -> None:
    from bradd.data import decode, scan

    assert callable(decode)
    assert callable(scan)
