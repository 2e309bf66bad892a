"""Data and scripts inside a page, and the policy that lets these scripts run and no others."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup

__all__ = ["as_json", "content_policy", "page_script", "plotly_compressed"]


def as_json(data: Any) -> Markup:
    """Data for a script, as text that cannot end the element it stands in."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028"))


@cache
def page_script() -> Markup:
    """The page's own script."""
    return Markup("\n" + files("bradd.reporting").joinpath("page.js").read_text("utf-8"))


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    return script


@cache
def plotly_compressed() -> str:
    """Plotly's script, gzip and base64: less than half its size."""
    return base64.b64encode(gzip.compress(_plotly().encode(), 9, mtime=0)).decode()


@cache
def content_policy() -> str:
    """A Content-Security-Policy: no network, and no script but the page's own and Plotly's."""
    allowed = " ".join(f"'sha256-{_digest(one)}'" for one in (page_script(), _plotly()))
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
