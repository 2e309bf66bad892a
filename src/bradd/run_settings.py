"""A run's settings as config.yaml holds them, and whether those given on resuming are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bradd.component import settings_of
from bradd.data import absolute_data
from bradd.errors import BraddError
from bradd.generate import Generator
from bradd.presets import Settings
from bradd.run import Run
from bradd.select import Selector
from bradd.signature import checked
from bradd.ssl import Method
from bradd.views import Views

__all__ = ["MAX_UNREADABLE", "config_of", "plain_setting", "saved_settings"]

MAX_UNREADABLE = 0.01

# These may change when a run is resumed: its result does not depend on them.
FREE_ON_RESUME = ("num_workers", "logger")


def config_of(given: dict[str, Any], run: Run, settings: Settings) -> dict[str, Any]:
    """All settings of a run as plain values, from which `bradd pretrain --config` starts it again.

    Args:
        given: What the user set: here matters what is no part of `settings`.
        run: The run.
        settings: The resolved settings.
    """
    return {
        "data": plain_setting("data", given["data"]),
        "out": str(run.folder),
        "longtail": given.get("longtail"),
        "manifest": plain_setting("manifest", given["manifest"]) if "manifest" in given else None,
        "labels": plain_setting("labels", given["labels"]) if "labels" in given else None,
        "logger": given.get("logger", "none"),
        "max_unreadable": given.get("max_unreadable", MAX_UNREADABLE),
        **settings.to_config(),
        "weights": plain_setting("weights", settings.weights),
    }


def saved_settings(command: Callable[..., Any], run: Run, given: dict[str, Any]) -> dict[str, Any]:
    """The settings a run started with.

    Args:
        command: The function whose arguments they are.
        run: The run to resume.
        given: What is given anew, without `None`s.

    Raises:
        BraddError: There is no such run, or something given differs; it is named.
    """
    run.check_resumable()
    saved = run.read_config()
    for name, value in given.items():
        if name not in FREE_ON_RESUME and plain_setting(name, value) != saved.get(name):
            raise BraddError(
                f"{name} was {saved.get(name)!r} when the run in {run.folder} started and is now "
                f"{plain_setting(name, value)!r}. Resume without it, or start another run."
            )
    free = {name: given[name] for name in FREE_ON_RESUME if name in given}
    settings = {**checked(command, saved), **free}
    return {name: value for name, value in settings.items() if value is not None and name != "out"}


def plain_setting(name: str, value: Any) -> Any:
    """A setting as config.yaml holds it."""
    if value is None:
        return None
    if isinstance(value, (Method, Views, Selector, Generator)):
        return settings_of(value)
    if name in ("data", "labels"):
        return absolute_data(value)
    if name == "manifest":
        return str(Path(value).expanduser().resolve())
    if name == "weights" and value not in ("random", "timm"):
        return str(Path(value).expanduser().resolve())
    return value
