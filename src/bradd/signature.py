"""A command's signature as its command line and its YAML config, by jsonargparse."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any, NoReturn

import jsonargparse

from bradd.errors import BraddError

__all__ = ["CommandParser", "command_parser", "parse"]

# What a component is when only its settings are given, as in `--selector.k 10`.
DEFAULT_COMPONENTS = {
    "method": "SimCLR",
    "selector": "KNNDistance",
    "generator": "RepresentationDiffusion",
}


class CommandParser(jsonargparse.ArgumentParser):
    """A parser whose errors are `BraddError`s that suggest the nearest name."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise instead of printing the usage and exiting."""
        raise BraddError(_explain(message, self)) from ex


def command_parser(function: Callable[..., Any]) -> CommandParser:
    """A parser of the function's arguments, with `--config` and `--print_config`."""
    parser = CommandParser(prog=f"bradd {function.__name__}")
    parser.add_argument("--config", action="config", help="Read settings from a YAML file.")
    parser.add_function_arguments(function, as_positional=False)
    return parser


def parse(function: Callable[..., Any], arguments: list[str]) -> dict[str, Any]:
    """The function's arguments from a command line.

    Beyond what jsonargparse reads: a switch without a value is on, components go by their class
    names in any case, and a component's settings may stand alone or before its name.

    Raises:
        BraddError: A setting is unknown or its value is wrong; a near name is suggested.
    """
    parser = command_parser(function)
    arguments = _components_first(_switches(arguments, parser))
    settings: dict[str, Any] = vars(parser.instantiate(parser.parse_args(arguments)))
    settings.pop("config", None)
    return settings


def _switches(arguments: list[str], parser: CommandParser) -> list[str]:
    """`--resume` alone means `--resume=true`."""
    switches = {f"--{action.dest}" for action in parser._actions if action.default is False}
    following = [*arguments[1:], "--"]
    return [
        f"{argument}=true" if argument in switches and after.startswith("--") else argument
        for argument, after in zip(arguments, following, strict=True)
    ]


def _components_first(arguments: list[str]) -> list[str]:
    """Put the names of components, spelt as their classes are, before their settings."""
    first: list[str] = []
    rest = _split_values(arguments)
    from_file = any(name == "--config" for name, _ in rest)
    for component, default in DEFAULT_COMPONENTS.items():
        option = f"--{component}"
        named = [value for name, value in rest if name == option and value is not None]
        rest = [(name, value) for name, value in rest if name != option]
        if named:
            first += [f"{option}={_class_name(component, named[-1])}"]
        elif not from_file and any(
            name.startswith(f"{option}.") and name != f"{option}.help" for name, _ in rest
        ):
            first += [f"{option}={default}"]
    return first + [name if value is None else f"{name}={value}" for name, value in rest]


def _split_values(arguments: list[str]) -> list[tuple[str, str | None]]:
    """`--name=value` and `--name value` as pairs; anything else as a name without a value."""
    pairs: list[tuple[str, str | None]] = []
    for argument in arguments:
        if argument.startswith("--") and "=" in argument:
            name, value = argument.split("=", 1)
            pairs.append((name, value))
        elif not argument.startswith("-") and pairs and pairs[-1][1] is None:
            pairs[-1] = (pairs[-1][0], argument)
        else:
            pairs.append((argument, None))
    return pairs


def _class_name(component: str, given: str) -> str:
    """A class path as it is; a name that differs from a known class's in case alone as that's."""
    import bradd

    if "." in given:
        return given
    base = getattr(bradd, component.capitalize())
    known = {cls.__name__.lower(): cls.__name__ for cls in _subclasses(base)}
    name = given.replace("-", "").replace("_", "").lower()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {known[near[0]]}?" if near else ""
        raise BraddError(
            f"There is no {component} {given!r}.{hint} There are "
            f"{', '.join(sorted(known.values()))}; your own class is given by its import path, "
            "package.module.Class."
        )
    return known[name]


def _subclasses(base: type) -> list[type]:
    children: list[type] = base.__subclasses__()
    return children + [cls for child in children for cls in _subclasses(child)]


def _explain(message: str, parser: CommandParser) -> str:
    """The parser's message, or for an unknown name the nearest known one."""
    names = sorted({action.dest for action in parser._actions} - {"help", "print_config"})
    patterns = (
        r"nrecognized arguments.*?--([\w.-]+)",
        r"[Kk]ey [\"']([\w.]+)[\"'] is not expected",
    )
    for pattern in patterns:
        for name in re.findall(pattern, message):
            near = difflib.get_close_matches(name, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            return f"There is no setting {name!r}.{hint} {parser.prog} --help lists them."
    return message
