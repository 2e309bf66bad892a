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
        arguments[name] = _plain(getattr(component, name))
    return {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": arguments}


def describe(component: object) -> str:
    """One line for people, for example `KNNDistance(k=5)`."""
    values = {name: getattr(component, name) for name in settings_of(component)["init_args"]}
    inner = ", ".join(
        f"{name}={_plain(value) if _is_plain(value) else describe(value)}"
        for name, value in values.items()
    )
    return f"{type(component).__qualname__}({inner})"


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value if _is_plain(value) else settings_of(value)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str, tuple, list, dict))
