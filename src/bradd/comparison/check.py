"""Finding before the first run what would end one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from bradd.comparison.study import StudyRun
from bradd.comparison.subsets import images_of
from bradd.errors import BraddError
from bradd.generate import Readd
from bradd.presets import Facts, Settings, resolve
from bradd.round_settings import check_round
from bradd.signature import checked
from bradd.ssl import Backbone

__all__ = ["check_runs"]

IMAGES_MEASURED = 64  # whose sizes the defaults follow from


def check_runs(
    command: Callable[..., Any], runs: Sequence[StudyRun], *, generators: bool = True
) -> dict[str, Settings]:
    """Check the settings of one run of each arm.

    Args:
        command: `bradd pretrain`, whose settings they are.
        runs: One of each arm, of the same number of images.
        generators: Whether to find out if generators can be had.

    Returns:
        The resolved settings, by arm.

    Raises:
        BraddError: A setting is unknown or impossible; the arm is named.
    """
    facts = _facts(runs[0])
    found = {}
    for run in runs:
        try:
            found[run.arm.name] = _resolved(command, run, facts, generators)
        except BraddError as error:
            raise BraddError(f"The arm {run.arm.name}: {error}") from error
    return found


def _resolved(
    command: Callable[..., Any], run: StudyRun, facts: Facts, generators: bool
) -> Settings:
    for name in ("out", "longtail", "resume", "overwrite"):
        if name in run.settings:
            raise BraddError(f"settings: {name} is the comparison's own, not an arm's.")
    given = checked(command, run.settings)
    tuned = {field.name for field in fields(Settings)}
    settings = resolve({name: given[name] for name in given if name in tuned}, facts)
    sizes = settings.view_sizes()
    Backbone.choose(
        settings.backbone, settings.image_size, settings.backbone_kwargs, len(sizes) > 1
    )
    if settings.cycles > 1:
        if generators:
            settings.generator.check()
        check_round(facts.images, settings.round_settings())
        _check_readd(settings)
    if settings.batch_size > facts.images:
        raise BraddError(
            f"batch_size is {settings.batch_size}, but there are {facts.images} images."
        )
    return settings


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


def _facts(run: StudyRun) -> Facts:
    """Of this machine and the images, of which some are looked at."""
    images = images_of(run.settings["data"], run.settings.get("manifest"))
    some = np.linspace(0, len(images) - 1, min(len(images), IMAGES_MEASURED)).astype(int)
    shorter = int(np.median([min(images.load(int(row)).size) for row in some]))
    return Facts.of_machine(len(images), shorter)
