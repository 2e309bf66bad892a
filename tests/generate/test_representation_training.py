from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bradd.errors import BraddError
from bradd.generate.representation_batches import Batches, held_out_rows
from bradd.generate.representation_training import train


def trained(
    steps: int, average: float = 0.9, held_out: list[float] | None = None
) -> tuple[nn.Module, nn.Linear, int]:
    """The averaged and the last network, and at how many steps the loss was asked for."""
    torch.manual_seed(0)
    network = nn.Linear(3, 1)
    asked = []

    def loss_at(step: int) -> Tensor:
        asked.append(step)
        inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        return (network(inputs) - inputs.sum(dim=1, keepdim=True)).square().mean()

    losses = iter(held_out or [])
    averaged = train(
        network,
        loss_at,
        steps=steps,
        learning_rate=0.05,
        average=average,
        description="fit",
        held_out_loss=None if held_out is None else lambda _: next(losses),
    )
    return averaged, network, len(asked)


def test_the_averaged_weights_are_the_moving_average_of_those_after_each_step() -> None:
    seen: list[Tensor] = []
    original = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW, *args: object) -> object:
        result = original(self, *args)  # type: ignore[arg-type]
        seen.append(self.param_groups[0]["params"][0].detach().clone())
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", step)
        averaged, last, _ = trained(90)
    expected = seen[0]
    for count, weights in enumerate(seen[1:], start=1):
        decay = min(0.9, (1 + count) / (10 + count))
        expected = decay * expected + (1 - decay) * weights
    assert torch.allclose(averaged.weight, expected, atol=1e-6)  # type: ignore[arg-type]
    assert torch.equal(last.weight, seen[-1])


def test_training_learns() -> None:
    averaged, _, _ = trained(400)
    weights: Tensor = averaged.weight  # type: ignore[assignment]
    assert torch.allclose(weights, torch.ones(1, 3), atol=0.05)


def test_training_ends_where_the_held_out_loss_no_longer_improves() -> None:
    """Looked at every fifth of 100 steps; the best is the third look, and four more are waited."""
    held_out = [5.0, 4.0, 3.0, 3.5, 3.0, 3.2, 9.0, 1.0]
    assert trained(100, held_out=held_out)[2] == 7 * 5
    improving = [1 / (look + 1) for look in range(20)]
    assert trained(100, held_out=improving)[2] == 100


def test_a_loss_that_is_no_number_is_named() -> None:
    network = nn.Linear(1, 1)

    def loss_at(step: int) -> Tensor:
        return network(torch.ones(1, 1)).sum() * float("nan")

    with pytest.raises(BraddError, match=r"generator\.learning_rate"):
        train(network, loss_at, steps=30, learning_rate=1.0, average=0.0, description="fit")


def test_each_pass_shows_every_image_once_and_steps_can_be_asked_for_in_any_order() -> None:
    rows = np.array([3, 5, 8, 13, 21, 34, 55])
    batches = Batches(rows, 4, seed=2)
    steps = [batches.at(step) for step in range(14)]  # 56 images: 8 passes
    shown = np.concatenate(steps).reshape(8, 7)
    assert all(sorted(each) == rows.tolist() for each in shown.tolist())
    assert len({tuple(each) for each in shown.tolist()}) > 1
    fresh = Batches(rows, 4, seed=2)
    assert np.array_equal(fresh.at(9), steps[9])
    assert np.array_equal(fresh.at(1), steps[1])


def test_held_out_images_are_frequent_ones() -> None:
    generator = np.random.default_rng(0)
    frequent = np.eye(8)[0] + 0.02 * generator.normal(size=(550, 8))
    rare = generator.normal(size=(50, 8))
    points = np.concatenate([frequent, rare])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    rows = held_out_rows(points, seed=0)
    assert len(rows) == len(set(rows.tolist())) == 12
    assert rows.max() < 550
    assert not np.array_equal(rows, held_out_rows(points, seed=1))


def test_few_images_are_all_learnt_from() -> None:
    assert len(held_out_rows(np.eye(20, dtype=np.float32), seed=0)) == 0
