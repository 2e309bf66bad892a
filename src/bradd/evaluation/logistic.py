"""Multinomial logistic regression for many penalties at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from bradd.evaluation.logistic_problem import Point, Problem
from bradd.evaluation.precision import exact_float32
from bradd.evaluation.quasi_newton import Memory, dot

__all__ = ["LogisticFit", "fit_logistic"]

# A step must lower the loss by this share of what the slope promises (Armijo 1966), but for what
# float32 rounds the mean loss by.
SUFFICIENT_DECREASE = 1e-4
LOSS_ROUNDING = 1e-7
# Times that a step is shortened before it is taken as it is.
SHORTENINGS = 12


@dataclass(frozen=True, eq=False)
class LogisticFit:
    """One classifier for each of P penalties."""

    weights: Tensor
    """[P, D, C]."""
    biases: Tensor
    """[P, C]."""
    largest_gradient: list[float]
    """The largest entry of the mean loss's gradient where each fit ended, P of them."""
    excess_loss: list[float]
    """How far the mean loss is above its minimum there, as the curvature tells, P of them."""
    iterations: list[int]
    """Steps each fit took, P of them."""


@torch.no_grad()
def fit_logistic(
    features: Tensor,
    targets: Tensor,
    penalties: Sequence[float],
    tolerance: float,
    excess_loss: float,
    max_iterations: int,
    start: tuple[Tensor, Tensor] | None = None,
) -> LogisticFit:
    """Minimise scikit-learn's objective, the penalised cross-entropy, for every penalty.

    For each inverse strength C of the N images: mean cross-entropy + |W|^2 / (2 C N); biases are
    not penalised. A fit ends when no entry of the gradient g is larger than `tolerance`, as in
    scikit-learn, and the loss is at most `excess_loss` above its minimum, as g H g / 2 tells, with
    H the inverse Hessian as far as it is known (in trials up to 15 times less than the truth).
    Where the penalty is weak the first alone says little: with 100 classes and C = 10 it let the
    loss be twice its minimum.

    The method is L-BFGS (Liu and Nocedal 1989) in coordinates that make it quick:

    - Features are turned onto their principal components, once. There the curvature is nearly
      diagonal: s_c L_d + 1 / (C N) for class c and a component of variance L_d, where s_c is the
      mean of p (1 - p) over the class's present probabilities p. Every quasi-Newton direction
      starts from its inverse, so that components of small variance, along which plain L-BFGS
      creeps, are no slower than the others. Turning changes neither the penalty nor the optimum.
    - Penalties take their steps together: their logits are one matrix product, and their gradients
      another, made block by block of rows so that never all logits are held. A penalty whose fit
      has ended drops out.
    - Classifiers change smoothly with log C. So every fourth penalty is fitted first, from nothing;
      then those halfway between, and last the rest, from the cubic through the nearest that are
      there. Most of these need two or three steps, where it would be ten or twenty.

    Args:
        features: [N, D] float32, standardised.
        targets: [N] classes, each of 0 to C - 1 at least once, on the same device.
        penalties: P inverse strengths, ascending.
        tolerance: Largest entry of the gradient at which a fit ends.
        excess_loss: Distance from the minimum at which it ends, in nats an image.
        max_iterations: Steps after which it ends anyway.
        start: Weights [D, C] and biases [C] to start the first fits from. Default: zero weights,
            and biases that give each class its frequency.

    Returns:
        The classifiers, on the same device.

    Raises:
        ValueError: The penalties are not ascending.
    """
    if any(one >= other for one, other in pairwise(penalties)):
        raise ValueError(f"penalties must be ascending, not {list(penalties)}")
    problem = Problem(features, targets)
    with exact_float32():
        first = problem.start(start)
        parameters = first[:, None].repeat(1, len(penalties), 1)
        strengths = 1 / (torch.tensor(penalties, dtype=torch.float64) * len(features))
        strengths = strengths.to(features.device)
        gradients, excesses = [0.0] * len(penalties), [0.0] * len(penalties)
        iterations = [0] * len(penalties)
        fitted: list[int] = []
        for stage in _stages(len(penalties)):
            for index in stage if fitted else []:
                parameters[:, index] = _interpolated(parameters, fitted, penalties, index)
            fits = _minimise(
                problem,
                parameters[:, stage],
                strengths[stage],
                tolerance,
                excess_loss,
                max_iterations,
            )
            for index, fit in zip(stage, fits, strict=True):
                parameters[:, index] = fit.parameters
                gradients[index], excesses[index] = fit.largest_gradient, fit.excess_loss
                iterations[index] = fit.iterations
            fitted += stage
        weights = problem.components @ parameters[..., :-1].permute(1, 2, 0)
    return LogisticFit(weights, parameters[..., -1].T, gradients, excesses, iterations)


