from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bradd.data.hugging_face import hugging_face_splits
from bradd.data.images import Images
from bradd.data.named import named_images
from bradd.data.open import absolute_data, open_images, open_labelled
from bradd.data.scan import scan
from bradd.errors import BraddError

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def png(grey: int) -> dict[str, Any]:
    stream = io.BytesIO()
    Image.new("RGB", (6 + grey % 3, 5), (grey, grey, grey)).save(stream, "png")
    return {"bytes": stream.getvalue(), "path": None}


def part(labels: list[int], first: int, **columns: Any) -> Any:
    """Images whose greys count up from `first`; classes ant and bee."""
    content = {"image": [png(first + row) for row in range(len(labels))], "label": labels}
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["ant", "bee"])}
    content.update({name: values for name, (values, _) in columns.items()})
    features.update({name: feature for name, (_, feature) in columns.items()})
    return datasets.Dataset.from_dict(content, features=datasets.Features(features))


def saved(parts: Any, folder: Path, kind: str) -> str:
    """Write a data set in one of the forms it can have on disk."""
    if kind == "disk":
        (parts if len(parts) > 1 else parts["train"]).save_to_disk(str(folder))
    for name, each in parts.items():
        if kind == "parquet":
            (folder / "data").mkdir(parents=True, exist_ok=True)
            each.to_parquet(str(folder / f"data/{name}-00000-of-00001.parquet"))
        elif kind == "files":
            for row in range(len(each)):
                path = folder / name / ["ant", "bee"][each["label"][row]] / f"{row}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                each[row]["image"].save(path)
    return f"hf:{folder}"


def greys(images: Images) -> list[int]:
    return [images.load(row).getpixel((0, 0))[0] for row in range(len(images))]


@pytest.mark.parametrize("kind", ["disk", "parquet", "files"])
def test_images_and_labels_of_each_split(kind: str, tmp_path: Path) -> None:
    parts = datasets.DatasetDict(
        train=part([0, 1, 1], 10), validation=part([1, 0], 20), test=part([0, 1], 30)
    )
    name = saved(parts, tmp_path / "set", kind)
    assert hugging_face_splits(name) == ("train", "val", "test")
    for split, labels, first in (
        ("train", [0, 1, 1], 10),
        ("val", [1, 0], 20),
        ("test", [0, 1], 30),
    ):
        labelled = named_images(name, split)
        assert labelled.classes == ["ant", "bee"]
        found = sorted(zip(greys(labelled.images), labelled.labels.tolist(), strict=True))
        assert found == [(first + row, label) for row, label in enumerate(labels)]
        assert labelled.images.name(1).endswith("/000001")
    assert greys(open_images(name)) == greys(open_labelled(name, "train").images)


def test_the_validation_split_stands_in_for_a_test_split(tmp_path: Path) -> None:
    parts = datasets.DatasetDict(train=part([0, 1], 1), validation=part([1], 7))
    name = saved(parts, tmp_path / "set", "disk")
    assert hugging_face_splits(name) == ("train", "test")
    assert greys(named_images(name, "test").images) == [7]
    with pytest.raises(BraddError, match="train, test, but no split 'val'"):
        named_images(name, "val")


def test_without_a_held_out_split_one_is_drawn(tmp_path: Path) -> None:
    parts = datasets.DatasetDict(train=part([0, 1] * 10, 1))
    name = saved(parts, tmp_path / "set", "disk")
    train, test = named_images(name, "train"), named_images(name, "test")
    assert sorted(greys(train.images) + greys(test.images)) == list(range(1, 21))
    assert np.bincount(test.labels).tolist() == [2, 2]
    assert len(open_images(name)) == 20


def test_the_finest_classes_are_the_labels(tmp_path: Path) -> None:
    fine = ([4, 0], datasets.ClassLabel(names=["v", "w", "x", "y", "z"]))
    parts = datasets.DatasetDict(train=part([0, 1], 1, fine=fine), test=part([0, 1], 1, fine=fine))
    labelled = named_images(saved(parts, tmp_path / "set", "disk"), "train")
    assert labelled.classes == ["v", "w", "x", "y", "z"]
    assert labelled.labels.tolist() == [4, 0]


