"""Selectors, generators and methods as settings: class path and arguments."""

from __future__ import annotations

import inspect
from typing import Any

from bradd.errors import BraddError

__all__ = ["describe", "settings_of"]


def settings_of(component: object) -> dict[str, Any]:
    """The class path and arguments that would build this object again.

    As in scikit-learn, every argument of `__init__` must be kept under its own name.

    Returns:
        `{"class_path": ..., "init_args": {...}}`, as jsonargparse reads it.

    Raises:
        BraddError: An argument is not kept as an attribute.
    """
    cls = type(component)
    arguments = {}
    for name in inspect.signature(cls).parameters:
        if not hasattr(component, name):
            raise BraddError(
                f"{cls.__qualname__} must keep its argument {name!r} as self.{name}, so that the "
                "run's config.yaml can name it."
            )
        value = getattr(component, name)
        arguments[name] = list(value) if isinstance(value, tuple) else value
    return {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": arguments}


def describe(component: object) -> str:
    """One line for people, for example `KNNDistance(k=5)`."""
    arguments = settings_of(component)["init_args"]
    inner = ", ".join(f"{name}={value}" for name, value in arguments.items())
    return f"{type(component).__qualname__}({inner})"
