"""The number of processes changes neither the negatives nor the gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bradd.ssl import DINO, SDCLR, Method, MoCoV3, SimCLR
from bradd.ssl.batch_norm import synchronise_batch_norm
from training import batch, built, progress, resnet

METHODS: dict[str, Any] = {
    "simclr": lambda: SimCLR(0.2),
    "mocov3": lambda: MoCoV3(hidden_size=12, projection_size=6),
    "dino": lambda: DINO(output_size=10, hidden_size=12, bottleneck_size=6),
    "sdclr": lambda: SDCLR(pruned=0.5, projection_size=6),
}
IMAGES = 8


class Step(nn.Module):
    """What DistributedDataParallel wraps: a backbone, a method, and its loss."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.backbone = resnet()
        self.method = built(method, self.backbone)
        self.method.start_epoch(self.backbone, progress())

    def forward(self, views: list[Tensor]) -> Tensor:
        return self.method.loss(self.backbone, views, progress())


def gradients(step: Step) -> dict[str, Tensor]:
    return {name: value.grad for name, value in step.named_parameters() if value.grad is not None}


def share(rank: int, processes: int, path: str) -> None:
    """One process: its share of the global batch, as `PoolSampler` deals it out."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{path}/rendezvous", rank=rank, world_size=processes
    )
    results = {}
    for name, make in METHODS.items():
        step = Step(make())
        synchronise_batch_norm(step, torch.device("cpu"))
        parallel = DistributedDataParallel(step, broadcast_buffers=False)
        loss = parallel([view[rank::processes] for view in batch(IMAGES)])
        loss.backward()
        losses = torch.tensor([loss.item()])
        torch.distributed.all_reduce(losses)
        buffers = {key: value for key, value in step.named_buffers() if "running" in key}
        results[name] = (losses.item() / processes, gradients(step), buffers)
    if rank == 0:
        torch.save(results, f"{path}/results.pt")
    torch.distributed.destroy_process_group()


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
    step = Step(METHODS[name]())
    # In the order in which two processes hold the images.
    order = [*range(0, IMAGES, 2), *range(1, IMAGES, 2)]
    loss = step([view[order] for view in batch(IMAGES)])
    loss.backward()
    their_loss, theirs, their_buffers = in_two_processes[name]
    assert their_loss == pytest.approx(loss.item(), rel=1e-5)
    mine = gradients(step)
    assert mine.keys() == theirs.keys()
    norm = torch.cat([value.flatten() for value in mine.values()]).norm()
    difference = torch.cat([(mine[key] - theirs[key]).flatten() for key in mine]).norm()
    assert difference / norm < 1e-5
    buffers = {key: value for key, value in step.named_buffers() if "running" in key}
    assert buffers.keys() == their_buffers.keys()
    for key, value in buffers.items():
        torch.testing.assert_close(their_buffers[key], value, rtol=1e-4, atol=1e-6)