def _stages(count: int) -> list[list[int]]:
    """Which of so many penalties are fitted at a time."""
    stages = [range(0, count, 4), range(2, count, 4), range(1, count, 2)]
    return [list(stage) for stage in stages if stage]


def _interpolated(
    parameters: Tensor, fitted: list[int], penalties: Sequence[float], index: int
) -> Tensor:
    """Parameters [C, D + 1] for a penalty, by Lagrange's polynomial in log C through the nearest.

    Beyond the outermost fitted penalty, where a polynomial may go anywhere, those of that one.
    """
    place = [math.log(penalty) for penalty in penalties]
    if index > max(fitted):
        return parameters[:, max(fitted)]
    nearest = sorted(fitted, key=lambda other: abs(place[other] - place[index]))[:4]
    result = torch.zeros_like(parameters[:, index])
    for one in nearest:
        others = [place[other] for other in nearest if other != one]
        weight = math.prod((place[index] - other) / (place[one] - other) for other in others)
        result += weight * parameters[:, one]
    return result


@dataclass(frozen=True, eq=False)
class _Fit:
    """Where the fit of one penalty ended."""

    parameters: Tensor
    largest_gradient: float
    excess_loss: float
    iterations: int


def _minimise(
    problem: Problem,
    parameters: Tensor,
    strengths: Tensor,
    tolerance: float,
    excess_loss: float,
    max_iterations: int,
) -> list[_Fit]:
    """L-BFGS for some penalties side by side."""
    fits: dict[int, _Fit] = {}
    # Those that are still being fitted.
    active = list(range(len(strengths)))
    memory = Memory()
    point = problem.at(parameters, strengths)
    for iteration in range(max_iterations + 1):
        direction = memory.direction(point.gradient, problem.inverse_curvature(point))
        largest = problem.largest_entries(point).tolist()
        excess = (-dot(point.gradient, direction) / 2).tolist()
        going_on = []
        for place, index in enumerate(active):
            near = largest[place] <= tolerance and excess[place] <= excess_loss
            if near or iteration == max_iterations:
                reached = point.parameters[:, place]
                fits[index] = _Fit(reached, largest[place], excess[place], iteration)
            else:
                going_on.append(place)
        if not going_on:
            break
        if len(going_on) < len(active):
            active = [active[place] for place in going_on]
            keep = torch.tensor(going_on, device=direction.device)
            point, direction = point.only(keep), direction[:, keep]
            memory.keep(keep)
        new = _step(problem, point, direction)
        memory.add(new.parameters - point.parameters, new.gradient - point.gradient)
        point = new
    return [fits[index] for index in range(len(strengths))]


def _step(problem: Problem, point: Point, direction: Tensor) -> Point:
    """Go along the direction, nearly always all the way."""
    slope = dot(point.gradient, direction)
    length = torch.ones_like(slope)
    new = problem.at(point.parameters + direction, point.strengths)
    for _ in range(SHORTENINGS):
        allowed = point.loss + SUFFICIENT_DECREASE * length * slope + LOSS_ROUNDING
        # Negated, so that a NaN counts as too far.
        too_far = (~(new.loss <= allowed)).nonzero()[:, 0]
        if len(too_far) == 0:
            break
        old, rise = length[too_far], length[too_far] * slope[too_far]
        # The minimum of the parabola through what is known, within bounds.
        minimum = -rise * old / (2 * (new.loss[too_far] - point.loss[too_far] - rise))
        length[too_far] = minimum.nan_to_num(0.0).clamp(min=0.1 * old, max=0.5 * old)
        step = length[too_far].float()[:, None] * direction[:, too_far]
        nearer = problem.at(point.parameters[:, too_far] + step, point.strengths[too_far])
        new.put(too_far, nearer)
    return new
