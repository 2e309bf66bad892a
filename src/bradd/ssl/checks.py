"""Checking a method's settings."""

from __future__ import annotations

from bradd.errors import BraddError

__all__ = ["require"]


def require(name: str, value: object, right: bool, expected: str) -> None:
    """Raise a BraddError that names the method's setting unless its value is right."""
    if not right:
        raise BraddError(f"method.{name} is {value}: it must be {expected}.")
