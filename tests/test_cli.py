"""The command line: light to start, and an error is one message and exit status 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import bradd
from bradd.cli import main

HEAVY = (
    "torch", "torchvision", "lightning", "lightly", "timm", "diffusers", "faiss", "sklearn",
    "matplotlib", "pyarrow", "jsonargparse", "numpy", "PIL",
)  # fmt: skip

PROBE = f"""
import json, sys
sys.argv = ["bradd", "--help"]
import bradd, bradd.cli
status = bradd.cli.main()
sys.stderr.write(json.dumps([status, [name for name in {HEAVY!r} if name in sys.modules]]))
"""


def test_help_and_import_load_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr) == [0, []]
    for command, summary in bradd.COMMANDS.items():
        assert f"{command:9}  {summary}" in done.stdout


def test_every_public_name_can_be_imported() -> None:
    for name in bradd.__all__:
        assert getattr(bradd, name).__name__ == name
    assert set(bradd.__all__) <= set(dir(bradd))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bradd.nothing


def test_usage_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["-h"]) == main(["--help"]) == 0
    assert capsys.readouterr().out.count("usage: bradd COMMAND") == 3
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"bradd {bradd.__version__}\n"


@pytest.mark.parametrize("command", list(bradd.COMMANDS))
def test_a_commands_help_lists_its_settings(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: bradd {command}" in shown
    assert "--config" in shown
    settings = {"pretrain": "--n_anchors", "evaluate": "--checkpoint", "report": "--picture"}
    assert settings.get(command, "--out") in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pretrian"], "error: There is no command 'pretrian'. Did you mean 'pretrain'?"),
        (["xyzzy"], "error: There is no command 'xyzzy'. bradd --help lists them."),
        (["--nothing"], "error: There is no command '--nothing'."),
        (["pretrain", "--cyclez=3"], "error: bradd pretrain has no setting 'cyclez'."),
        (["pretrain", "--data=digits"], "error: Say where the run is to be kept: --out"),
        (["evaluate"], "error: Say what to evaluate: --run"),
        (["report"], "error: "),
        (["report", "--run=/nowhere"], "error: There is no run in /nowhere"),
    ],
)
def test_an_error_is_one_message_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(message)
    assert shown.err.count("\n") == 1
    assert shown.err.endswith("\n")


def test_the_process_exits_with_the_status(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bradd", "pretrian"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: There is no command")
    assert "Traceback" not in done.stderr


def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("bradd.signature.parse", broken)
    with pytest.raises(ZeroDivisionError):
        main(["report", "--run=x"])
