from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bradd.data.images import ArrayImages
from bradd.data.labelled import LabelledImages
from bradd.data.manifest import Manifest
from bradd.errors import BraddError

MANIFEST = Manifest("pareto:6", 3, {"z": 2, "ä": 1}, ["a/ü.png", "\udcff.png", "b c.png"])


def test_it_is_written_and_read(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    file.write_text("an older one")
    for manifest in (
        MANIFEST,
        replace(MANIFEST, kind="balanced", data="cifar10"),
        replace(MANIFEST, kind="removed", data="/data/ä"),
        Manifest("exponential:2", 0, {"a": 0}, []),
    ):
        manifest.write(file)
        assert Manifest.read(file) == manifest
        assert file.read_text() == manifest.to_json()
    MANIFEST.write(file)
    assert list(json.loads(file.read_text())["counts"]) == ["z", "ä"]
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_the_checksum_is_that_of_the_names_as_lines() -> None:
    manifest = Manifest("pareto:6", 0, {"a": 2}, ["x/1.png", "x/ü.png"])
    assert manifest.checksum == hashlib.sha256("x/1.png\nx/ü.png\n".encode()).hexdigest()


def test_one_from_before_checksums_is_read(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    old = {"spec": "pareto:6", "seed": 0, "counts": {"a": 1}, "names": ["x"]}
    file.write_text(json.dumps(old))
    assert Manifest.read(file) == Manifest("pareto:6", 0, {"a": 1}, ["x"])


def test_a_failed_write_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "manifest.json"
    Manifest("pareto:6", 0, {"a": 1}, ["x"]).write(file)
    before = file.read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(BraddError, match="disk is full"):
        Manifest("pareto:6", 1, {"a": 1}, ["y"]).write(file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"spec": 1, "seed": "x"}', "null"])
def test_files_that_are_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "manifest.json"
    with pytest.raises(BraddError, match="cannot be read"):
        Manifest.read(file)
    file.write_text(content)
    with pytest.raises(BraddError, match="is not a manifest"):
        Manifest.read(file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ["a/1.png", "a/3.png"]}, "was changed after it was written"),
        ({"names": ["a/2.png", "a/1.png"]}, "was changed after it was written"),
        ({"checksum": "0" * 64}, "was changed after it was written"),
        ({"counts": {"a": 3}}, "counts 3 images and names 2"),
        ({"kind": "sorted"}, "is of the kind 'sorted'; known are longtail, balanced, removed"),
        ({"split": "test"}, "is of the split 'test', but only the training split"),
    ],
)
def test_one_that_was_changed_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    file = tmp_path / "manifest.json"
    manifest = Manifest("pareto:6", 0, {"a": 2}, ["a/1.png", "a/2.png"])
    content = json.loads(manifest.to_json())
    file.write_text(json.dumps({**content, **changes}))
    with pytest.raises(BraddError, match=message):
        Manifest.read(file)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.png", "a/../../x.png", "", ".", "a\0b"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "manifest.json"
    Manifest("pareto:6", 0, {"a": 1}, [name]).write(file)
    with pytest.raises(BraddError, match="which is no file inside of a data set's folder"):
        Manifest.read(file)


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    Manifest("pareto:6", 0, {"a": 2}, ["x", "x"]).write(file)
    with pytest.raises(BraddError, match="names an image twice"):
        Manifest.read(file)


def test_its_images_are_found_by_name_wherever_they_stand() -> None:
    images = ArrayImages(np.zeros((4, 1, 1), np.uint8), ["d", "b", "c", "a"])
    labelled = LabelledImages(images, np.array([1, 0, 1, 0]), ["x", "y"])
    manifest = Manifest.of(labelled, np.array([1, 2, 3]), "pareto:6", 5)
    assert (manifest.names, manifest.counts) == (["b", "c", "a"], {"x": 2, "y": 1})
    assert manifest.rows_in(images).tolist() == [1, 2, 3]
    more = ArrayImages(np.zeros((5, 1, 1), np.uint8), ["a", "b", "new", "c", "d"])
    assert manifest.rows_in(more).tolist() == [0, 1, 3]
    fewer = ArrayImages(np.zeros((1, 1, 1), np.uint8), ["b"])
    with pytest.raises(BraddError, match=r"2 of the manifest's 3 images are not in .* first .* c"):
        manifest.rows_in(fewer)
