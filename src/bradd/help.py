"""`bradd COMMAND --help`: from the source of the command's function, which is not imported.

Importing a command imports torch and all components, which takes many seconds; its signature and
its docstring say all that a help needs.
"""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import textwrap
from importlib.abc import InspectLoader
from importlib.util import find_spec
from typing import NamedTuple

from bradd.commands.groups import GROUPS

__all__ = ["command_help", "global_help", "options_of"]

MAX_WIDTH = 100
INDENT = 28

# Types as they are shown.
SHOWN = {
    "bool": "true|false",
    **dict.fromkeys(("str | Path", "Path"), "path"),
    **dict.fromkeys(("Method", "Views", "Selector", "Generator"), "class"),
}


class Option(NamedTuple):
    """A setting of a command: its type in a word, what it is, and its default in words."""

    name: str
    type: str
    text: str


GLOBAL = (
    Option("debug", "", "Show the traceback of an error."),
    Option("log-level", "debug|info|warning|error", "Show messages from it on. Default: warning."),
)
EVERYWHERE = (
    *GLOBAL,
    Option("config", "path", "Read settings from a YAML file; the command line goes before it."),
    Option("print_config", "", "Print the settings as a YAML file, and exit."),
    Option("SETTING.help", "class", "List the settings of a class: --selector.help KNNDistance."),
)


def command_help(command: str, width: int | None = None) -> str:
    """The help of a command.

    Args:
        command: Its name.
        width: Columns of the text. Default: the terminal's, at most 100.
    """
    width = width or _terminal_width()
    options = {option.name: option for option in options_of(command)}
    first = next(iter(options.values()))
    usage = f"usage: bradd {command} [{first.name.upper()}] [--config FILE.yaml] [--SETTING VALUE]"
    description, _ = _described(inspect.cleandoc(ast.get_docstring(_function(command)) or ""))
    parts = [usage, "\n\n".join(textwrap.fill(part, width) for part in description)]
    for heading, names in GROUPS[command].items():
        parts.append("\n".join([heading, *(_lines(options[name], width) for name in names)]))
    heading = "Of every command (the first two before its name, too)"
    parts.append("\n".join([heading, *(_lines(option, width) for option in EVERYWHERE)]))
    return "\n\n".join(parts)


def global_help() -> str:
    """What every command takes, before or after its name."""
    return "\n".join(_lines(option, _terminal_width()) for option in GLOBAL)


def options_of(command: str) -> list[Option]:
    """The settings of a command in the order of its signature."""
    function = _function(command)
    _, texts = _described(inspect.cleandoc(ast.get_docstring(function) or ""))
    arguments = function.args
    required = [None] * (len(arguments.args) - len(arguments.defaults))
    defaults = [*required, *arguments.defaults, *arguments.kw_defaults]
    options = []
    for argument, default in zip(arguments.args + arguments.kwonlyargs, defaults, strict=True):
        value = ast.literal_eval(default) if isinstance(default, ast.Constant) else None
        shown = "" if value is False else _type(argument.annotation, command)
        options.append(Option(argument.arg, shown, _text(texts[argument.arg], value)))
    return options


def _function(command: str) -> ast.FunctionDef:
    tree = _source(f"bradd.commands.{command}")
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return next(node for node in functions if node.name == command)


def _source(module: str) -> ast.Module:
    spec = find_spec(module)
    if spec is None or not isinstance(spec.loader, InspectLoader):
        raise RuntimeError(f"{module} has no source")
    return ast.parse(spec.loader.get_source(module) or "")


def _described(docstring: str) -> tuple[list[str], dict[str, str]]:
    """The paragraphs of a Google-style docstring, and its arguments' texts."""
    text, _, rest = docstring.partition("\nArgs:\n")
    arguments = re.split(r"\n(?=\S)", rest, maxsplit=1)[0]
    found = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", arguments, re.MULTILINE)
    paragraphs = [" ".join(part.split()) for part in text.strip().split("\n\n")]
    return paragraphs, {name: " ".join(words.split()) for name, words in found}


def _text(text: str, default: object) -> str:
    """What the docstring says, and the default where it is a value of which it says nothing."""
    if default is None or default is False or "default" in text.lower():
        return text
    return f"{text} Default: {str(default).lower()}."


def _type(annotation: ast.expr | None, command: str) -> str:
    """`int` for `int | None`, `a|b` for a literal or the name of one, `class` for a component."""
    written = ast.unparse(annotation).removesuffix(" | None") if annotation else ""
    if written in SHOWN:
        return SHOWN[written]
    parts = _parts(ast.parse(written, mode="eval").body)
    return "|".join(
        _choices(part, command) or ast.unparse(part).partition("[")[0] for part in parts
    )


def _parts(union: ast.expr) -> list[ast.expr]:
    if isinstance(union, ast.BinOp):
        return [*_parts(union.left), *_parts(union.right)]
    return [union]


def _choices(annotation: ast.expr, command: str) -> str:
    """The values of a literal, which may be a name that the command imports; else nothing."""
    literal: ast.expr | None = annotation
    if isinstance(annotation, ast.Name):
        literal = _imported(annotation.id, command)
    if isinstance(literal, ast.Subscript) and ast.unparse(literal.value) == "Literal":
        return "|".join(map(str, ast.literal_eval(literal.slice)))
    return ""


def _imported(name: str, command: str) -> ast.expr | None:
    """What stands for a name in the module that the command imports it from."""
    for node in _source(f"bradd.commands.{command}").body:
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            for line in _source(str(node.module)).body:
                if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == name:
                    return line.value
    return None


def _terminal_width() -> int:
    return min(shutil.get_terminal_size().columns, MAX_WIDTH)


def _lines(option: Option, width: int) -> str:
    left = f"  --{option.name} {option.type}".rstrip()
    text = textwrap.wrap(option.text, width - INDENT)
    lines = [f"{'':{INDENT}}{line}" for line in text]
    if len(left) < INDENT:
        lines[0] = f"{left:{INDENT}}{text[0]}"
        return "\n".join(lines)
    return "\n".join([left, *lines])
