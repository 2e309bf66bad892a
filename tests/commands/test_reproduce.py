"""One of the paper's tables, on tiny pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bradd import reproduce
from bradd.cli import main
from bradd.commands.reproduce import CIFAR10_CLASSES, _known_as
from bradd.errors import BraddError
from killable import SETTINGS
from samples import labelled_photos, picture

SHARED: dict[str, Any] = {
    **SETTINGS,
    "epochs_per_cycle": 1,
    "cycles": 2,
    "n_anchors": 4,
    "n_variations": 2,
    "generator": "Duplicate",
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_photos(tmp_path_factory.mktemp("data") / "photos", "bird", "cat")


@pytest.mark.parametrize("matched", [False, True])
def test_table_1(
    matched: bool, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "table1"
    found = reproduce(
        "table1",
        out,
        data=str(photos),
        manifest=_manifest(photos, tmp_path),
        seeds=1,
        matched=matched,
        settings=SHARED,
    )
    (table,) = found["tables"]
    assert [row["arm"] for row in table["rows"]] == ["balanced", "imbalanced", "bradd"]
    # As the paper counts epochs, more images are more steps: 40 and 48 images in batches of 8.
    assert table["budgets"] == ([80] if matched else [80, 88])
    said = capsys.readouterr().out
    assert ("bradd*" in said) is not matched
    assert "Comparison to balanced and imbalanced baselines" in said
    text = (out / "table1.md").read_text()
    assert "| bradd | photos |" in text
    assert "64.00" not in text  # these are no pictures that the paper evaluated on
    assert list(table["rows"][2]["contrasts"]) == ["imbalanced"]


def _manifest(photos: Path, folder: Path) -> Path:
    from bradd import prepare

    return prepare(photos, folder / "lt.json", longtail="exponential:3")


def test_a_folder_of_cifar10_is_known(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in CIFAR10_CLASSES:
            path = tmp_path / "mine" / split / name / "0.png"
            path.parent.mkdir(parents=True)
            picture(0).save(path)
    assert _known_as(str(tmp_path / "mine")) == "cifar10"
    assert _known_as("flowers") == "flowers"


def test_what_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BraddError, match=r"bradd reproduce table1\|table2\|table3a"):
        reproduce(out=tmp_path)
    assert main(["reproduce", "table4", "--out", str(tmp_path)]) == 2
    assert "table is 'table4': expected one of 'table1', 'table2'" in capsys.readouterr().err
