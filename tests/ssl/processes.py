"""What each of several processes does in the test of distributed training.

A module that can be imported by its name, so that spawned processes find it.
"""

from __future__ import annotations

from typing import Any

import torch
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
        step = Step(make()).double()
        synchronise_batch_norm(step, torch.device("cpu"))
        parallel = DistributedDataParallel(step, broadcast_buffers=False)
        loss = parallel([view[rank::processes].double() for view in batch(IMAGES)])
        loss.backward()
        losses = torch.tensor([loss.item()], dtype=torch.float64)
        torch.distributed.all_reduce(losses)
        buffers = {key: value for key, value in step.named_buffers() if "running" in key}
        results[name] = (losses.item() / processes, gradients(step), buffers)
    if rank == 0:
        torch.save(results, f"{path}/results.pt")
    torch.distributed.destroy_process_group()
