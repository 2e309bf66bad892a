"""A run killed anywhere and resumed ends as one that was never killed, to the byte."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bradd import pretrain
from bradd.errors import BraddError
from killable import STAGES, run_evaluate, run_pretrain
from samples import picture


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures in two class folders."""
    root = tmp_path_factory.mktemp("data") / "photos"
    for number in range(40):
        path = root / ("warm" if number % 3 else "cold") / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(path)
    return root


@pytest.fixture(scope="module")
def undisturbed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    assert run_pretrain(photos, out) == 0
    return out


def contents(run: Path) -> dict[str, bytes]:
    """What must be equal: the backbone, the ledger and every picture in it."""
    paths = [run / "backbone.safetensors", run / "ledger.parquet", run / "metrics.csv"]
    paths += sorted(run.glob("rounds/*/*.parquet")) + sorted(run.glob("rounds/*/*/*.png"))
    files = {str(path.relative_to(run)): path.read_bytes() for path in paths}
    # Times differ from run to run; losses and steps do not.
    table = [line.split(",")[:4] for line in files.pop("metrics.csv").decode().splitlines()]
    return files | {"metrics": json.dumps(table).encode()}


@pytest.mark.parametrize("stage", list(STAGES))
def test_killed_and_resumed_is_byte_identical(
    stage: str, photos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert run_pretrain(photos, run, stage=stage) == -9
    assert run_pretrain(photos, run, resume=True) == 0
    expected, found = contents(undisturbed), contents(run)
    assert found.keys() == expected.keys()
    draws = pq.read_table(run / "ledger.parquet").num_rows
    # The first round also keeps the sample of images by which places on the map are compared.
    assert len(found) == 3 + 2 * (2 + 3) + 1 + draws
    different = [name for name in expected if found[name] != expected[name]]
    assert different == []
    leftovers = [p.name for p in run.rglob("*") if p.name.startswith(".")]
    assert leftovers == []


def test_evaluation_killed_and_repeated(photos: Path, undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    before = contents(run)
    # Replaced are the training images' features and what they are of, those of the test images,
    # results.json and the page.
    assert run_evaluate(run, photos, ("bradd.files", "os.replace", 2)) == -9
    assert run_evaluate(run, photos, ("bradd.subject", "evaluate_features", 1)) == -9
    assert not (run / "results.json").exists()
    assert run_evaluate(run, photos, ("bradd.files", "os.replace", 1)) == -9
    assert run_evaluate(run, photos) == 0
    first = json.loads((run / "results.json").read_text())
    assert run_evaluate(run, photos) == 0
    second = json.loads((run / "results.json").read_text())
    for result in first + second:
        del result["seconds"]
    assert first == second
    assert len(first) == 1
    assert contents(run) == before


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"n_anchors": 4}, {"batch_size": 4}, {"backbone": "resnet34"}, {"cycles": 4}],
)
def test_a_changed_setting_is_refused_by_name(
    change: dict[str, object], photos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    shutil.copytree(undisturbed, tmp_path / "run")
    name, value = next(iter(change.items()))
    with pytest.raises(BraddError, match=f"^{name} was .* and is now {value!r}"):
        pretrain(str(photos), str(tmp_path / "run"), resume=True, **change)  # type: ignore[arg-type]


def test_changed_components_and_data_are_refused_by_name(
    photos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    from bradd import SimCLR, Uniform

    run = str(tmp_path / "run")
    shutil.copytree(undisturbed, run)
    with pytest.raises(BraddError, match=r"^selector was .*Rare.* is now .*Uniform"):
        pretrain(out=run, resume=True, selector=Uniform())
    with pytest.raises(BraddError, match=r"^method was .*0\.5.* is now .*0\.2"):
        pretrain(out=run, resume=True, method=SimCLR(temperature=0.2))
    with pytest.raises(BraddError, match=r"^data was "):
        pretrain("digits", run, resume=True)


def test_changed_images_are_refused(photos: Path, undisturbed: Path, tmp_path: Path) -> None:
    run, moved = tmp_path / "run", tmp_path / "photos"
    shutil.copytree(photos, moved)
    assert run_pretrain(moved, run, stage="training epoch") == -9
    (moved / "warm" / "01.png").rename(moved / "warm" / "aa.png")
    with pytest.raises(BraddError, match=r"variations of other images"):
        pretrain(out=str(run), resume=True)


def test_the_same_settings_again_are_no_change(
    photos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    before = contents(run)
    pretrain(str(photos), str(run), resume=True, seed=0, cycles=3, num_workers=0)
    assert contents(run) == before


def test_nothing_to_resume_is_said(tmp_path: Path) -> None:
    with pytest.raises(BraddError, match=r"no run in .* to resume"):
        pretrain(out=str(tmp_path), resume=True)
