"""The table of cycles and the commands at a run's end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bradd.console import console_on
from bradd.run import Run
from bradd.ssl import Backbone
from bradd.summary import HEADER, cycle_rows, say_what_next

METRICS = """\
epoch,step,loss,seconds,rank_me,knn
0,5,4.5,60,,
1,10,4.25,30,11.26,33.333
2,15,4.0,60,12.0,
3,20,3.5,60,,
4,25,3.25,6,13.0,40.0
5,30,3.125,6,,
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "a run")
    folder = run.folder / "rounds" / "01"
    folder.mkdir(parents=True)
    run.metrics.write_text(METRICS)
    made = {"anchors": 3, "variations": 6, "accepted": 5, "seconds": {"embed": 6.0, "select": 12.0}}
    (folder / "round.json").write_text(json.dumps(made))
    return run


def test_a_row_has_the_last_of_its_cycle_and_the_round_after_it(run: Run) -> None:
    assert [dict(zip(HEADER, row, strict=True)) for row in cycle_rows(run, 3, 2)] == [
        {
            "cycle": "1",
            "loss": "4.250",
            "kNN %": "33.3",
            "RankMe": "11.3",
            "anchors": "3",
            "accepted": "5 of 6",
            "minutes": "1.8",
        },
        {
            "cycle": "2",
            "loss": "3.500",
            "kNN %": "-",
            "RankMe": "12.0",
            "anchors": "-",
            "accepted": "-",
            "minutes": "2.0",
        },
        {
            "cycle": "3",
            "loss": "3.125",
            "kNN %": "40.0",
            "RankMe": "13.0",
            "anchors": "-",
            "accepted": "-",
            "minutes": "0.2",
        },
    ]


def test_the_next_commands_can_be_copied(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    plan = Backbone.choose("resnet18", 224)
    with console_on():
        say_what_next(run, plan, "digits")
        say_what_next(run, plan, None)
    shown = capsys.readouterr().out
    assert f"python -m webbrowser {run.report.as_uri()}" in shown
    assert "a%20run/report.html" in shown
    assert f"bradd evaluate --run '{run.folder}' --data digits\n" in shown
    assert f"bradd evaluate --run '{run.folder}' --data LABELLED_FOLDER\n" in shown
    assert 'timm.create_model("resnet18", num_classes=0)' in shown


def test_a_piped_run_is_plain_text_from_settings_to_commands(tmp_path: Path) -> None:
    settings = [
        *("--data=digits", "--longtail=exponential:20", "--generator=Duplicate", "--cycles=2"),
        *(
            "--epochs_per_cycle=1",
            "--image_size=16",
            '--backbone_kwargs={"channels": [4, 4, 8, 8]}',
        ),
        *("--n_anchors=4", "--n_variations=2", "--backbone=resnet18", f"--out={tmp_path / 'run'}"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "bradd", "pretrain", *settings], capture_output=True, check=True
    )
    shown = done.stdout.decode()
    assert done.stderr == b""
    assert not [char for char in shown if ord(char) < 32 and char != "\n"]
    lines = shown.splitlines()
    assert "  n_anchors: 4" in lines
    head = lines.index("  ".join(HEADER))
    assert [line.split("  ")[0] for line in lines[head + 1 : head + 3]] == ["1", "2"]
    assert lines[head + 1].split("  ")[4:6] == ["4", "8 of 8"]
    assert lines[head + 2].split("  ")[2] != "-"  # digits have labels
    assert f"    bradd evaluate --run {tmp_path / 'run'} --data digits" in lines
