"""A command's help says all of its settings, and is quick."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys

import pytest

from bradd import COMMANDS
from bradd.commands.groups import GROUPS
from bradd.help import command_help, options_of
from test_cli import HEAVY

PROBE = f"""
import json, sys
from bradd.cli import main
statuses = [main([command, "--help"]) for command in {list(COMMANDS)!r}]
sys.stderr.write(json.dumps([statuses, [name for name in {HEAVY!r} if name in sys.modules]]))
"""


def test_the_help_of_every_command_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr) == [[0] * len(COMMANDS), []]
    for command in COMMANDS:
        assert f"usage: bradd {command} [" in done.stdout


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_setting_is_in_one_group(command: str) -> None:
    function = getattr(importlib.import_module(f"bradd.commands.{command}"), command)
    settings = list(inspect.signature(function).parameters)
    assert [option.name for option in options_of(command)] == settings
    grouped = [name for names in GROUPS[command].values() for name in names]
    assert sorted(grouped) == sorted(settings)


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_setting_has_a_type_and_a_default_in_words_or_is_a_switch(command: str) -> None:
    function = getattr(importlib.import_module(f"bradd.commands.{command}"), command)
    for option in options_of(command):
        switch = inspect.signature(function).parameters[option.name].default is False
        assert bool(option.type) is not switch, option
        assert switch or "default" in option.text.lower(), option
        assert "null" not in option.type + option.text
        assert "None" not in option.type + option.text


def test_types_are_short() -> None:
    shown = {option.name: option.type for option in options_of("pretrain")}
    expected = {
        "data": "path",
        "cycles": "int",
        "learning_rate": "float",
        "guard": "true|false",
        "resume": "",
        "backbone_kwargs": "dict",
        "selector": "class",
        "optimizer": "sgd|adamw|lars",
        "epoch_length": "matched|grown",  # a name for a literal of another module
    }
    assert {name: shown[name] for name in expected} == expected
    assert {o.name: o.type for o in options_of("compare")}["arms"] == "list|dict"


@pytest.mark.parametrize("width", [60, 100])
def test_settings_stand_below_their_heading_within_the_width(width: int) -> None:
    lines = command_help("pretrain", width).splitlines()
    assert max(map(len, lines[2:])) <= width
    heading = ""
    found = {}
    for line in lines:
        if line and not line.startswith(" "):
            heading = line
        elif line.startswith("  --"):
            found[line.split()[0].removeprefix("--")] = heading
    for name, names in GROUPS["pretrain"].items():
        assert [setting for setting, group in found.items() if group == name] == list(names)
