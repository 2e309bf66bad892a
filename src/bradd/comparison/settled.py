"""The settings of a comparison's arms, settled once for all processes that do its runs.

What `bradd pretrain` chooses for a machine, such as the backbone or the batch, must not differ from
run to run: the first process chooses, writes it down, and the others do as it says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from bradd.comparison.arms import Arm, settings_of_arm
from bradd.comparison.subsets import images_of
from bradd.errors import BraddError
from bradd.facts import Facts
from bradd.files import write_atomically, write_errors
from bradd.generate import Readd
from bradd.presets import Settings, resolve
from bradd.round_settings import check_round
from bradd.run_settings import FREE_ON_RESUME, plain_setting
from bradd.signature import checked
from bradd.ssl import Backbone
from bradd.training import build_module, steps_of_cycles

__all__ = ["SettledArm", "differing_budgets", "plain_settings", "settle_arm"]

Command = Callable[..., Any]

IMAGES_MEASURED = 64  # whose sizes the defaults follow from
OF_COMPARISON = ("data", "out", "longtail", "manifest", "seed", "resume", "overwrite")
OF_SETTINGS = tuple(field.name for field in fields(Settings))


@dataclass(frozen=True)
class SettledArm:
    """An arm and its settings, but for those of a seed.

    Attributes:
        arm: The arm.
        plain: Settings of `bradd pretrain`, plain and complete.
        settings: The same, as they are for the seed that they were checked with.
        budget: Training samples of a run.
    """

    arm: Arm
    plain: dict[str, Any]
    settings: Settings
    budget: int


def plain_settings(command: Command, settings: dict[str, Any], whose: str) -> dict[str, Any]:
    """Some settings, checked, as config.yaml would hold them.

    Args:
        command: `bradd pretrain`.
        settings: Values and components, or plain values.
        whose: For messages.

    Raises:
        BraddError: A setting is unknown, wrong, or for the comparison to decide.
    """
    for name in OF_COMPARISON:
        if name in settings:
            raise BraddError(f"{whose}: {name} is the comparison's own, not an arm's.")
    try:
        found = checked(command, settings)
    except BraddError as error:
        raise BraddError(f"{whose}: {error}") from error
    return {name: plain_setting(name, value) for name, value in found.items()}


def settle_arm(
    command: Command,
    arm: Arm,
    shared: dict[str, Any],
    of_seed: dict[str, Any],
    data: str,
    file: Path,
    *,
    dry_run: bool = False,
) -> SettledArm:
    """Choose an arm's settings, or take those that were chosen before; check that they can be had.

    Args:
        command: `bradd pretrain`.
        arm: The arm.
        shared: Plain settings of all arms.
        of_seed: Settings of one seed, see `settings_of_seed`.
        data: What is trained on.
        file: Where they are written down.
        dry_run: Write nothing down, and do not ask whether generators can be had: the runs may be
            done on another machine.

    Raises:
        BraddError: A setting is impossible, or not what it was before; arm and setting are named.
    """
    try:
        given = plain_settings(command, settings_of_arm(arm, shared), "its settings")
        kept = {name: given.pop(name) for name in FREE_ON_RESUME if name in given}
        written = _read(file, given) if file.exists() else None
        facts = _facts(data, of_seed.get("manifest"))
        checked_with = checked(command, {**(written or given), **kept, **of_seed})
        settings = resolve(
            {name: value for name, value in checked_with.items() if name in OF_SETTINGS}, facts
        )
        _check(settings, facts, generators=not dry_run)
    except BraddError as error:
        raise BraddError(f"The arm {arm.name}: {error}") from error
    plain = {**(written or given), **settings.to_config()}
    of_machine_and_seed = [name for name in (*FREE_ON_RESUME, *of_seed) if name in plain]
    for name in of_machine_and_seed:
        del plain[name]
    if written is None and not dry_run:
        with write_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
        content = {"arm": arm.name, "about": arm.about, "given": given, "settings": plain}
        write_atomically(file, json.dumps(content, indent=1) + "\n")
    budget = settings.epochs_per_cycle * sum(steps_of_cycles(settings, facts.images))
    return SettledArm(arm, {**plain, **kept}, settings, budget * settings.batch_size)


def _read(file: Path, given: dict[str, Any]) -> dict[str, Any]:
    try:
        there = json.loads(file.read_text(encoding="utf-8"))
        before, settings = dict(there["given"]), dict(there["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BraddError(
            f"{file} cannot be read ({error!r}): restore it, or choose another out."
        ) from error
    now = json.loads(json.dumps(given))
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            raise BraddError(
                f"{name} was {before.get(name)!r} when its first run started (see {file}), and is "
                f"now {now.get(name)!r}. Choose another out or another name for the arm."
            )
    return settings


def _check(settings: Settings, facts: Facts, *, generators: bool) -> None:
    plan = Backbone.choose(
        settings.backbone,
        settings.image_size,
        settings.backbone_kwargs,
        several_sizes=len(settings.view_sizes()) > 1,
    )
    build_module(plan, settings, facts.images, from_checkpoint=settings.weights == "timm")
    if settings.cycles > 1:
        if generators:
            settings.generator.check()
        _check_readd(settings)
        check_round(facts.images, settings.round_settings())
    if settings.batch_size > facts.images:
        raise BraddError(
            f"batch_size is {settings.batch_size}, but there are {facts.images} images."
        )


def _check_readd(settings: Settings) -> None:
    if isinstance(settings.generator, Readd):
        rounds = settings.cycles - settings.first_round
        wanted = rounds * settings.n_anchors * settings.n_variations
        if settings.generator.left() < wanted:
            raise BraddError(
                f"{rounds} rounds of {settings.n_anchors} anchors with {settings.n_variations} "
                f"variations put {wanted} images back, but {settings.generator.left()} were "
                "removed: choose fewer n_anchors, n_variations or cycles."
            )


def _facts(data: str, manifest: str | None) -> Facts:
    """Of this machine and the images, of which some are looked at."""
    images = images_of(data, manifest)
    some = np.linspace(0, len(images) - 1, min(len(images), IMAGES_MEASURED)).astype(int)
    shorter = int(np.median([min(images.load(int(row)).size) for row in some]))
    return Facts.of_machine(len(images), shorter)


def differing_budgets(arms: Sequence[SettledArm]) -> dict[int, list[str]]:
    """The arms by their budgets, the most frequent budget first."""
    names: dict[int, list[str]] = {}
    for settled in arms:
        names.setdefault(settled.budget, []).append(settled.arm.name)
    return dict(sorted(names.items(), key=lambda item: -len(item[1])))
