"""A whole comparison on tiny pictures, and what is refused before its first run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bradd import compare
from bradd.cli import main
from bradd.commands import compare as command
from bradd.errors import BraddError
from bradd.facts import Facts
from bradd.run import Run
from html_page import Page
from killable import SETTINGS
from samples import labelled_photos

SHARED = {**SETTINGS, "epochs_per_cycle": 1, "cycles": 2, "n_anchors": 2, "n_variations": 1}
DUPLICATE = {"class_path": "Duplicate", "init_args": {}}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_photos(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="module")
def plan(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan of three arms, of which two are the same but for their names."""
    folder = tmp_path_factory.mktemp("study")
    settings = {
        "data": str(photos),
        "out": str(folder / "study"),
        "longtail": "exponential:3",
        "arms": {"none": None, "the-same": {"like": "none"}, "duplicate": None},
        "seeds": 2,
        "settings": SHARED,
    }
    (folder / "plan.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    return folder / "plan.yaml"


@pytest.fixture(scope="module")
def found(plan: Path) -> dict[str, Any]:
    assert main(["compare", str(plan)]) == 0
    content: dict[str, Any] = json.loads((plan.parent / "study/comparison.json").read_text())
    return content


def test_arms_that_differ_in_name_alone_have_the_same_results(
    found: dict[str, Any], plan: Path
) -> None:
    (table,) = found["tables"]
    none, same, duplicate = table["rows"]
    assert [row["arm"] for row in table["rows"]] == ["none", "the-same", "duplicate"]
    assert same["scores"] == none["scores"]
    contrast = same["contrasts"]["none"][found["evaluated_on"][0]]
    for score in ("kNN", "linear"):
        assert contrast[score]["all"]["difference"] == 0.0
        assert contrast[score]["all"]["p_corrected"] == 1.0
    runs = plan.parent / "study/runs"
    for seed in (0, 1):
        folders = [Run(runs / name / f"seed-{seed}") for name in ("none", "the-same")]
        assert folders[0].backbone.read_bytes() == folders[1].backbone.read_bytes()
    one, other = (Run(runs / "none" / f"seed-{seed}").backbone.read_bytes() for seed in (0, 1))
    assert one != other
    assert duplicate["variations"] == 2
    assert none["variations"] == 0


def test_all_arms_have_one_budget_and_one_definition_of_groups(found: dict[str, Any]) -> None:
    (table,) = found["tables"]
    assert len(table["budgets"]) == 1
    assert table["budgets"][0] == 2 * (40 // 8) * 8  # 30 and 10 images
    data = found["evaluated_on"][0]
    for row in table["rows"]:
        assert set(row["scores"][data]["linear"]) == {"all", "medium", "few"}
    assert (found["finished"], found["runs"]) == (6, 6)


def test_finished_runs_are_not_done_again_and_new_arms_are_added(
    found: dict[str, Any], plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []
    train = command._train
    monkeypatch.setattr(command, "_train", lambda run: (trained.append(run.name), train(run)))
    settings = yaml.safe_load(plan.read_text())
    assert compare(**settings)["tables"] == found["tables"]
    assert trained == []
    settings["arms"] = {"none": None, "balanced": None}
    settings["seeds"] = [1]
    more = compare(**settings)
    assert trained == ["balanced, seed 1"]
    (table,) = more["tables"]
    assert [(row["arm"], row["seeds"]) for row in table["rows"]] == [
        ("none", [1]),
        ("balanced", [1]),
    ]
    data = more["evaluated_on"][0]
    # Balanced or not, the groups are those of the imbalanced subset.
    assert set(table["rows"][1]["scores"][data]["linear"]) == {"all", "medium", "few"}


def test_what_is_written_and_said(
    found: dict[str, Any], plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(plan)]) == 0
    said = capsys.readouterr().out
    text = (plan.parent / "study/comparison.md").read_text()
    for part in ("80 training samples seen", "Holm", "the imbalanced images alone"):
        assert part in text
    assert "80 training samples seen" in said
    assert "comparison.md" in said


def test_the_page_shows_the_table_and_leads_to_every_run(found: dict[str, Any], plan: Path) -> None:
    study = plan.parent / "study"
    page = Page((study / "report.html").read_text())
    assert page.stack == []
    assert len(page.ids) == len(set(page.ids))
    links = [str(a["href"]) for a in page.of("a") if not str(a["href"]).startswith("#")]
    assert len(links) == 6
    assert all((study / link).is_file() for link in links)
    (table,) = found["tables"]
    labels = [str(a["aria-label"]) for a in page.of("svg")]
    assert len(labels) == 4  # both scores, and their differences to none
    for row in table["rows"]:
        mean = row["scores"][found["evaluated_on"][0]]["linear"]["all"]["mean"]
        assert any(f"{row['arm']} {mean:.1f}" in label for label in labels)
    text = " ".join(" ".join(page.text).split())
    assert "6 of 6 runs are finished" in text


def test_a_dry_run_estimates_and_leaves_no_run(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    assert main(["compare", str(plan), "--out", str(out), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "hours on this machine" in said
    assert "none  2  2" in said
    assert not (out / "runs").exists()
    assert not (out / "arms").exists()  # what is chosen for this machine need not suit another


def test_a_dry_run_of_more_anchors_than_are_timed(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = {"class_path": "RepresentationDiffusion", "init_args": {"channels": [8]}}
    settings = {**SHARED, "n_anchors": 30, "generator": generator}
    out = tmp_path / "study"
    assert (
        compare(
            str(photos),
            out,
            longtail="exponential:3",
            arms={"none": None, "ood+generate": None, "longer": {"like": "none", "cycles": 3}},
            seeds=1,
            settings=settings,
            dry_run=True,
        )
        == {}
    )
    said = capsys.readouterr().out
    assert "hours on this machine" in said
    assert "longer: 120 training samples a run" in said
    assert "The arms' budgets differ" in said


def test_what_is_chosen_for_a_machine_is_chosen_once(
    found: dict[str, Any], plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine, which would take another batch, does the rest as the first one did."""
    settings = {
        **yaml.safe_load(plan.read_text()),
        "out": str(tmp_path / "study"),
        "arms": ["none"],
    }
    del settings["settings"]["batch_size"]
    compare(**{**settings, "seeds": [0]})
    file = tmp_path / "study/arms/none.json"
    chosen = json.loads(file.read_text())["settings"]["batch_size"]
    monkeypatch.setattr("bradd.facts.Facts.of_machine", classmethod(_larger_machine))
    compare(**{**settings, "seeds": [1]})
    config = Run(tmp_path / "study/runs/none/seed-1").read_config()
    assert config["batch_size"] == chosen == 5
    changed = {**settings, "settings": {**settings["settings"], "learning_rate": 0.1}}
    with pytest.raises(
        BraddError, match=r"The arm none: learning_rate was None when its first run"
    ):
        compare(**changed)
    compare(**{**settings, "settings": {**settings["settings"], "num_workers": 1}})


def _larger_machine(cls: type[Facts], images: int, shorter_side: int) -> Facts:
    return cls(8 * images, shorter_side, cuda=False, cores=2)


def refused(**settings: Any) -> str:
    with pytest.raises(BraddError) as caught:
        compare(**{"arms": ["none"], "settings": SHARED, **settings})
    return str(caught.value)


def test_wrong_plans_are_refused_before_any_run(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    some: dict[str, Any] = {"data": str(photos), "out": out, "longtail": "exponential:3"}
    assert "Say what to compare on" in refused(data=None, out=None)
    assert "either says which images" in refused(**some, manifest="m.json")
    assert "seeds is 0" in refused(**some, seeds=0)
    assert "seeds is [1, 1]" in refused(**some, seeds=[1, 1])
    assert "references: 'bradd' is none of the arms, none" in refused(**some, references=["bradd"])
    for name in ("out", "data", "seed", "manifest"):
        assert f"settings: {name} is the comparison's own" in refused(**some, settings={name: "1"})
    assert "The arm x: seed is the comparison's own" in refused(**some, arms={"x": {"seed": 1}})
    message = refused(**some, settings={**SHARED, "learning_rat": 1})
    assert message.startswith("settings: ")
    assert "learning_rate" in message
    message = refused(**some, settings={**SHARED, "backbone_kwargs": {"chanels": [4, 4, 8, 8]}})
    assert "The arm none: timm cannot build resnet18, chanels=" in message
    assert "Did you mean 'flowers'?" in refused(**some, evaluate_on="flowrs")
    message = refused(**some, arms={"none": None, "x": {"n_anchors": 1000}})
    assert "The arm x: n_anchors is 1000, but there are 40 images" in message
    many = {**SHARED, "cycles": 3, "n_anchors": 12}
    assert "put 24 images back, but 20 were removed" in refused(
        **some, arms=["readd"], settings=many
    )
    assert not (out / "runs").exists()


def test_test_images_are_not_trained_on(photos: Path, tmp_path: Path) -> None:
    message = refused(data=str(photos), out=tmp_path / "study")
    assert "would be trained on, those of the test split too" in message
    message = refused(data=str(photos), out=tmp_path / "study", arms=["none", "balanced"])
    assert "The arm balanced needs an imbalanced subset" in message


def test_a_failed_run_is_told_at_the_end(
    plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(run: Any) -> None:
        raise BraddError("the loss is no number")

    monkeypatch.setattr(command, "_train", fail)
    settings = {**yaml.safe_load(plan.read_text()), "out": tmp_path / "study", "seeds": 1}
    with pytest.raises(BraddError, match="3 of 3 runs failed, the first of them none, seed 0: the"):
        compare(**settings)
    assert json.loads((tmp_path / "study/comparison.json").read_text())["finished"] == 0
