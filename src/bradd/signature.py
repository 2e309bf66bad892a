"""A command's signature as its command line and its YAML config, by jsonargparse."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import jsonargparse

from bradd.errors import BraddError, did_you_mean
from bradd.run import read_settings

__all__ = ["CommandParser", "SettingError", "checked", "command_parser", "parse"]

# What a component is when only its settings are given, as in `--selector.k 10`.
DEFAULT_COMPONENTS = {
    "method": "SimCLR",
    "views": "SimCLRViews",
    "selector": "Rare",
    "generator": "RepresentationDiffusion",
}

COMPONENT_ROOMS = {
    "method": "bradd.ssl",
    "views": "bradd.views",
    "selector": "bradd.select",
    "generator": "bradd.generate",
}

# How jsonargparse says that there is no setting of that name.
UNKNOWN = (
    r"Option '([^']+)' is not accepted",
    r"nrecognized arguments: -*([^\s=]+)",
    r"Got value: NestedArg\(key='([\w.]+)'",
)


class SettingError(BraddError):
    """A wrong setting.

    Attributes:
        setting: Its name, for a component's setting with a dot; empty for the command's own.
        problem: What is wrong with it.
    """

    def __init__(self, setting: str, problem: str, command: str) -> None:
        super().__init__(f"{setting or command} {problem}")
        self.setting = setting
        self.problem = problem


class CommandParser(jsonargparse.ArgumentParser):
    """A parser whose errors are `BraddError`s that suggest the nearest name.

    jsonargparse makes one for each component, too; the command's passes on its errors.
    """

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise instead of printing the usage and exiting."""
        raise _explain(message, ex, self) from ex


def command_parser(function: Callable[..., Any]) -> CommandParser:
    """A parser of the function's arguments, with `--config` and `--print_config`."""
    parser = CommandParser(prog=f"bradd {function.__name__}", allow_abbrev=False)
    parser.add_argument("--config", action="config", help="Read settings from a YAML file.")
    parser.add_function_arguments(function, as_positional=False)
    return parser


def parse(function: Callable[..., Any], arguments: list[str]) -> dict[str, Any]:
    """The function's arguments from a command line.

    Beyond what jsonargparse reads: a value at the start is the first argument's, or a YAML file
    that of `--config`, a switch without a value is on, components go by their class
    names in any case, a component's settings may stand alone or before its name, hyphens in the
    name of a setting are underscores, and what is given on the command line goes before what a YAML
    file says, wherever `--config` stands.

    Raises:
        BraddError: A setting is unknown or its value is wrong; a near name is suggested.
    """
    parser = command_parser(function)
    if arguments and not arguments[0].startswith("-"):
        in_file = arguments[0].endswith((".yaml", ".yml"))
        first = "config" if in_file else next(iter(inspect.signature(function).parameters))
        arguments = [f"--{first}={arguments[0]}", *arguments[1:]]
    pairs = [
        _named_help(name, value)
        for name, value in _split_values(_switches(_underscored(arguments), parser))
    ]
    for name, value in pairs:
        if name == "--config" and value is not None:
            read_settings(Path(value))
    return _build(parser, parser.parse_args(_in_order(pairs)))


