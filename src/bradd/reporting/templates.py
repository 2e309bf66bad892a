"""Filling in the pages' templates."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bradd.reporting.embedded_scripts import as_json
from bradd.reporting.numbers import duration, error, number, percent, share

__all__ = ["render"]


def render(template: str, **values: Any) -> str:
    """Fill in a template; everything in it is escaped.

    Args:
        template: Its file's name in this package. One that extends `base.html.j2` takes `kind`,
            `name`, `summary` and `source`, which the frame of the page shows.
        values: What it shows.
    """
    environment = Environment(
        loader=PackageLoader("bradd.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "percent": percent,
        "share": share,
        "duration": duration,
        "error": error,
        "as_json": as_json,
    }
    return environment.get_template(template).render(version=version("bradd"), **values)
