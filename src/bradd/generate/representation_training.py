"""A training loop that a killed process goes on with exactly, for `RepresentationDiffusion`."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from bradd.console import stage
from bradd.errors import BraddError
from bradd.files import write_atomically

Weights = tuple[Tensor, ...] | list[Tensor]
Network = TypeVar("Network", bound=nn.Module)

__all__ = ["read_weights", "train", "write_weights"]

WARMUP_STEPS = 100
SECONDS_BETWEEN_CHECKPOINTS = 60.0

# The held-out loss is looked at so many times in a training without a stop, and has to become
# better within so many looks.
CHECKS = 20
PATIENCE = 4


def train(
    network: Network,
    loss_at: Callable[[int], Tensor],
    *,
    steps: int,
    learning_rate: float,
    average: float,
    description: str,
    checkpoint: Path | None = None,
    key: str = "",
    held_out_loss: Callable[[nn.Module], float] | None = None,
) -> Network:
    """Train by AdamW: a warm-up, then a cosine to zero.

    The result is a function of the network's weights and of `loss_at`, which must be a function of
    them and the step. Ended early where the held-out loss has not improved for a fifth of the
    steps.

    Args:
        network: Its weights are trained in place.
        loss_at: The loss of a step's batch.
        steps: Training steps at most.
        learning_rate: The peak.
        average: Decay of the moving average of the weights, a step.
        description: What the progress bar says.
        checkpoint: Written about once a minute, and gone on from if it has the same key; removed
            by whoever has kept the result. Default: none.
        key: Tells trainings apart.
        held_out_loss: Of images that are not trained on, for an averaged network. Default: no
            early stop.

    Returns:
        A network with the averaged weights, in eval mode.

    Raises:
        BraddError: The loss is no longer a number, or the disk is full.
    """
    state = _State(network, learning_rate, average)
    if checkpoint is not None and checkpoint.exists():
        state.read(checkpoint, key)
    saved = time.monotonic()
    network.train()
    with stage(description, steps) as progress:
        progress.reach(state.step)
        while state.step < steps and state.checks_since_best < PATIENCE:
            rate = learning_rate * _rate_at(state.step, steps)
            loss = state.take(loss_at(state.step), rate)
            if state.step % 20 == 0:
                _check(loss.item(), learning_rate, description)
            progress.advance(note=f"loss {loss.item():.3f}" if state.step % 20 == 0 else "")
            if held_out_loss is not None and state.step % max(1, steps // CHECKS) == 0:
                state.look(held_out_loss(state.averaged.module))
            if checkpoint is not None and time.monotonic() - saved >= SECONDS_BETWEEN_CHECKPOINTS:
                state.write(checkpoint, key)
                saved = time.monotonic()
    averaged = cast(Network, state.averaged.module)
    return averaged.eval()


def write_weights(path: Path, state: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors as safetensors, wholly or not at all."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    write_atomically(path, save(tensors, metadata=metadata))


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        BraddError: It is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return load_file(path), metadata
    except (SafetensorError, OSError) as error:
        raise BraddError(
            f"{path} is damaged ({error}). Remove it: the generator is then trained anew."
        ) from error


class _State:
    """All that the next step depends on."""

    def __init__(self, network: nn.Module, learning_rate: float, average: float) -> None:
        self.network = network
        self.averaged = AveragedModel(network, multi_avg_fn=_moving_average(average))
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate)
        self.step = 0
        self.best = math.inf
        self.checks_since_best = 0

    def take(self, loss: Tensor, rate: float) -> Tensor:
        """One step down the gradient."""
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.averaged.update_parameters(self.network)
        self.step += 1
        return loss.detach()

    def look(self, held_out: float) -> None:
        improved = held_out < self.best
        self.best = min(held_out, self.best)
        self.checks_since_best = 0 if improved else self.checks_since_best + 1

    def write(self, path: Path, key: str) -> None:
        moments = {
            f"optimizer.{number}.{name}": value
            for number, values in self.optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }
        facts = {
            "step": self.step,
            "best": self.best,
            "checks_since_best": self.checks_since_best,
        }
        tensors = _named("network", self.network) | _named("averaged", self.averaged) | moments
        write_weights(path, tensors, {"key": key, "facts": json.dumps(facts)})

    def read(self, path: Path, key: str) -> None:
        """Go on from a checkpoint of the same training; another one's is left alone."""
        tensors, metadata = read_weights(path)
        if metadata.get("key") != key:
            return
        self.network.load_state_dict(_part("network", tensors))
        self.averaged.load_state_dict(_part("averaged", tensors))
        moments: dict[int, dict[str, Tensor]] = {}
        for place, value in _part("optimizer", tensors).items():
            number, name = place.split(".")
            moments.setdefault(int(number), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        for name, value in json.loads(metadata["facts"]).items():
            setattr(self, name, value)


def _moving_average(decay: float) -> Callable[[Weights, Weights, Tensor | int], None]:
    """An exponential one that forgets the first weights sooner, as diffusers' does."""

    def update(averaged: Weights, current: Weights, count: Tensor | int) -> None:
        weight = 1 - min(decay, float((1 + count) / (10 + count)))
        torch._foreach_lerp_(list(averaged), list(current), weight)

    return update


def _named(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value for name, value in module.state_dict().items()}


def _part(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = len(prefix) + 1
    return {name[start:]: value for name, value in tensors.items() if name.startswith(f"{prefix}.")}


def _rate_at(step: int, steps: int) -> float:
    warmup = min(1.0, (step + 1) / min(WARMUP_STEPS, steps))
    return warmup * 0.5 * (1 + math.cos(math.pi * step / steps))


def _check(loss: float, learning_rate: float, description: str) -> None:
    if not math.isfinite(loss):
        raise BraddError(
            f"{description}: the loss is {loss}. Lower generator.learning_rate, which is "
            f"{learning_rate}."
        )
