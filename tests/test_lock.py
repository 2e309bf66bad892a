from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

from bradd.lock import locked, locked_if_free

CONTEXT = multiprocessing.get_context("fork")


def add_one(path: Path) -> None:
    for _ in range(20):
        with locked(path):
            number = int(path.read_text())
            time.sleep(0.0005)
            path.write_text(str(number + 1))


def hold(path: Path, held: Path) -> None:
    with locked(path):
        held.touch()
        time.sleep(60)


def test_nobody_reads_between_another_s_reading_and_writing(tmp_path: Path) -> None:
    path = tmp_path / "number"
    path.write_text("0")
    processes = [CONTEXT.Process(target=add_one, args=(path,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert path.read_text() == "80"
    assert os.listdir(tmp_path) == ["number"]


def test_a_killed_process_locks_nobody_out(tmp_path: Path) -> None:
    path, held = tmp_path / "run", tmp_path / "held"
    process = CONTEXT.Process(target=hold, args=(path, held))
    process.start()
    while not held.exists():
        time.sleep(0.001)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    with locked(path):
        pass
    assert os.listdir(tmp_path) == ["held"]


def test_who_will_not_wait_is_told_that_another_holds_the_lock(tmp_path: Path) -> None:
    path, held = tmp_path / "run", tmp_path / "held"
    with locked_if_free(path) as free:
        assert free
    process = CONTEXT.Process(target=hold, args=(path, held))
    process.start()
    while not held.exists():
        time.sleep(0.001)
    with locked_if_free(path) as free:
        assert not free
    assert (tmp_path / ".run.lock").exists()
    process.kill()
    process.join(30)
    with locked_if_free(path) as free:
        assert free
    assert os.listdir(tmp_path) == ["held"]
