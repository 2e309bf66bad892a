from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from bradd.commands.compare import compare
from bradd.commands.pretrain import pretrain
from bradd.comparison.arms import chosen_arms, settings_of_arm, settings_of_seed
from bradd.comparison.reproduction import PLANS, TableName, beside_the_paper, paper_figures
from bradd.comparison.settled import plain_settings
from bradd.facts import Facts
from bradd.presets import Settings, resolve
from bradd.signature import checked

FACTS = Facts(images=12_912, shorter_side=256, cuda=True, cores=16)


def resolved(table: TableName, scale: str) -> dict[str, Settings]:
    plan = PLANS[table].comparison(scale)  # type: ignore[arg-type]
    found = {}
    shared = plain_settings(pretrain, plan["settings"], "settings")
    for arm in chosen_arms(plan["arms"]):
        settings = settings_of_arm(arm, shared)
        settings |= settings_of_seed(0, None, "removed.json" if arm.readds else None)
        found[arm.name] = resolve(checked(pretrain, settings), FACTS)
    return found


@pytest.mark.parametrize("table", PLANS)
@pytest.mark.parametrize("scale", ["paper", "small"])
def test_every_plan_is_a_comparison_that_can_be_done(table: TableName, scale: str) -> None:
    plan = PLANS[table].comparison(scale)  # type: ignore[arg-type]
    assert set(plan) <= set(inspect.signature(compare).parameters)
    assert set(plan["references"]) <= set(plan["arms"])
    for settings in resolved(table, scale).values():
        assert settings.preset == "paper"
        assert settings.epochs == (500 if table == "table2" else 100)


@pytest.mark.parametrize("table", PLANS)
def test_every_row_of_the_paper_has_its_arm(table: TableName) -> None:
    path = Path(inspect.getfile(compare)).parents[1] / "comparison/paper_tables.json"
    rows = json.loads(path.read_text())[table]["rows"]
    assert [name.replace("/", "-") for name in rows] == list(PLANS[table].arms)
    for arm in PLANS[table].arms:
        for data in PLANS[table].data:
            assert paper_figures(table, arm, data)


def test_figures_are_the_papers() -> None:
    assert paper_figures("table1", "bradd", "flowers") == {"linear": 39.22, "kNN": 30.89}
    assert paper_figures("table2", "ts", "pets") == {"linear": 47.01, "kNN": 23.2}
    assert paper_figures("table3c", "mocov3-ood", "pets") == {"linear": 11.83, "kNN": 11.56}
    assert paper_figures("table3e", "20", "cifar10") == {"linear": 68.68, "kNN": 62.02}
    assert paper_figures("table3e", "20", "cars") is None
    assert paper_figures("table1", "ours", "pets") is None


def test_the_settings_are_those_the_paper_states() -> None:
    bradd = resolved("table1", "paper")["bradd"]
    assert (bradd.backbone, bradd.cycles, bradd.epochs_per_cycle) == ("vit_base_patch16_224", 5, 20)
    assert (bradd.n_anchors, bradd.n_variations) == (500, 5)
    assert type(bradd.selector).__name__ == "KNNDistance"
    assert type(bradd.generator).__name__ == "StableUnCLIP"
    assert resolved("table1", "paper")["imbalanced"].cycles == 1
    assert {each.backbone for each in resolved("table2", "paper").values()} == {"resnet50"}


def test_cycles_share_ten_thousand_images() -> None:
    """2,000 / 500 / 222 / 105 anchors a round, 5 variations each."""
    arms = resolved("table3e", "paper")
    assert {name: arm.n_anchors for name, arm in arms.items()} == {
        "2": 2000,
        "5": 500,
        "10": 222,
        "20": 105,
    }
    for arm in arms.values():
        created = (arm.cycles - 1) * arm.n_anchors * arm.n_variations
        assert abs(created - 10_000) <= 25


def test_anchors_share_2500_images_a_round() -> None:
    for arm in resolved("table3f", "paper").values():
        assert arm.n_anchors * arm.n_variations == 2500


def test_ours_stand_beside_the_papers() -> None:
    summary = {"mean": 50.25, "half_width": 1.5}
    single = {"mean": 40.0, "half_width": None}
    row = {
        "arm": "bradd",
        "seeds": [0, 1],
        "budget": 12_800,
        "scores": {"/photos": {"linear": {"all": summary}, "kNN": {"all": single}}},
    }
    lines = beside_the_paper("table1", {"tables": [{"rows": [row]}]}, [("/photos", "cifar10")])
    assert lines[1] == ["bradd", "cifar10", "50.2 ± 1.5", "64.00", "40.0", "60.73", "2", "12,800"]
    other = beside_the_paper("table1", {"tables": [{"rows": [row]}]}, [("/photos", "birds")])
    assert other[1][3] == "-"
