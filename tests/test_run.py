"""A run's folder: what may be written where, and what is never removed."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bradd.errors import BraddError
from bradd.run import FILES, FOLDERS, Run, read_settings


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A folder with everything that a run writes."""
    folder = tmp_path / "run"
    for name in FOLDERS:
        (folder / name / "deep").mkdir(parents=True)
        (folder / name / "deep" / "file").write_text(name)
    for name in FILES:
        (folder / name).write_text(name)
    return Run(folder)


def test_every_path_of_a_run_is_among_those_that_overwrite_removes(tmp_path: Path) -> None:
    run = Run(tmp_path)
    paths = [path for path in vars(run).values() if path != tmp_path]
    assert len(paths) >= 8
    for path in paths:
        assert path.relative_to(tmp_path).parts[0] in (*FILES, *FOLDERS)


def test_a_new_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    run = Run(tmp_path / "a" / "b")
    run.prepare(overwrite=False)
    assert run.folder.is_dir()
    assert list(run.folder.iterdir()) == []
    assert not run.exists()


def test_a_run_is_refused(run: Run) -> None:
    before = sorted(run.folder.rglob("*"))
    for check in (run.check_free, run.prepare):
        with pytest.raises(BraddError, match=r"holds a run already.*--resume.*--overwrite"):
            check(overwrite=False)
    assert sorted(run.folder.rglob("*")) == before


def test_overwrite_removes_what_a_run_wrote_and_nothing_else(run: Run) -> None:
    foreign = [run.folder / "notes.txt", run.folder / "photos" / "one.png"]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    run.check_free(overwrite=True)
    assert run.exists()
    run.prepare(overwrite=True)
    assert sorted(path for path in run.folder.rglob("*") if path.is_file()) == sorted(foreign)


@pytest.mark.parametrize("name", [*FILES[1:], *FOLDERS])
def test_a_file_of_a_runs_name_is_not_removed_unasked(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    run = Run(tmp_path)
    with pytest.raises(BraddError, match=f"would replace: {name}"):
        run.prepare(overwrite=False)
    assert (tmp_path / name).read_text() == "mine"


def test_foreign_files_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    Run(tmp_path).prepare(overwrite=False)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_below_a_file_there_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(BraddError, match="cannot be a run's folder"):
            Run(path).prepare(overwrite=False)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.EACCES, "cannot be written .Permission denied."),
        (errno.EROFS, "cannot be written .Read-only file system."),
        (errno.ENOSPC, "The disk is full"),
        (errno.ENOENT, "cannot be a run's folder .No such file or directory."),
    ],
)
def test_a_folder_that_cannot_be_written_to(
    code: int, message: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code), str(self))

    monkeypatch.setattr(Path, "touch", refuse)
    for check in (lambda: run.prepare(overwrite=True), run.check_resumable):
        with pytest.raises(BraddError, match=message) as caught:
            check()
        assert str(run.folder) in str(caught.value)
    assert run.backbone.read_text() == run.backbone.name


def test_only_a_run_can_be_resumed(run: Run) -> None:
    run.check_resumable()
    run.config.unlink()
    with pytest.raises(BraddError, match=r"no run in .* to resume"):
        run.check_resumable()


def test_home_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Run("~/runs/one").folder == tmp_path / "runs" / "one"


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example({"data": os.fsdecode(b"/photos/M\xfcller")})
@given(
    st.dictionaries(st.text(min_size=1), VALUES | st.dictionaries(st.text(), VALUES), min_size=1)
)
def test_settings_are_read_as_they_were_written(tmp_path: Path, saved: dict[str, Any]) -> None:
    run = Run(tmp_path)
    run.write_config(saved)
    assert run.read_config() == saved


def test_settings_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(BraddError, match=f"{tmp_path} holds no run"):
        Run(tmp_path).read_config()
    path = tmp_path / "config.yaml"
    for content in (b"a: [", b"\xff\xfe", b"- 1", b"", b"text"):
        path.write_bytes(content)
        with pytest.raises(BraddError, match=str(path)):
            read_settings(path)


def test_steps_are_those_of_the_last_epoch(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.steps() == 0
    run.metrics.write_text("epoch,step,loss\n")
    assert run.steps() == 0
    run.metrics.write_text("epoch,step,loss\n0,5,1.0\n1,10,0.5\n")
    assert run.steps() == 10
