from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as multiprocessing

from bradd import distributed
from bradd.errors import BraddError

TIMEOUT = timedelta(seconds=2)


def test_one_process_does_the_work_itself() -> None:
    done: list[int] = []
    distributed.on_first_rank(lambda: done.append(1))
    assert done == [1]
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    with pytest.raises(ZeroDivisionError):
        distributed.on_first_rank(lambda: 1 / 0)


def _process(rank: int, folder: Path) -> None:
    """What each of two processes saw, as lines in a file of its own."""
    torch.set_num_threads(1)
    (folder / f"ready{rank}").touch()
    while not (folder / f"ready{1 - rank}").exists():
        time.sleep(0.01)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2, timeout=TIMEOUT
    )
    lines = [f"{distributed.rank()} of {distributed.world_size()}"]

    def work() -> None:
        time.sleep(TIMEOUT.total_seconds() + 0.5)  # longer than a collective may take
        (folder / f"work{rank}").touch()

    distributed.on_first_rank(work)
    lines.append(f"waited: {(folder / 'work0').exists()}")

    for error in (ValueError("bad luck"), KeyboardInterrupt()):

        def fail(error: BaseException = error) -> None:
            raise error

        try:
            distributed.on_first_rank(fail)
        except BaseException as caught:
            lines.append(f"{type(caught).__name__}: {caught}")
    distributed.on_first_rank(lambda: None)  # all are still in step
    (folder / f"rank{rank}").write_text("\n".join(lines))
    torch.distributed.destroy_process_group()


def test_the_first_of_two_works_while_the_other_waits_and_its_error_stops_both(
    tmp_path: Path,
) -> None:
    multiprocessing.spawn(_process, (tmp_path,), nprocs=2)  # type: ignore[no-untyped-call]
    first, second = ((tmp_path / f"rank{rank}").read_text().splitlines() for rank in (0, 1))
    assert first == ["0 of 2", "waited: True", "ValueError: bad luck", "KeyboardInterrupt: "]
    name = BraddError.__name__
    assert second == [
        "1 of 2",
        "waited: True",
        f"{name}: Rank 0 failed: bad luck",
        f"{name}: Rank 0 failed: it was interrupted",
    ]
    assert (tmp_path / "work0").exists()
    assert not (tmp_path / "work1").exists()
