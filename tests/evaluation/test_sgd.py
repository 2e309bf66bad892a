from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bradd.evaluation.protocol import SGD
from bradd.evaluation.sgd import train_by_sgd
from bradd.seeds import random_generator

SHORT = replace(SGD, linear_epochs=5, linear_batch_size=16)


def blobs(rows: int = 60, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    features = generator.normal(size=(classes, 6))[labels] + 0.5 * generator.normal(size=(rows, 6))
    return torch.from_numpy(features.astype(np.float32)), torch.from_numpy(labels)


def by_torch(features: torch.Tensor, targets: torch.Tensor, rate: float, seed: int) -> nn.Linear:
    """lightly's recipe, with torch's own layer, loss, optimiser and schedule."""
    count, batch = len(features), SHORT.linear_batch_size
    layer = nn.Linear(features.shape[1], 3)
    first = random_generator(seed, "linear probe", "weights").normal(0, 0.01, (6, 3))
    layer.weight.data = torch.from_numpy(first.T.astype(np.float32)).contiguous()
    layer.bias.data.zero_()
    optimiser = torch.optim.SGD(layer.parameters(), lr=rate * batch / 256, momentum=0.9)
    steps = SHORT.linear_epochs * (count // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for epoch in range(SHORT.linear_epochs):
        order = random_generator(seed, "linear probe", "epoch", epoch).permutation(count)
        for rows in torch.from_numpy(order).split(batch):
            if len(rows) < batch:
                continue
            optimiser.zero_grad()
            nn.functional.cross_entropy(layer(features[rows]), targets[rows]).backward()
            optimiser.step()
            schedule.step()
    return layer


def test_each_learning_rate_is_trained_as_by_torch() -> None:
    features, targets = blobs()
    rates = (0.1, 1.0, 10.0)
    weights = train_by_sgd(features, targets, rates, SHORT, seed=3)
    assert weights.shape == (3, 7, 3)
    for found, rate in zip(weights, rates, strict=True):
        layer = by_torch(features, targets, rate, 3)
        torch.testing.assert_close(found[:-1], layer.weight.data.T, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found[-1], layer.bias.data, rtol=1e-4, atol=1e-5)


def test_the_seed_decides() -> None:
    features, targets = blobs()
    one, again, other = (train_by_sgd(features, targets, (1.0,), SHORT, s) for s in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.allclose(one, other)


def test_a_batch_larger_than_the_data_is_all_of_them() -> None:
    features, targets = blobs(rows=9)
    weights = train_by_sgd(features, targets, (10.0,), replace(SGD, linear_epochs=200), seed=0)
    predicted = (features @ weights[0, :-1] + weights[0, -1]).argmax(dim=1)
    assert (predicted == targets).all()


def test_one_rate_that_diverges_leaves_the_others_alone() -> None:
    features, targets = blobs()
    alone = train_by_sgd(features, targets, (1.0,), SHORT, 0)
    beside = train_by_sgd(1 * features, targets, (1.0, 1e38), SHORT, 0)
    assert not torch.isfinite(beside[1]).all()
    assert beside[0] == pytest.approx(alone[0].numpy(), rel=1e-4, abs=1e-6)
