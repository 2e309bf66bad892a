"""The only file that calls torch.distributed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import cast

import torch.distributed

from bradd.errors import BraddError

__all__ = ["on_first_rank", "rank", "world_size"]

# A round of generation takes longer than the minutes after which a collective gives up.
PATIENCE = timedelta(days=7)


def rank() -> int:
    """This process's number, 0 without distribution."""
    return torch.distributed.get_rank() if _active() else 0


def world_size() -> int:
    """The number of processes, 1 without distribution."""
    return torch.distributed.get_world_size() if _active() else 1


def on_first_rank(work: Callable[[], object]) -> None:
    """Run `work` on rank 0 while the others wait for it.

    Raises:
        BraddError: On the other ranks, when it failed on rank 0 (which raises its own error).
    """
    if not _active():
        work()
        return
    group = _patient_group(torch.distributed.group.WORLD)
    outcome: list[str | None] = [None]
    try:
        if rank() == 0:
            outcome = ["it was interrupted"]
            work()
            outcome = [None]
    except Exception as error:
        outcome = [str(error)]
        raise
    finally:
        torch.distributed.broadcast_object_list(outcome, src=0, group=group)
    if outcome[0] is not None:
        raise BraddError(f"Rank 0 failed: {outcome[0]}")


def _active() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


@cache
def _patient_group(world: object) -> torch.distributed.ProcessGroup:
    """All processes of `world`, one group for each time distribution is set up."""
    group = torch.distributed.new_group(backend="gloo", timeout=PATIENCE)
    return cast("torch.distributed.ProcessGroup", group)
