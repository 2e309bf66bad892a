"""Arms: configurations of `bradd pretrain` that are compared, the standard ones and your own."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bradd.errors import BraddError
from bradd.presets import CYCLES, EPOCHS_PER_CYCLE

__all__ = [
    "STANDARD_ARMS",
    "Arm",
    "Subset",
    "chosen_arms",
    "settings_of_arm",
    "settings_of_seed",
]

Subset = Literal["imbalanced", "balanced"]
Settings = dict[str, Any]

LIKE = "like"
SCHEDULE = ("cycles", "epochs_per_cycle", "first_round")


@dataclass(frozen=True)
class Arm:
    """What sets a configuration apart from the others of its comparison.

    Attributes:
        name: Of the arm.
        about: What it is, in a few words.
        change: From the settings that all arms share to this arm's.
        subset: What it is trained on.
        readds: Whether its variations are the images that the imbalanced subset leaves out.
        own: The arm's own settings of `bradd pretrain`, which go before all others; a schedule
            among them is that of its training, rounds or not.
        like: The standard arm that it is or starts from.
    """

    name: str
    about: str
    change: Callable[[Settings], Settings] = field(default=dict)
    subset: Subset = "imbalanced"
    readds: bool = False
    own: Settings = field(default_factory=dict)
    like: str = ""


def without_rounds(settings: Settings) -> Settings:
    """As many epochs in one cycle, and so the same steps under the same schedule."""
    cycles = settings.get("cycles", CYCLES)
    epochs = cycles * settings.get("epochs_per_cycle", EPOCHS_PER_CYCLE)
    return {**_without(settings, SCHEDULE), "cycles": 1, "epochs_per_cycle": epochs}


def _generated_by(generator: str) -> Callable[[Settings], Settings]:
    return lambda settings: {**settings, "generator": {"class_path": generator}}


def _variant_of_simclr(
    name: str, keeps: Sequence[str], **arguments: Any
) -> Callable[[Settings], Settings]:
    """A method that shares some arguments with the SimCLR of all arms; without rounds."""

    def change(settings: Settings) -> Settings:
        shared = settings.get("method", {"class_path": "SimCLR"})
        path = shared["class_path"]
        if path.rpartition(".")[2] != "SimCLR":
            raise BraddError(
                f"the standard arms sdclr and ts are variants of SimCLR, but settings.method is "
                f"{path}: name the arms without them."
            )
        common = shared.get("init_args", {})
        kept = {argument: common[argument] for argument in keeps if argument in common}
        method = {"class_path": name, "init_args": {**kept, **arguments}}
        return {**without_rounds(settings), "method": method}

    return change


STANDARD_ARMS = {
    arm.name: arm
    for arm in (
        Arm("none", "the imbalanced images alone", without_rounds),
        Arm("balanced", "as many images, equally many of each class", without_rounds, "balanced"),
        Arm("duplicate", "the anchors themselves as their variations", _generated_by("Duplicate")),
        Arm("augment", "conventional augmentation of the anchors", _generated_by("Augment")),
        Arm(
            "uniform+generate",
            "variations of images drawn at random",
            lambda settings: {**settings, "selector": {"class_path": "Uniform"}},
        ),
        Arm("ood+generate", "BRADD: variations of under-represented images"),
        Arm("readd", "removed real images put back: an upper bound", readds=True),
        Arm(
            "sdclr",
            "self-damaging contrastive learning, no rounds",
            _variant_of_simclr("SDCLR", ["projection_size"]),
        ),
        Arm(
            "ts",
            "SimCLR with a temperature schedule, no rounds",
            _variant_of_simclr("SimCLR", ["projection_size"], temperature_schedule="cosine"),
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
        arms = list(STANDARD_ARMS)
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
    return replace(base, name=name, about=about, own=own, like=like)


def settings_of_arm(arm: Arm, shared: Settings) -> Settings:
    """The arm's settings of `bradd pretrain`, without what differs from seed to seed.

    Args:
        arm: The arm.
        shared: Settings of all arms, plain: components as class path and arguments.

    Raises:
        BraddError: The arm does not suit the shared settings.
    """
    schedule = {name: arm.own[name] for name in SCHEDULE if name in arm.own}
    return {**arm.change({**shared, **schedule}), **_without(arm.own, SCHEDULE)}


def settings_of_seed(seed: int, manifest: str | None, readds: str | None) -> Settings:
    """What differs from seed to seed.

    Args:
        seed: Of the run.
        manifest: The subset that is trained on; None for all images.
        readds: For an arm that puts them back: the manifest of the removed images.
    """
    settings: Settings = {"seed": seed}
    if manifest is not None:
        settings["manifest"] = manifest
    if readds is not None:
        settings["generator"] = {"class_path": "Readd", "init_args": {"images": readds}}
    return settings


def _without(settings: Settings, names: Sequence[str]) -> Settings:
    return {name: value for name, value in settings.items() if name not in names}


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, STANDARD_ARMS, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"there is no standard arm {name!r}.{hint} There are {', '.join(STANDARD_ARMS)}."
