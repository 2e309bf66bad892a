"""`bradd report`: write a run's page anew."""

from __future__ import annotations

from pathlib import Path

from bradd.console import console_on, say
from bradd.errors import BraddError
from bradd.reporting import write_contact_sheet, write_report
from bradd.run import Run

__all__ = ["report"]


def report(run: str | Path, picture: str | Path | None = None) -> Path:
    """Write a run's report.html from what lies in its folder.

    Args:
        run: The run's folder. No default.
        picture: Also write a PNG that shows some anchors beside their variations. Default: none is
            written.

    Returns:
        The page's path.

    Raises:
        BraddError: There is no run in the folder, or one of its files is damaged.
    """
    if not Run(run).exists():
        raise BraddError(f"There is no run in {run} (config.yaml is missing).")
    with console_on():
        page = write_report(Run(run).folder)
        say(f"Look at {page}")
        if picture is not None:
            write_contact_sheet(Run(run).folder, Path(picture))
            say(f"and at {picture}")
    return page
