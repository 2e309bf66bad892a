"""How the page writes numbers: short, and an absent one as a dash."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["duration", "error", "number", "percent", "share", "signal"]

ABSENT = "\N{EN DASH}"


def _absent(value: Any) -> bool:
    return not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value)


def number(value: Any) -> str:
    """An integer with thousands separated, a float to three significant digits."""
    if _absent(value):
        return ABSENT
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:#.3g}"


def percent(value: Any) -> str:
    """A figure that is already in percent, to one decimal."""
    return ABSENT if _absent(value) else f"{value:.1f} %"


def share(value: Any) -> str:
    """A share from 0 to 1, in percent."""
    return ABSENT if _absent(value) else percent(100 * value)


def error(value: Any) -> str:
    """A standard error in percentage points."""
    return ABSENT if _absent(value) else f"± {value:.1f}"


def duration(seconds: Any) -> str:
    """Seconds as `4.2 s`, `3 min 12 s` or `2 h 05 min`."""
    if _absent(seconds):
        return ABSENT
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def signal(strength: Mapping[str, Any] | None) -> str:
    """A sentence on the strength of a score's signal, `None` if it was not measured.

    Args:
        strength: The fields of `bradd.select.Signal`.
    """
    if strength is None:
        return "Signal: not measured, since the score is not drawn several times."
    return (
        f"Signal: two draws of the score have {share(strength.get('stability'))} of their anchors "
        f"in common, and {share(strength.get('share_of_variance'))} of the variance of the scores "
        "lies between images; the rest is chance."
    )
