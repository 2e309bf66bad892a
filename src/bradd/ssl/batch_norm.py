"""Batch norm over the global batch, so that results do not depend on the number of processes."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bradd import distributed
from bradd.ssl.precision import at_least_float32

__all__ = ["GlobalBatchNorm", "synchronise_batch_norm"]


def synchronise_batch_norm(module: nn.Module, device: torch.device) -> None:
    """Let every batch norm inside `module` see the batches of all processes.

    torch's own, or timm's, on CUDA; they do not run on CPUs, where `GlobalBatchNorm` does its work.
    Parameters and buffers stay the same objects under the same names.
    """
    for parent in list(module.modules()):
        for name, norm in list(parent.named_children()):
            if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                continue
            if device.type == "cuda":
                setattr(parent, name, convert_sync_batchnorm(norm))
            else:
                setattr(parent, name, GlobalBatchNorm.of(norm))


class GlobalBatchNorm(_BatchNorm):
    """Batch norm whose mean and variance are those of the global batch, on any device."""

    @classmethod
    def of(cls, norm: _BatchNorm) -> GlobalBatchNorm:
        """One that shares its parameters and buffers with `norm`."""
        settings = (norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        mine = cls(norm.num_features, *settings)
        mine._parameters, mine._buffers = norm._parameters, norm._buffers
        if isinstance(norm, BatchNormAct2d):
            mine.drop, mine.act = norm.drop, norm.act
        return mine.train(norm.training)

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        # What timm's batch norms with an activation do afterwards.
        self.drop: nn.Module = nn.Identity()
        self.act: nn.Module = nn.Identity()

    def forward(self, input: Tensor) -> Tensor:
        """Normalise `[B, C]` or `[B, C, ...]`."""
        if not self.training or distributed.world_size() == 1:
            output: Tensor = super().forward(input)
        else:
            output = self._normalise(input)
        activated: Tensor = self.act(self.drop(output))
        return activated

    def _normalise(self, input: Tensor) -> Tensor:
        dims = [0, *range(2, input.ndim)]
        shape = [1, -1, *[1] * (input.ndim - 2)]
        values = at_least_float32(input)
        count = values.numel() / values.shape[1] * distributed.world_size()
        mean = distributed.sum_over_processes(values.sum(dims)) / count
        centred = values - mean.view(shape)
        variance = distributed.sum_over_processes(centred.square().sum(dims)) / count
        self._track(mean.detach(), variance.detach() * count / (count - 1))
        output = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            output = output * self.weight.view(shape) + self.bias.view(shape)
        return output.to(input.dtype)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, as torch's batch norm does."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected at least 2 dimensions, not {input.ndim}")
