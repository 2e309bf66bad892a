"""The memory of L-BFGS, for many fits side by side."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["Memory", "dot"]

# Steps that the quasi-Newton direction remembers.
HISTORY = 10


class Memory:
    """The last steps of each of P fits and how they changed its gradient: [C, P, D] each.

    The two-loop recursion of Nocedal 1980 ("Updating Quasi-Newton Matrices with Limited Storage").
    """

    def __init__(self) -> None:
        self._steps: list[Tensor] = []
        self._changes: list[Tensor] = []
        # 1 / (step . change), [P]; 0 for a step without positive curvature, which then counts not.
        self._weights: list[Tensor] = []

    def add(self, step: Tensor, change: Tensor) -> None:
        """Remember a step, and forget the oldest."""
        curvature = dot(step, change)
        self._steps.append(step)
        self._changes.append(change)
        self._weights.append(torch.where(curvature > 0, 1 / curvature, 0))
        for part in (self._steps, self._changes, self._weights):
            del part[:-HISTORY]

    def keep(self, fits: Tensor) -> None:
        """Forget all but some of the fits."""
        self._steps = [step[:, fits] for step in self._steps]
        self._changes = [change[:, fits] for change in self._changes]
        self._weights = [weight[fits] for weight in self._weights]

    def direction(self, gradient: Tensor, inverse_curvature: Tensor) -> Tensor:
        """Minus the gradient times the inverse Hessian: the diagonal, and what the steps tell."""
        result = gradient.clone()
        shares = []
        for step, change, weight in self._backwards():
            share = (weight * dot(step, result)).float()[:, None]
            result -= share * change
            shares.append(share)
        result *= inverse_curvature
        if self._steps:
            result *= self._scale(inverse_curvature).float()[:, None]
        for (step, change, weight), share in zip(
            reversed(list(self._backwards())), reversed(shares), strict=True
        ):
            result += (share - (weight * dot(change, result)).float()[:, None]) * step
        return -result

    def _backwards(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """(step, change, weight), the last one first."""
        return zip(
            reversed(self._steps), reversed(self._changes), reversed(self._weights), strict=True
        )

    def _scale(self, inverse_curvature: Tensor) -> Tensor:
        """What the inverse curvature must be multiplied by to fit the last step, [P]."""
        change, weight = self._changes[-1], self._weights[-1]
        fitted = 1 / (weight * dot(change, inverse_curvature * change))
        return torch.where(torch.isfinite(fitted), fitted, 1)


def dot(one: Tensor, other: Tensor) -> Tensor:
    """The scalar product for each fit, [P], in float64."""
    return (one * other).sum(dim=(0, 2), dtype=torch.float64)
