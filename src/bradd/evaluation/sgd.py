"""Linear classifiers trained by SGD, one for each learning rate, all at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bradd.evaluation.precision import exact_float32
from bradd.evaluation.protocol import EvaluationProtocol
from bradd.seeds import random_generator

__all__ = ["train_by_sgd"]


@torch.no_grad()
def train_by_sgd(
    features: Tensor,
    targets: Tensor,
    learning_rates: Sequence[float],
    protocol: EvaluationProtocol,
    seed: int,
) -> Tensor:
    """Minimise the mean cross-entropy by SGD with momentum and a cosine schedule.

    The classifiers of all learning rates start from the same weights and see the same batches, so
    each step is one matrix product for all. An epoch leaves out the images that do not fill a
    batch, other ones each time.

    Args:
        features: [N, D] float32; used as they are.
        targets: [N] classes, each of 0 to C - 1 at least once, on the same device.
        learning_rates: L learning rates at a batch of 256; they are scaled in proportion to it.
        protocol: Epochs, batch, momentum and the first weights' standard deviation.
        seed: Decides the first weights and the order of the images.

    Returns:
        [L, D + 1, C] weights, the biases in the last row. Weights of a learning rate that is too
        high for the features may be NaN or infinite.
    """
    count, width = features.shape
    num_classes = int(targets.max()) + 1
    batch = min(protocol.linear_batch_size, count)
    inputs = torch.cat([features, features.new_ones(count, 1)], dim=1)
    weights = _first_weights(width, num_classes, protocol.linear_initial_std, seed)
    # [D + 1, L, C], so that one product with [D + 1, L * C] serves all.
    weights = weights[:, None].repeat(1, len(learning_rates), 1).to(features)
    velocity = torch.zeros_like(weights)
    rates = torch.tensor(learning_rates).to(features)[:, None] * batch / 256
    steps = count // batch
    one_hot = torch.eye(num_classes).to(features)

    with exact_float32():
        for epoch in range(protocol.linear_epochs):
            order = random_generator(seed, "linear probe", "epoch", epoch).permutation(count)
            chosen = torch.from_numpy(order[: steps * batch]).to(features.device)
            for step, rows in enumerate(chosen.view(steps, batch)):
                x = inputs[rows]
                logits = (x @ weights.flatten(1)).view(batch, *weights.shape[1:])
                errors = logits.softmax(dim=2) - one_hot[targets[rows]][:, None]
                gradient = (x.T @ errors.flatten(1)).view_as(weights) / batch
                velocity.mul_(protocol.linear_momentum).add_(gradient)
                progress = (epoch * steps + step) / (protocol.linear_epochs * steps)
                weights -= (1 + math.cos(math.pi * progress)) / 2 * rates * velocity
    return weights.transpose(0, 1)


def _first_weights(width: int, num_classes: int, std: float, seed: int) -> Tensor:
    """[D + 1, C]: normal numbers, and biases of 0."""
    generator = random_generator(seed, "linear probe", "weights")
    weights = torch.zeros(width + 1, num_classes)
    weights[:-1] = torch.from_numpy(generator.normal(0, std, (width, num_classes)))
    return weights
