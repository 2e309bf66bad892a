from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bradd.data.images import ArrayImages
from bradd.data.labelled import (
    LabelledImages,
    folder_splits,
    labelled_folder,
    stratified_split,
)
from bradd.errors import BraddError


def save(root: Path, **counts: int) -> None:
    """Files `<class>/<n>.png`; `__` in a class stands for a subfolder."""
    for folder, count in counts.items():
        for number in range(count):
            path = root / folder.replace("__", "/") / f"{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (1, 1)).save(path)


def names(labelled: LabelledImages) -> list[str]:
    return [labelled.images.name(index) for index in range(len(labelled.images))]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.sampled_from([0.5, 0.7, 0.8]))
def test_the_split_is_a_stratified_partition(labels: list[int], share: float) -> None:
    array = np.array(labels, np.int64)
    train, test = stratified_split(array, list("abcde"), share)
    assert sorted([*train, *test]) == list(range(len(array)))
    assert np.all(np.diff(train) > 0)
    assert np.all(np.diff(test) > 0)
    for label in set(labels):
        size, n_train = labels.count(label), int(np.sum(array[train] == label))
        if size == 1:
            assert n_train == 1
        else:
            assert 1 <= n_train <= size - 1
            assert abs(n_train - share * size) <= 1


def test_the_split_never_changes() -> None:
    # Fixed values: whoever changes the split changes every result on it.
    _, test = stratified_split(np.repeat([0, 1], 10), ["a", "b"], 0.7)
    assert test.tolist() == [3, 6, 9, 11, 12, 18]


def test_a_folder_without_splits(tmp_path: Path) -> None:
    save(tmp_path, cat=10, ant__old=5)
    train, test = labelled_folder(tmp_path, "train"), labelled_folder(tmp_path, "test")
    assert train.classes == test.classes == ["ant", "cat"]
    assert np.bincount(train.labels).tolist() == [4, 8]
    assert np.bincount(test.labels).tolist() == [1, 2]
    assert set(names(train)).isdisjoint(names(test))
    for name, label in zip(names(train), train.labels, strict=True):
        assert name.startswith(train.classes[label] + "/")
    assert train.images.load(0).mode == "RGB"


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_a_folder_with_splits(tmp_path: Path, held_out: str) -> None:
    save(tmp_path, train__b=2, train__a=1, **{f"{held_out}__a": 3, f"{held_out}__b": 1})
    train, test = labelled_folder(tmp_path, "train"), labelled_folder(tmp_path, "test")
    assert names(train) == ["train/a/00.png", "train/b/00.png", "train/b/01.png"]
    assert train.labels.tolist() == [0, 1, 1]
    assert names(test)[0] == f"{held_out}/a/00.png"
    assert test.labels.tolist() == [0, 0, 0, 1]
    assert test.images.load(0).size == (1, 1)


def test_test_goes_before_val(tmp_path: Path) -> None:
    save(tmp_path, train__a=1, train__b=1, test__a=1, test__b=1, val__a=9, val__b=9)
    assert len(labelled_folder(tmp_path, "test").images) == 2


def test_val_beside_test_is_a_third_split(tmp_path: Path) -> None:
    assert folder_splits(tmp_path) == ("train", "test")
    save(tmp_path, train__a=1, train__b=1, val__a=2, val__b=1)
    assert folder_splits(tmp_path) == ("train", "test")
    with pytest.raises(BraddError, match="splits train, test, but no split 'val'"):
        labelled_folder(tmp_path, "val")
    save(tmp_path, test__a=1, test__b=3)
    assert folder_splits(tmp_path) == ("train", "val", "test")
    assert names(labelled_folder(tmp_path, "val"))[0] == "val/a/00.png"
    assert np.bincount(labelled_folder(tmp_path, "val").labels).tolist() == [2, 1]
    # One that nobody asks for may have other classes.
    save(tmp_path, val__c=1)
    assert np.bincount(labelled_folder(tmp_path, "test").labels).tolist() == [1, 3]
    with pytest.raises(BraddError, match="Only in val: c"):
        labelled_folder(tmp_path, "val")


def test_a_split_that_is_drawn_has_no_val(tmp_path: Path) -> None:
    save(tmp_path, a=2, b=2)
    with pytest.raises(BraddError, match="splits train, test, but no split 'val'"):
        labelled_folder(tmp_path, "val")


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(BraddError, match="does not exist"):
        labelled_folder(tmp_path / "gone", "train")
    with pytest.raises(BraddError, match="splits train, val, test, but no split 'valid'"):
        labelled_folder(tmp_path, "valid")  # type: ignore[arg-type]
    save(tmp_path / "single", train__a=3, train__b=2)
    with pytest.raises(BraddError, match="single class folder 'train'"):
        labelled_folder(tmp_path / "single", "train")
    save(tmp_path / "differ", train__a=1, train__b=1, test__a=1, test__c=1)
    with pytest.raises(BraddError, match=r"Only in train: b\. Only in test: c"):
        labelled_folder(tmp_path / "differ", "train")
    save(tmp_path / "loose", a=1, b=1)
    Image.new("L", (1, 1)).save(tmp_path / "loose/sheet.png")
    with pytest.raises(BraddError, match=r"outside of the class folders, for example sheet\.png"):
        labelled_folder(tmp_path / "loose", "train")
    save(tmp_path / "empty", a=1, b=1)
    (tmp_path / "empty/c").mkdir()
    (tmp_path / "empty/.cache").mkdir()
    with pytest.raises(BraddError, match=r"without images: c$"):
        labelled_folder(tmp_path / "empty", "train")


def test_labels_must_fit() -> None:
    images = ArrayImages(np.zeros((2, 1, 1), np.uint8), ["a", "b"])
    with pytest.raises(BraddError, match="2 images"):
        LabelledImages(images, np.array([0]), ["x"])
    with pytest.raises(BraddError, match="0 to 0"):
        LabelledImages(images, np.array([0, 1]), ["x"])


def test_a_subset_keeps_labels_with_images() -> None:
    images = ArrayImages(np.zeros((3, 1, 1), np.uint8), ["a", "b", "c"])
    subset = LabelledImages(images, np.array([0, 1, 2]), ["x", "y", "z"]).subset([2, 0])
    assert names(subset) == ["c", "a"]
    assert subset.labels.tolist() == [2, 0]
    assert subset.classes == ["x", "y", "z"]
