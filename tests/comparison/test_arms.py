from __future__ import annotations

from typing import Any

import pytest

from bradd.comparison.arms import (
    STANDARD_ARMS,
    chosen_arms,
    settings_of_arm,
    settings_of_seed,
)
from bradd.errors import BraddError

SHARED: dict[str, Any] = {"backbone": "resnet18", "cycles": 3, "epochs_per_cycle": 4}


def settings(name: str, shared: dict[str, Any] | None = None) -> dict[str, Any]:
    (arm,) = chosen_arms([name])
    found = settings_of_arm(arm, SHARED if shared is None else shared)
    return found | settings_of_seed(7, "subset.json", "rest.json" if arm.readds else None)


def test_the_standard_arms_are_those_of_a_comparison() -> None:
    assert [arm.name for arm in chosen_arms(None)] == [
        "none",
        "balanced",
        "duplicate",
        "augment",
        "uniform+generate",
        "ood+generate",
        "readd",
        "sdclr",
        "ts",
    ]


@pytest.mark.parametrize("name", STANDARD_ARMS)
def test_every_arm_trains_for_as_many_epochs_from_one_seed(name: str) -> None:
    found = settings(name)
    assert found["cycles"] * found["epochs_per_cycle"] == 12
    assert (found["seed"], found["manifest"], found["backbone"]) == (7, "subset.json", "resnet18")


@pytest.mark.parametrize(
    ("name", "differs"),
    [
        ("none", {"cycles": 1, "epochs_per_cycle": 12}),
        ("balanced", {"cycles": 1, "epochs_per_cycle": 12}),
        ("duplicate", {"generator": {"class_path": "Duplicate"}}),
        ("augment", {"generator": {"class_path": "Augment"}}),
        ("uniform+generate", {"selector": {"class_path": "Uniform"}}),
        ("ood+generate", {}),
        ("readd", {"generator": {"class_path": "Readd", "init_args": {"images": "rest.json"}}}),
    ],
)
def test_an_arm_differs_in_what_its_name_says_alone(name: str, differs: dict[str, Any]) -> None:
    own = {"seed": 7, "manifest": "subset.json"}
    assert settings(name) == {**SHARED, **differs, **own}


def test_without_cycles_the_defaults_of_pretrain_count() -> None:
    assert settings("none", {"first_round": 2}) == {
        "cycles": 1,
        "epochs_per_cycle": 100,
        "seed": 7,
        "manifest": "subset.json",
    }


def test_variants_of_simclr_keep_what_they_share_with_it() -> None:
    simclr = {"class_path": "bradd.ssl.simclr.SimCLR"}
    arguments = {"projection_size": 64, "temperature": 0.2}
    shared = {**SHARED, "method": {**simclr, "init_args": arguments}}
    assert settings("ts", shared)["method"] == {
        "class_path": "SimCLR",
        "init_args": {"projection_size": 64, "temperature_schedule": "cosine"},
    }
    assert settings("sdclr", shared)["method"] == {
        "class_path": "SDCLR",
        "init_args": {"projection_size": 64},
    }
    for name in ("ts", "sdclr"):
        with pytest.raises(BraddError, match=r"variants of SimCLR, but settings\.method is DINO"):
            settings(name, {**SHARED, "method": {"class_path": "DINO"}})


def test_arms_of_ones_own_start_from_a_standard_one() -> None:
    arms = chosen_arms({"none": None, "few": {"like": "uniform+generate", "n_anchors": 2}, "a": {}})
    assert [(arm.name, arm.like) for arm in arms] == [
        ("none", "none"),
        ("few", "uniform+generate"),
        ("a", "ood+generate"),
    ]
    few, plain = (settings_of_arm(arm, SHARED) for arm in arms[1:])
    assert few == {**SHARED, "selector": {"class_path": "Uniform"}, "n_anchors": 2}
    assert plain == SHARED


def test_a_schedule_of_an_arms_own_is_that_of_its_training() -> None:
    (arm,) = chosen_arms({"none": {"cycles": 5, "epochs_per_cycle": 2}})
    found = settings_of_arm(arm, SHARED)
    assert (found["cycles"], found["epochs_per_cycle"]) == (1, 10)


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        (["none", "duplicat"], r"no standard arm 'duplicat'\. Did you mean duplicate\?"),
        (["none", "none"], "one of them is named twice"),
        ([], "name at least one"),
        ({"../up": {}}, "'../up' cannot name a folder"),
        ({".hidden": {}}, "cannot name a folder"),
        ({"mine": {"like": "bradd"}}, r"arms\.mine\.like: there is no standard arm 'bradd'"),
    ],
)
def test_wrong_arms_are_named(arms: Any, message: str) -> None:
    with pytest.raises(BraddError, match=message):
        chosen_arms(arms)
