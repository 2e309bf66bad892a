from __future__ import annotations

import io
import re
import sys

import pytest
from rich.console import Console

from bradd import console
from bradd.console import console_on, say, show_table, stage, track

NAME = "[red]x :smile: [/] {0}.png"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 200 columns is sent."""
    text = io.StringIO()
    shown = Console(file=text, force_terminal=True, width=200, highlight=False)
    monkeypatch.setattr(console, "_console", shown)
    return text


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def test_nothing_is_written_unless_a_command_turns_it_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def everything() -> list[int]:
        say("words")
        show_table("title", ["a"], [["1"]])
        with stage("stage", 2) as progress:
            progress.advance(note="note")
        return list(track(range(3), "track", 3))

    assert everything() == [0, 1, 2]
    assert capsys.readouterr() == ("", "")
    with console_on():
        everything()
    assert capsys.readouterr().out.splitlines() == [
        "words",
        "title",
        "a",
        "1",
        "stage: 0:00",
        "track: 0:00",
    ]
    everything()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "joined"])
def test_only_the_first_process_is_heard(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def everything() -> str:
        with console_on():
            say("words")
            show_table("title", ["a"], [["1"]])
            with stage("stage", 1) as progress:
                progress.advance()
        return capsys.readouterr().out

    for number in ("0", "1"):
        if name == "joined":
            monkeypatch.setattr("bradd.distributed.rank", lambda n=number: int(n))
        else:
            monkeypatch.setenv(name, number)
        assert bool(everything()) is (number == "0")


def test_it_is_turned_off_again_by_an_error_and_stays_on_outside_a_nested_block(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(RuntimeError), console_on():
        raise RuntimeError
    say("silent")
    with console_on():
        with console_on():
            pass
        say("heard")
    assert capsys.readouterr().out == "heard\n"


def test_text_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    long = "word " * 60 + NAME
    with console_on():
        say(NAME)
        say(long)
        show_table(NAME, ["", NAME], [[NAME, "1"]])
        with stage(NAME, 1):
            pass
    assert capsys.readouterr().out.splitlines() == [
        NAME,
        long,  # not wrapped
        NAME,
        f"  {NAME}",
        f"{NAME}  1",
        f"{NAME}: 0:00",
    ]


def test_text_is_printed_as_it_is_on_a_terminal(terminal: io.StringIO) -> None:
    with console_on():
        say(NAME)
        show_table("title " + NAME, ["", "head " + NAME], [["cell " + NAME, "1"]])
        with stage("stage " + NAME, 1) as progress:
            progress.advance(note="note " + NAME)
    for prefix in ("", "title ", "head ", "cell ", "stage ", "note "):
        assert prefix + NAME in plain(terminal.getvalue())


def test_a_file_name_that_is_no_text_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8", errors="strict"))
    with console_on():
        say("caf\udce9.png")
        say("next")
    sys.stdout.flush()
    assert raw.getvalue().decode("utf-8") == "caf\\udce9.png\nnext\n"


def test_plain_lines_come_now_and_then_with_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 1000.0
    monkeypatch.setattr("bradd.console.time.monotonic", lambda: now)
    with console_on(), stage("embed", 1000) as progress:
        for _ in range(10):
            now += 14
            progress.advance(10, note="loss 1.0")
        now += 3600
        progress.reach(500)
    assert capsys.readouterr().out.splitlines() == [
        # Every 30 seconds at most: after 42, 84 and 126 of them.
        "embed: 30/1000, 0.7/s, 0:42 gone, 22:38 left  loss 1.0",
        "embed: 60/1000, 0.7/s, 1:24 gone, 21:56 left  loss 1.0",
        "embed: 90/1000, 0.7/s, 2:06 gone, 21:14 left  loss 1.0",
        # What was noted last stays until there is news.
        "embed: 500/1000, 0.1/s, 1:02:20 gone, 1:02:20 left  loss 1.0",
        "embed: 1:02:20",
    ]


def test_a_terminal_gets_a_bar_with_counts_and_time_left(terminal: io.StringIO) -> None:
    with console_on():
        assert list(track("abcd", "letters", 4)) == list("abcd")
    shown = plain(terminal.getvalue())
    assert "letters" in shown
    assert "4/4" in shown
    assert "left" in shown


def test_80_columns_hold_the_bar_and_its_note(
    terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console._console, "width", 80)
    note = "epoch 100/100  loss 2.583  12345 images/s  data_wait 33%  kNN 45.3%  12.3 GiB"
    with console_on(), stage("cycle 10 of 20: train", 1200) as progress:
        progress.advance(1200, note=note)
    bar, below = plain(terminal.getvalue()).split("\r")[-1].splitlines()[-2:]
    assert re.fullmatch(
        r"cycle 10 of 20: train ━+ 1200/1200 [\d.]+/s 0:00:00 left 0:00:00", bar.strip()
    )
    assert below.strip() == note


def test_stages_may_be_nested(terminal: io.StringIO) -> None:
    with console_on(), stage("outer", 2) as outer:
        for _ in range(2):
            for _ in track(range(3), "inner", 3):
                say("between")
            outer.advance()
    shown = plain(terminal.getvalue())
    assert "outer" in shown
    assert "2/2" in shown
    assert shown.count("between") == 6
    assert_given_back(terminal)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_inside_a_stage_gives_the_terminal_back(
    terminal: io.StringIO, error: type[BaseException]
) -> None:
    def fail() -> None:
        with stage("outer", 2):
            for _ in track(range(3), "inner", 3):
                raise error

    stdout, stderr = sys.stdout, sys.stderr
    with console_on():
        for _ in range(2):
            with pytest.raises(error):
                fail()
            assert_given_back(terminal)
            assert (sys.stdout, sys.stderr) == (stdout, stderr)
        say("still here")
    assert plain(terminal.getvalue()).endswith("still here\n")


def test_a_failed_stage_does_not_say_that_it_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with console_on(), pytest.raises(ValueError, match="why"), stage("work", 2):
        raise ValueError("why")
    assert capsys.readouterr().out == ""


def assert_given_back(terminal: io.StringIO) -> None:
    """The cursor, hidden while a bar is drawn, is shown again."""
    text = terminal.getvalue()
    assert text.count("\x1b[?25l") >= 1
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
