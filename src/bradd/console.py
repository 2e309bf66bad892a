"""The one place that writes to the terminal.

Library code wraps long loops in `track` and may call `say`; both are silent until a command turns
the console on, so that bradd prints nothing into somebody else's program, and of several processes
only the first is heard.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from bradd.distributed import is_first_process

__all__ = ["StageProgress", "console_on", "say", "show_table", "stage", "track"]

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 30.0

_console = Console(highlight=False)
_on = False


@contextmanager
def console_on() -> Iterator[None]:
    """Let the library write to the terminal within this block."""
    global _on
    before, _on = _on, True
    try:
        yield
    finally:
        _on = before


def say(message: str) -> None:
    """Print one line of text as it is; bytes of file names that are no UTF-8 by their numbers."""
    if _heard():
        printable = message.encode("utf-8", "backslashreplace").decode("utf-8")
        _console.print(Text(printable), soft_wrap=True)


def show_table(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Print a table; every column but the first is set flush right."""
    if not _heard():
        return
    if not _console.is_terminal:
        say(f"{title}\n" + "\n".join("  ".join(row) for row in [header, *rows]))
        return
    table = Table(title=Text(title), title_justify="left")
    for position, name in enumerate(header):
        table.add_column(Text(name), justify="right" if position else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    _console.print(table)


def _heard() -> bool:
    return _on and is_first_process()


class _Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        """Of the last half minute; when all is done, of all."""
        return Text(_rate(task.finished_speed or task.speed or 0.0))


class _Bar(Progress):
    """A stage's bar and below it its note: side by side they would not fit 80 columns."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        for task in self.tasks:
            if task.fields["note"]:
                yield Text(f"  {task.fields['note']}", no_wrap=True, overflow="ellipsis")


class StageProgress:
    """How far one stage is; made by `stage`."""

    def __init__(self, description: str, total: int) -> None:
        self._description = description
        self._total = total
        self._done = 0
        self._start = time.monotonic()
        self._last_line = self._start
        self._bar: Progress | None = None
        self._note = ""

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Count `amount` more units as done; `note` is shown below the bar until there is another.

        Args:
            amount: Units.
            note: What else there is to say, for example the loss.
        """
        self._done += amount
        self._note = note or self._note
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], advance=amount, note=self._note)
        elif _heard() and time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            elapsed = self._last_line - self._start
            left = elapsed / max(self._done, 1) * (self._total - self._done)
            say(
                f"{self._description}: {self._done}/{self._total}, {_rate(self._done / elapsed)}, "
                f"{_duration(elapsed)} gone, {_duration(left)} left  {self._note}".rstrip()
            )

    def reach(self, done: int) -> None:
        """Count so many units as done in all."""
        self.advance(done - self._done)

    def __enter__(self) -> StageProgress:
        if _heard() and _console.is_terminal:
            self._bar = _Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                _Rate(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=_console,
            )
            self._bar.add_task(self._description, total=self._total, note="")
            self._bar.start()
        return self

    def __exit__(self, exception: type[BaseException] | None, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif exception is None:
            say(f"{self._description}: {_duration(time.monotonic() - self._start)}")


def stage(description: str, total: int) -> StageProgress:
    """A progress bar with time left; plain lines now and then where there is no terminal.

    Args:
        description: What is being done.
        total: Units of work in all.
    """
    return StageProgress(description, total)


def track(iterable: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Iterate while showing progress."""
    with stage(description, total) as progress:
        for item in iterable:
            yield item
            progress.advance()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _rate(per_second: float) -> str:
    return f"{per_second:.0f}/s" if per_second >= 10 else f"{per_second:.1f}/s"
