"""Linear probe: a linear classifier on frozen features, chosen by validation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from bradd.errors import BraddError
from bradd.evaluation.checks import checked_labels, checked_pair
from bradd.evaluation.logistic import fit_logistic
from bradd.evaluation.precision import exact_float32
from bradd.evaluation.protocol import STANDARD, EvaluationProtocol
from bradd.evaluation.sgd import train_by_sgd
from bradd.seeds import random_generator

__all__ = ["LinearResult", "linear_probe"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LinearResult:
    """What a linear probe predicts, and how it was chosen."""

    predictions: NDArray[np.int64]
    """[M] predicted classes of the test images."""
    chosen: float
    """The inverse penalty strength C, or the learning rate, that was chosen."""
    validation_accuracy: dict[float, float]
    """Accuracy in percent on the validation images, for each candidate; empty for a single one."""


def linear_probe(
    train: ArrayLike,
    train_labels: ArrayLike,
    test: ArrayLike,
    seed: int,
    protocol: EvaluationProtocol = STANDARD,
    device: str | torch.device = "cpu",
) -> LinearResult:
    """Fit a linear classifier to frozen training features and predict the test images, once.

    1. A seeded, stratified share of the training images is held out: of a class of n images
       round(share * n), but at least 1 and at most n - 1, so that rare classes count in the choice
       too; the image of a class that has only one is never held out.
    2. For each candidate a classifier is fitted to the other training images, all at once; the one
       most accurate on the held-out ones is chosen, and of equals the smallest.
    3. With it a classifier is fitted to all training images and predicts the test images.

    The candidates are penalties of logistic regression, whose objective is scikit-learn's
    `LogisticRegression` on features standardised with the mean and standard deviation of the images
    it is fitted to; or learning rates of SGD, on features as they are. A protocol with a single
    candidate needs no choice, so the first two steps are left out.

    Args:
        train: [N, D] features of the training images.
        train_labels: [N] their classes, integers of at least 0.
        test: [M, D] features of the test images.
        seed: Which images are held out; for SGD also the first weights and the order.
        protocol: The candidates, the held-out share, and how long a classifier is trained.
        device: Where to fit.

    Returns:
        Predictions, the chosen candidate and the validation accuracy of each.

    Raises:
        BraddError: Shapes that do not match, features that are NaN or infinite, labels out of
            range, fewer than two classes, or no class with two images.
    """
    train_features, test_features = checked_pair(train, test)
    labels = checked_labels(train_labels, "training labels", len(train_features))
    classes, targets = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise BraddError(
            f"the training labels hold only class {classes[0]}: a probe needs at least two classes."
        )

    candidates = sorted(protocol.linear_penalties or protocol.linear_learning_rates)
    fit = _fit_penalties if protocol.linear_penalties else _fit_rates
    chosen, start, accuracy = candidates[0], None, {}
    if len(candidates) > 1:
        held_out = _held_out(targets, protocol.linear_validation_share, seed)
        swept = fit(
            train_features[~held_out], targets[~held_out], candidates, protocol, seed, device
        )
        predicted = swept.predict(train_features[held_out])
        hits = (predicted == targets[held_out]).mean(axis=1)
        accuracy = {each: 100 * float(hit) for each, hit in zip(candidates, hits, strict=True)}
        # argmax takes the first of equals: the smallest candidate.
        best = int(hits.argmax())
        chosen, start = candidates[best], swept.only(best)
    final = fit(train_features, targets, [chosen], protocol, seed, device, start)
    return LinearResult(classes[final.predict(test_features)[0]], chosen, accuracy)


@dataclass(frozen=True, eq=False)
class _Classifiers:
    """P linear classifiers of features, standardised by `scaler` if there is one."""

    weights: Tensor
    """[P, D, C]."""
    biases: Tensor
    """[P, C]."""
    scaler: StandardScaler | None = None

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.int64]:
        """[P, N] predicted targets."""
        scaled = features if self.scaler is None else self.scaler.transform(features)
        x = torch.from_numpy(scaled).to(self.weights.device)
        # One after the other: the logits of all at once might be large.
        with exact_float32():
            rows = [
                (x @ weight + bias).argmax(dim=1)
                for weight, bias in zip(self.weights, self.biases, strict=True)
            ]
        predictions: NDArray[np.int64] = torch.stack(rows).cpu().numpy()
        return predictions

    def only(self, index: int) -> _Classifiers:
        return _Classifiers(
            self.weights[index : index + 1], self.biases[index : index + 1], self.scaler
        )


def _fit_penalties(
    features: NDArray[np.float32],
    targets: NDArray[np.int64],
    penalties: Sequence[float],
    protocol: EvaluationProtocol,
    seed: int,
    device: str | torch.device,
    start: _Classifiers | None = None,
) -> _Classifiers:
    scaler = StandardScaler().fit(features)
    fit = fit_logistic(
        torch.from_numpy(scaler.transform(features)).to(device),
        torch.from_numpy(targets).to(device),
        penalties,
        protocol.linear_tolerance,
        protocol.linear_excess_loss,
        protocol.linear_max_iterations,
        start=None if start is None else (start.weights[0], start.biases[0]),
    )
    for penalty, gradient, excess in zip(
        penalties, fit.largest_gradient, fit.excess_loss, strict=True
    ):
        # Negated, so that a NaN counts as not converged.
        if not (gradient <= protocol.linear_tolerance and excess <= protocol.linear_excess_loss):
            logger.warning(
                "the linear probe with C = %g has not converged in %d iterations: largest gradient "
                "%.2g and loss %.2g above its minimum, wanted at most %.2g and %.2g",
                penalty,
                protocol.linear_max_iterations,
                gradient,
                excess,
                protocol.linear_tolerance,
                protocol.linear_excess_loss,
            )
    return _Classifiers(fit.weights, fit.biases, scaler)


def _fit_rates(
    features: NDArray[np.float32],
    targets: NDArray[np.int64],
    rates: Sequence[float],
    protocol: EvaluationProtocol,
    seed: int,
    device: str | torch.device,
    start: _Classifiers | None = None,
) -> _Classifiers:
    # Trained from the beginning whatever `start` is: SGD's result depends on the whole schedule.
    weights = train_by_sgd(
        torch.from_numpy(features).to(device),
        torch.from_numpy(targets).to(device),
        rates,
        protocol,
        seed,
    )
    return _Classifiers(weights[:, :-1], weights[:, -1])


def _held_out(targets: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Choose the validation images: [N], True for held out."""
    held_out = np.zeros(len(targets), dtype=np.bool_)
    generator = random_generator(seed, "linear probe", "validation")
    for target in range(int(targets.max()) + 1):
        members = generator.permutation(np.flatnonzero(targets == target))
        if len(members) >= 2:
            count = min(max(1, round(share * len(members))), len(members) - 1)
            held_out[members[:count]] = True
    if not held_out.any():
        raise BraddError(
            "every class has a single training image, so none can be held out to choose the "
            "probe's penalty: give at least two training images of some class."
        )
    return held_out