@pytest.mark.parametrize(
    ("train", "test", "classes"),
    [(["dog", "cat"], ["cat"], ["cat", "dog"]), ([10, 2], [2], ["2", "10"])],
)
def test_labels_that_are_words_or_numbers(
    train: list[Any], test: list[Any], classes: list[str], tmp_path: Path
) -> None:
    parts = datasets.DatasetDict(
        {
            split: datasets.Dataset.from_dict(
                {"picture": [png(row) for row in range(len(labels))], "label": labels}
            ).cast_column("picture", datasets.Image())
            for split, labels in (("train", train), ("test", test))
        }
    )
    name = saved(parts, tmp_path / "set", "disk")
    assert named_images(name, "train").classes == named_images(name, "test").classes == classes
    assert named_images(name, "train").labels.tolist() == [1, 0]
    assert named_images(name, "test").labels.tolist() == [0]


def test_sets_that_cannot_be_used(tmp_path: Path) -> None:
    def refused(parts: dict[str, Any], match: str, split: Any = "train") -> None:
        folder = tmp_path / f"set{len(list(tmp_path.iterdir()))}"
        name = saved(datasets.DatasetDict(parts), folder, "disk")
        with pytest.raises(BraddError, match=match):
            named_images(name, split)

    usual = part([0, 1], 0)
    refused({"test": usual, "validation": usual}, "no split 'train', only test, validation")
    refused({"train": usual.remove_columns("image")}, r"0 columns of images \(none of label\)")
    twice = part([0, 1], 0, mask=([png(1), png(2)], datasets.Image()))
    refused({"train": twice}, r"2 columns of images \(image, mask")
    refused({"train": usual.remove_columns("label")}, "none of its columns \\(image\\) is declared")
    refused({"train": usual, "test": part([-1, -1], 0)}, "2 of 2 images have no label", "test")
    unlabelled = saved({"train": usual.remove_columns("label")}, tmp_path / "plain", "disk")
    assert len(open_images(unlabelled)) == 2


def test_what_cannot_be_opened_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*arguments: Any) -> None:
        asked.append(arguments)
        raise datasets.exceptions.DatasetNotFoundError("Dataset 'x/y' doesn't exist\non the Hub.")

    asked: list[Any] = []
    monkeypatch.setattr("datasets.load_dataset", absent)
    with pytest.raises(BraddError, match="as 'x/y' on the Hub: Dataset 'x/y' doesn't exist on the"):
        open_images("hf:x/y:small")
    assert asked == [("x/y", "small")]
    (tmp_path / "empty").mkdir()
    with pytest.raises(BraddError, match="cannot be opened in the folder"):
        open_labelled(f"hf:{tmp_path / 'empty'}", "train")


def test_without_the_library_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(BraddError, match=r"pip install 'bradd\[datasets\]'"):
        open_images("hf:someone/not-opened-before")


def test_images_go_to_workers_and_broken_ones_are_listed(tmp_path: Path) -> None:
    broken = {"bytes": b"no image", "path": None}
    rows = [png(1), broken, None, png(2)]
    features = datasets.Features({"image": datasets.Image()})
    images = datasets.Dataset.from_dict({"image": rows}, features=features)
    name = saved(datasets.DatasetDict(train=images), tmp_path / "set", "disk")
    opened = open_images(name)
    assert pickle.loads(pickle.dumps(opened)).load(3).getpixel((0, 0)) == (2, 2, 2)
    checked = scan(opened, workers=1, max_unreadable=0.5)
    assert checked.readable.tolist() == [0, 3]
    assert [name for name, _ in checked.unreadable] == ["train/000001", "train/000002"]


def test_the_fingerprint_tells_other_images(tmp_path: Path) -> None:
    def fingerprint(images: Any, folder: str) -> str:
        name = saved(datasets.DatasetDict(train=images), tmp_path / folder, "disk")
        return open_images(name).fingerprint()

    images = part([0, 1, 0, 1], 0)
    first = fingerprint(images, "a")
    assert fingerprint(images, "b") == first
    assert fingerprint(images.select([1, 0, 2, 3]), "c") != first
    assert fingerprint(images.select([0, 1, 2]), "d") != first


def test_a_folder_is_named_absolutely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    assert absolute_data("hf:set") == f"hf:{tmp_path / 'set'}"
    assert absolute_data("hf:someone/set") == "hf:someone/set"
