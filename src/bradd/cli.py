"""`bradd <command>`."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bradd import COMMANDS, __version__
from bradd.errors import BraddError, did_you_mean
from bradd.help import command_help, global_help

__all__ = ["main"]

LOG_LEVELS = ("debug", "info", "warning", "error")

DEFECT, MENDABLE, INTERRUPTED = 1, 2, 130  # exit statuses


class GlobalOptions(NamedTuple):
    """What every command takes, before or after its name."""

    debug: bool
    log_level: str
    rest: list[str]


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Default: the process's.

    Returns:
        The exit status: 0; 2 for an error that the user can mend, 1 for any other, 130 after an
        interrupt.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    running = _Running()
    try:
        options = _global_options(arguments)
        _log_from(options.log_level)
        _run(options.rest, running)
    except BraddError as error:
        return _fail(MENDABLE, f"error: {error}", debug)
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, f"\nInterrupted. {running.how_to_go_on()}", debug)
    except Exception as error:
        message = " ".join(str(error).split())
        what = f"{type(error).__name__}: {message}" if message else type(error).__name__
        hint = "A defect of bradd or of what it uses; --debug shows the traceback."
        return _fail(DEFECT, f"error: {what} ({hint})", debug)
    return 0


class _Running:
    """The command that runs, and its settings as far as they are known."""

    def __init__(self) -> None:
        self.command = ""
        self.settings: dict[str, Any] = {}

    def how_to_go_on(self) -> str:
        """What to do after an interrupt."""
        if self.command in ("compare", "reproduce"):
            return "The same command goes on where it stopped."
        out = self.settings.get("out")
        if "resume" not in self.settings or not out or self.settings.get("dry_run"):
            return "Give the same command to start again."
        if not (Path(out).expanduser() / "config.yaml").exists():
            return "Nothing was written yet: give the same command to start again."
        return f"Go on with: bradd {self.command} --out {out} --resume"


def _global_options(arguments: Sequence[str]) -> GlobalOptions:
    """Take them out of the arguments.

    Raises:
        BraddError: There is no such log level.
    """
    debug, level, rest = False, "warning", []
    remaining = iter(arguments)
    for argument in remaining:
        name, equals, value = argument.replace("--log_level", "--log-level").partition("=")
        if argument == "--debug":
            debug = True
        elif name == "--log-level":
            level = value if equals else next(remaining, "")
        else:
            rest.append(argument)
    if level not in LOG_LEVELS:
        raise BraddError(
            f"log-level is {level!r}: choose one of {', '.join(LOG_LEVELS)}."
            f"{did_you_mean(level, LOG_LEVELS)}"
        )
    return GlobalOptions(debug, level, rest)


def _log_from(level: str) -> None:
    """Show bradd's own messages from a level on; those of other libraries from warnings on."""
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger().setLevel(max(number, logging.WARNING))
    logging.getLogger("bradd").setLevel(number)


def _run(arguments: Sequence[str], running: _Running) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        return _write(_usage())
    if arguments[0] == "--version":
        return _write(f"bradd {__version__}")
    command, *rest = arguments
    if command not in COMMANDS:
        raise BraddError(
            f"There is no command {command!r}.{did_you_mean(command, COMMANDS)} "
            "bradd --help lists them."
        )
    if "-h" in rest or "--help" in rest:
        return _write(command_help(command))
    # Only here: jsonargparse and the command's own imports take seconds.
    running.command = command
    from bradd.signature import parse

    function = getattr(importlib.import_module(f"bradd.commands.{command}"), command)
    running.settings = parse(function, rest)
    function(**running.settings)
    return None


def _fail(status: int, message: str, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    sys.stderr.write(f"{message}\n")
    return status


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "usage: bradd COMMAND [--config FILE.yaml] [--SETTING VALUE ...]",
            "",
            "Self-supervised pre-training on imbalanced, unlabelled images.",
            "",
            *lines,
            "",
            "Of every command, before or after its name:",
            global_help(),
            "",
            "bradd COMMAND --help lists a command's settings; bradd --version.",
        ]
    )


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
