"""`bradd <command>`."""

from __future__ import annotations

import importlib
import logging
import sys

from bradd import COMMANDS, __version__
from bradd.errors import BraddError

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Default: the process's.

    Returns:
        The exit status: 0, or 2 for an error that the user can mend.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        _write(_usage())
        return 0
    if arguments[0] == "--version":
        _write(f"bradd {__version__}")
        return 0
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    try:
        _run(arguments[0], arguments[1:])
    except BraddError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _run(command: str, arguments: list[str]) -> None:
    import difflib

    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise BraddError(f"There is no command {command!r}.{hint} bradd --help lists them.")
    # Only here: jsonargparse and the command's own imports take seconds.
    from bradd.signature import parse

    function = getattr(importlib.import_module(f"bradd.commands.{command}"), command)
    function(**parse(function, arguments))


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
            "bradd COMMAND --help lists a command's settings; bradd --version.",
        ]
    )


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