def checked(function: Callable[..., Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Some of the function's arguments, checked and built as those from a command line are.

    Args:
        function: A command.
        settings: Values and components, or plain values as config.yaml holds them.

    Raises:
        BraddError: A setting is unknown or its value is wrong.
    """
    parser = command_parser(function)
    built = _build(parser, parser.parse_object(settings))
    return {name: built[name] for name in settings}


def _build(parser: CommandParser, parsed: Any) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = vars(parser.instantiate(parsed))
    except ValueError as error:  # around a component that refuses its settings
        raise next((e for e in _causes(error) if isinstance(e, BraddError)), error) from None
    settings.pop("config", None)
    return settings


def _underscored(arguments: list[str]) -> list[str]:
    """`--dry-run` as `--dry_run`; values stay as they are."""
    renamed = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name.startswith("--"):
            argument = f"--{name[2:].replace('-', '_')}{equals}{value}"
        renamed.append(argument)
    return renamed


def _switches(arguments: list[str], parser: CommandParser) -> list[str]:
    """`--resume` alone means `--resume=true`."""
    switches = {f"--{action.dest}" for action in parser._actions if action.default is False}
    return [
        f"{argument}=true" if argument in switches and after.startswith("--") else argument
        for argument, after in pairwise([*arguments, "--"])
    ]


def _in_order(pairs: list[tuple[str, str | None]]) -> list[str]:
    """Defaults before files before the command line, and components before their settings."""
    defaults: list[str] = []
    named: list[str] = []
    everything = list(pairs)
    for component in DEFAULT_COMPONENTS:
        option = f"--{component}"
        names = [value for name, value in pairs if name == option and value is not None]
        pairs = [pair for pair in pairs if pair[0] != option or pair[1] is None]
        if names:
            named.append(f"{option}={_class_name(component, names[-1])}")
        elif any(name.startswith(f"{option}.") and name != f"{option}.help" for name, _ in pairs):
            defaults.append(f"{option}={_default(component, everything)}")
    files = [f"{name}={value}" for name, value in pairs if name == "--config" and value is not None]
    rest = [
        name if value is None else f"{name}={value}"
        for name, value in pairs
        if name != "--config" or value is None
    ]
    return defaults + files + named + rest


def _named_help(name: str, value: str | None) -> tuple[str, str | None]:
    """`--selector.help rare` with the class's own spelling."""
    component = name.removeprefix("--").removesuffix(".help")
    if value is None or f"--{component}.help" != name or component not in DEFAULT_COMPONENTS:
        return name, value
    return name, _class_name(component, value)


def _default(component: str, pairs: list[tuple[str, str | None]]) -> str:
    """What a component is when only its settings are given; views go with the method."""
    if component != "views":
        return DEFAULT_COMPONENTS[component]
    method = DEFAULT_COMPONENTS["method"]
    for path in (value for name, value in pairs if name == "--config" and value is not None):
        in_file = read_settings(Path(path)).get("method") or method
        method = in_file["class_path"] if isinstance(in_file, dict) else in_file
    method = [method, *(value for name, value in pairs if name == "--method" and value)][-1]
    module, _, name = _class_name("method", method).rpartition(".")
    cls = getattr(importlib.import_module(module or COMPONENT_ROOMS["method"]), name)
    return str(cls.default_views.__name__)


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
    """A class path or mapping as it is; a name in another case as its class spells it."""
    if "." in given or given.startswith("{"):
        return given
    # Only here: the rooms import torch, which an error in a setting need not wait for.
    base = getattr(importlib.import_module(COMPONENT_ROOMS[component]), component.capitalize())
    known = {
        cls.__name__.lower(): cls.__name__
        for cls in _subclasses(base)
        if not inspect.isabstract(cls)
    }
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


def _explain(message: str, error: Exception | None, parser: CommandParser) -> BraddError:
    """The parser's message in one sentence."""
    causes = list(_causes(error))
    key = re.match(r'Parser key "([\w.]+)"', message)
    setting = key[1] if key else ""
    for cause in causes:
        if isinstance(cause, SettingError):  # of a component's own parser
            return SettingError(
                f"{setting}.{cause.setting}".rstrip("."), cause.problem, parser.prog
            )
    reason = " ".join(str(causes[-1] if causes else message).split())
    for pattern in UNKNOWN:
        if found := re.search(pattern, reason):
            return SettingError(setting, _unknown(found[1], parser), parser.prog)
    if found := re.match(r"(?:Expected a|Not a valid subclass of) (.+)\. Got value: (\S*)", reason):
        expected = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", found[1])
        expected = re.sub(r"typing\.Literal\[(.*)\]", r"one of \1", expected)
        near = did_you_mean(found[2], re.findall(r"'([^']+)'", expected))
        return SettingError(setting, f"is {found[2]!r}: expected {expected}.{near}", parser.prog)
    if found := re.match(r"module '([\w.]+)' has no attribute '(\w+)'", reason):
        near = did_you_mean(found[2], dir(importlib.import_module(found[1])))
        return BraddError(f"{setting}: {reason}.{near}")
    if setting in DEFAULT_COMPONENTS and (
        found := re.match(r"Expected a dot import path string: (\w+)$", reason)
    ):
        return BraddError(f"{setting}: write {_class_name(setting, found[1])!r}, not {found[1]!r}.")
    if setting in DEFAULT_COMPONENTS and reason.endswith("is abstract"):
        return SettingError(
            setting,
            "has settings but no name. Give both: "
            f"{{class_path: {DEFAULT_COMPONENTS[setting]}, init_args: {{...}}}}.",
            parser.prog,
        )
    return BraddError(f"{setting}: {reason}." if setting else f"{parser.prog}: {reason}.")


def _unknown(name: str, parser: CommandParser) -> str:
    names = sorted({action.dest for action in parser._actions} - {"help", "print_config"})
    return f"has no setting {name!r}.{did_you_mean(name, names)}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it, the first cause last."""
    while error is not None:
        yield error
        error = error.__cause__
