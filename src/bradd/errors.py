"""The errors a user can mend."""

from __future__ import annotations

__all__ = ["BraddError"]


class BraddError(Exception):
    """A wrong input or setting, or a machine that lacks something.

    The message names the file, setting or value and says what to do. The command line prints it
    without a traceback; everything else that is raised is a defect of bradd.
    """
