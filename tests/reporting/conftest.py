from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bradd.reporting import write_report
from reporting_run import HOSTILE, write_run, write_young_run


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "photos"
    write_run(folder)
    return folder


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """A run of the test's own, to change and to damage."""
    return Path(shutil.copytree(original, tmp_path / "photos"))


@pytest.fixture(scope="session")
def report(original: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the unchanged run."""
    folder = tmp_path_factory.mktemp("report") / "photos"
    return write_report(shutil.copytree(original, folder)).read_text(encoding="utf-8")


@pytest.fixture
def young_run(tmp_path: Path) -> Path:
    write_young_run(tmp_path / "young")
    return tmp_path / "young"


@pytest.fixture
def hostile_name() -> str:
    return HOSTILE
