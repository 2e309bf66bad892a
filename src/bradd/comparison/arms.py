"""Arms: configurations of `bradd pretrain` that are compared, the standard ones and your own."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bradd.errors import BraddError

__all__ = ["STANDARD_ARMS", "Arm", "Subset", "chosen_arms", "settings_of_arm"]

Subset = Literal["imbalanced", "balanced"]
Settings = dict[str, Any]

# The defaults of `bradd pretrain`, which an arm without rounds needs to know to train as long.
CYCLES, EPOCHS_PER_CYCLE = 5, 20
LIKE = "like"


@dataclass(frozen=True)
class Arm:
    """What sets a configuration apart from the others of its comparison.

    Attributes:
        name: Of the arm.
        about: What it is, in a few words.
        change: From the settings that all arms share to this arm's.
        subset: What it is trained on.
        readds: Whether its variations are the images that the imbalanced subset leaves out.
        own: The arm's own settings of `bradd pretrain`, which go before all others.
    """

    name: str
    about: str
    change: Callable[[Settings], Settings] = field(default=dict)
    subset: Subset = "imbalanced"
    readds: bool = False
    own: Settings = field(default_factory=dict)


def without_rounds(settings: Settings) -> Settings:
    """As many epochs in one cycle, and so the same steps under the same schedule."""
    cycles = settings.get("cycles", CYCLES)
    epochs = cycles * settings.get("epochs_per_cycle", EPOCHS_PER_CYCLE)
    rest = {name: value for name, value in settings.items() if name != "first_round"}
    return {**rest, "cycles": 1, "epochs_per_cycle": epochs}


def _generated_by(generator: str) -> Callable[[Settings], Settings]:
    return lambda settings: {**settings, "generator": generator}


def _by_method(name: str, **arguments: Any) -> Callable[[Settings], Settings]:
    """Another method with the shared one's arguments where that is SimCLR, without rounds."""

    def change(settings: Settings) -> Settings:
        shared = settings.get("method", "SimCLR")
        path = shared["class_path"] if isinstance(shared, dict) else shared
        if path.rpartition(".")[2] != "SimCLR":
            raise BraddError(
                f"the standard arms sdclr and ts are variants of SimCLR, but settings.method is "
                f"{path}: name the arms without them."
            )
        common = shared.get("init_args", {}) if isinstance(shared, dict) else {}
        kept = common if name == "SimCLR" else {}
        method = {"class_path": name, "init_args": {**kept, **arguments}}
        return {**without_rounds(settings), "method": method}

    return change


STANDARD_ARMS = {
    arm.name: arm
    for arm in (
        Arm("none", "the imbalanced images alone", without_rounds),
        Arm("balanced", "as many images, equally many of each class", without_rounds, "balanced"),
        Arm("duplicate", "the anchors once more", _generated_by("Duplicate")),
        Arm("augment", "conventional augmentation of the anchors", _generated_by("Augment")),
        Arm(
            "uniform+generate",
            "variations of images drawn at random",
            lambda settings: {**settings, "selector": "Uniform"},
        ),
        Arm("ood+generate", "BRADD: variations of under-represented images"),
        Arm("readd", "removed real images put back: an upper bound", readds=True),
        Arm("sdclr", "self-damaging contrastive learning, no rounds", _by_method("SDCLR")),
        Arm(
            "ts",
            "SimCLR with a temperature schedule, no rounds",
            _by_method("SimCLR", temperature_schedule="cosine"),
        ),
    )
}
"""The arms that ship ready, by name."""


def chosen_arms(arms: Sequence[str] | Mapping[str, Settings | None] | None) -> list[Arm]:
    """The arms of a comparison.

    Args:
        arms: Names of standard arms; or by name their own settings of `bradd pretrain`, which go
            before those that all arms share. An arm of another name than a standard one's starts
            from `ood+generate`, or from the standard arm that its entry `like` names. Default: the
            standard ones.

    Raises:
        BraddError: There is none, one of them twice, or a name is unknown or cannot name a folder.
    """
    named: Mapping[str, Settings | None]
    if arms is None:
        return list(STANDARD_ARMS.values())
    if isinstance(arms, Mapping):
        named = arms
    else:
        unknown = [name for name in arms if name not in STANDARD_ARMS]
        if unknown:
            raise BraddError(f"arms: {_unknown(unknown[0])} One of your own needs settings.")
        if len(set(arms)) < len(arms):
            raise BraddError("arms: one of them is named twice.")
        named = dict.fromkeys(arms)
    if not named:
        raise BraddError("arms: name at least one.")
    return [_arm(name, dict(own or {})) for name, own in named.items()]


def _arm(name: str, own: Settings) -> Arm:
    if not re.fullmatch(r"[\w+.-]{1,64}", name) or name.startswith("."):
        raise BraddError(
            f"arms: {name!r} cannot name a folder: use letters, digits and _ + - . in it."
        )
    like = own.pop(LIKE, name if name in STANDARD_ARMS else "ood+generate")
    if like not in STANDARD_ARMS:
        raise BraddError(f"arms.{name}.{LIKE}: {_unknown(like)}")
    base = STANDARD_ARMS[like]
    about = f"{base.about}, with settings of its own" if own else base.about
    return replace(base, name=name, about=about, own=own)


def settings_of_arm(
    arm: Arm, shared: Settings, seed: int, manifest: str | None, removed: str | None
) -> Settings:
    """The settings of `bradd pretrain` for one run.

    Args:
        arm: The arm.
        shared: Settings of all arms.
        seed: Of the run.
        manifest: The subset that this arm is trained on; None for all images.
        removed: The manifest of the images that the imbalanced subset leaves out.

    Raises:
        BraddError: The arm does not suit the shared settings.
    """
    settings = arm.change(dict(shared))
    if arm.readds:
        settings["generator"] = {"class_path": "Readd", "init_args": {"images": removed}}
    if manifest is not None:
        settings["manifest"] = manifest
    return {**settings, **arm.own, "seed": seed}


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, STANDARD_ARMS, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"there is no standard arm {name!r}.{hint} There are {', '.join(STANDARD_ARMS)}."
