"""Multinomial logistic regression's loss and gradient, for many penalties at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bradd.evaluation.precision import exact_float32

__all__ = ["Point", "Problem"]

# Rows whose logits are held at once: on a CPU as many as stay in the cache, with their features,
# through all that is done with them; a GPU wants as many as its memory easily holds.
CPU_ROWS = 2048
GPU_ENTRIES = 2**26


@dataclass(frozen=True, eq=False)
class Point:
    """Where the fits of P penalties are."""

    parameters: Tensor
    """[C, P, D + 1]."""
    strengths: Tensor
    """1 / (C N), [P], float64."""
    loss: Tensor
    """The penalised mean cross-entropy, [P], float64."""
    gradient: Tensor
    """Its gradient, [C, P, D + 1]."""
    spread: Tensor
    """The mean of p (1 - p), [C, P]."""

    def only(self, penalties: Tensor) -> Point:
        """Some of the penalties."""
        return Point(
            self.parameters[:, penalties],
            self.strengths[penalties],
            self.loss[penalties],
            self.gradient[:, penalties],
            self.spread[:, penalties],
        )

    def put(self, penalties: Tensor, others: Point) -> None:
        """Replace some of the penalties."""
        self.parameters[:, penalties] = others.parameters
        self.loss[penalties] = others.loss
        self.gradient[:, penalties] = others.gradient
        self.spread[:, penalties] = others.spread


class Problem:
    """The data in the coordinates of the fit: principal components, and a one for the bias.

    Parameters are [C, P, D + 1]: the logits of a block of B rows are then one product, [C * P, B].

    Args:
        features: [N, D] float32, standardised.
        targets: [N] classes, each of 0 to C - 1 at least once.
    """

    def __init__(self, features: Tensor, targets: Tensor) -> None:
        count, width = features.shape
        self.targets = targets
        self.classes = int(targets.max()) + 1
        self.shares = torch.bincount(targets, minlength=self.classes).double() / count
        with exact_float32():
            covariance = (features.T @ features).double() / count
            variances, components = torch.linalg.eigh(covariance)
            self.components = components.float()
            self.rows = torch.empty(count, width + 1, device=features.device)
            torch.matmul(features, self.components, out=self.rows[:, :-1])
        self.rows[:, -1] = 1
        self.variances = torch.ones(width + 1, device=features.device)
        self.variances[:-1] = variances.clamp_min(0)

    def start(self, given: tuple[Tensor, Tensor] | None) -> Tensor:
        """[C, D + 1], from weights [D, C] and biases [C] of the features as they were given."""
        if given is None:
            weights = self.rows.new_zeros(self.classes, self.rows.shape[1] - 1)
            biases = self.shares.log()
        else:
            weights, biases = (self.components.T @ given[0]).T, given[1]
        return torch.cat([weights, biases[:, None].float()], dim=1)

    def at(self, parameters: Tensor, strengths: Tensor) -> Point:
        """Evaluate the loss and what follows from it."""
        classes, penalties, _ = parameters.shape
        flat = parameters.flatten(0, 1)
        gradient = torch.zeros_like(flat)
        loss = strengths.new_zeros(penalties)
        squares = strengths.new_zeros(len(flat))
        on_cpu = self.rows.device.type == "cpu"
        block = CPU_ROWS if on_cpu else max(1, GPU_ENTRIES // len(flat))
        for first in range(0, len(self.rows), block):
            rows = self.rows[first : first + block]
            logits = (flat @ rows.T).view(classes, penalties, len(rows))
            own = self.targets[first : first + block].expand(1, penalties, -1)
            # In place from here on: the logits become probabilities, and those less the truth.
            logits -= logits.amax(dim=0)
            of_own = logits.gather(0, own)[0]
            normaliser = logits.exp_().sum(dim=0)
            loss += (normaliser.log() - of_own).sum(dim=1)
            logits /= normaliser
            squares += logits.flatten(0, 1).square().sum(dim=1)
            logits.scatter_add_(0, own, torch.full_like(own, -1, dtype=logits.dtype))
            gradient.addmm_(logits.flatten(0, 1), rows)
        count = len(self.rows)
        pull = self._penalised(strengths) * parameters
        loss = loss / count + (pull * parameters).sum(dim=(0, 2), dtype=torch.float64) / 2
        gradient = gradient.view_as(parameters) / count
        # The bias's gradient is the mean of p less the class's share.
        probability = gradient[..., -1] + self.shares[:, None]
        spread = probability - squares.view(classes, penalties) / count
        return Point(parameters, strengths, loss, gradient + pull, spread.float())

    def inverse_curvature(self, point: Point) -> Tensor:
        """About the inverse of the Hessian's diagonal, [C, P, D + 1]."""
        # What float32 cannot tell from 0 must not become a step without bound.
        spread = point.spread.clamp_min(torch.finfo(torch.float32).eps)
        return 1 / (spread[..., None] * self.variances + self._penalised(point.strengths))

    def largest_entries(self, point: Point) -> Tensor:
        """The largest entry of each gradient in the features' own coordinates, [P]."""
        of_weights = point.gradient[..., :-1] @ self.components.T
        of_biases = point.gradient[..., -1]
        return torch.maximum(of_weights.abs().amax((0, 2)), of_biases.abs().amax(0))

    def _penalised(self, strengths: Tensor) -> Tensor:
        """The penalty's curvature, [P, D + 1]: none for the bias."""
        penalised = strengths.float()[:, None].repeat(1, self.rows.shape[1])
        penalised[:, -1] = 0
        return penalised
