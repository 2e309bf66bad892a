"""The number of processes changes neither the negatives nor the gradients.

In float64: sums in another order differ by rounding, in float32 by more or less than any mark, as
the processor's kernels have it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing

from processes import IMAGES, METHODS, Step, gradients, share
from training import batch


@pytest.fixture(scope="module")
def in_two_processes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path: Path = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(share, (2, str(path)), nprocs=2)  # type: ignore[no-untyped-call]
    results: dict[str, Any] = torch.load(path / "results.pt", weights_only=True)
    return results


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_have_the_gradients_of_one(
    name: str, in_two_processes: dict[str, Any]
) -> None:
    step = Step(METHODS[name]()).double()
    # In the order in which two processes hold the images.
    order = [*range(0, IMAGES, 2), *range(1, IMAGES, 2)]
    loss = step([view[order].double() for view in batch(IMAGES)])
    loss.backward()
    their_loss, theirs, their_buffers = in_two_processes[name]
    assert their_loss == pytest.approx(loss.item(), rel=1e-10)
    mine = gradients(step)
    assert mine.keys() == theirs.keys()
    norm = torch.cat([value.flatten() for value in mine.values()]).norm()
    difference = torch.cat([(mine[key] - theirs[key]).flatten() for key in mine]).norm()
    assert difference / norm < 1e-10
    buffers = {key: value for key, value in step.named_buffers() if "running" in key}
    assert buffers.keys() == their_buffers.keys()
    for key, value in buffers.items():
        torch.testing.assert_close(their_buffers[key], value, rtol=1e-10, atol=1e-12)
