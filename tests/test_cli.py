"""The command line: light to start, and an error is one message and exit status 2."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

import bradd
from bradd.cli import main
from bradd.errors import BraddError

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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pretrian"], "error: There is no command 'pretrian'. Did you mean 'pretrain'?"),
        (["xyzzy"], "error: There is no command 'xyzzy'. bradd --help lists them."),
        (["report", "--log-level=inof"], "error: log-level is 'inof': choose one of debug, info"),
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


def ends_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("bradd.signature.parse", broken)


def test_a_defect_is_one_line_that_names_it_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ends_with(ZeroDivisionError("by\nzero"), monkeypatch)
    assert main(["report", "--run=x"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: ZeroDivisionError: by zero (A defect")
    assert "--debug shows the traceback" in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [(ZeroDivisionError(), 1), (BraddError("mend it"), 2), (KeyboardInterrupt(), 130)],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_debug_shows_the_traceback(
    error: BaseException,
    status: int,
    place: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ends_with(error, monkeypatch)
    arguments = ["report", "--run=x"]
    arguments.insert(place, "--debug")
    assert main(arguments) == status
    shown = capsys.readouterr().err
    assert "Traceback (most recent call last)" in shown
    assert "in broken" in shown


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("one", [True, False])
def test_the_log_level_is_that_of_bradds_own_messages(level: str, place: int, one: bool) -> None:
    option = [f"--log-level={level}"] if one else ["--log_level", level]
    arguments = ["report", "--help"]
    before = logging.getLogger().level, logging.getLogger("bradd").level
    try:
        assert main([*arguments[:place], *option, *arguments[place:]]) == 0
        number = getattr(logging, level.upper())
        assert logging.getLogger("bradd.data").getEffectiveLevel() == number
        # Other libraries' debugging would bury ours.
        others = logging.getLogger("somebody.else").getEffectiveLevel()
        assert others == max(number, logging.WARNING)
    finally:
        logging.getLogger().setLevel(before[0])
        logging.getLogger("bradd").setLevel(before[1])


def test_an_interrupt_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: str) -> str:
        assert main(list(arguments)) == 130
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.count("\n") == 2
        return shown.err.strip()

    def stop(**_: object) -> None:
        raise KeyboardInterrupt

    for command in ("pretrain", "balance", "compare", "report"):
        monkeypatch.setattr(f"bradd.commands.{command}.{command}", stop, raising=True)
    parsed: dict[str, object] = {"out": str(tmp_path), "resume": False}
    monkeypatch.setattr("bradd.signature.parse", lambda *_: parsed)
    assert interrupted("pretrain").startswith("Interrupted. Nothing was written yet")
    (tmp_path / "config.yaml").touch()
    for command in ("pretrain", "balance"):
        going_on = f"Interrupted. Go on with: bradd {command} --out {tmp_path} --resume"
        assert interrupted(command) == going_on
    parsed["dry_run"] = True
    assert interrupted("balance") == "Interrupted. Give the same command to start again."
    parsed.clear()
    assert interrupted("report") == "Interrupted. Give the same command to start again."
    assert interrupted("compare") == "Interrupted. The same command goes on where it stopped."
