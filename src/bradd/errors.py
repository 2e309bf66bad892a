"""The errors a user can mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["BraddError", "did_you_mean"]


class BraddError(Exception):
    """A wrong input or setting, or a machine that lacks something.

    The message names the file, setting or value and says what to do. The command line prints it
    without a traceback; everything else that is raised is a defect of bradd.
    """


def did_you_mean(given: str, names: Iterable[str]) -> str:
    """A question that follows a sentence, with the nearest of the names; empty if none is near."""
    near = difflib.get_close_matches(given, list(names), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
