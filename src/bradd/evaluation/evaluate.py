"""Everything a protocol says of frozen features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike

from bradd.evaluation.groups import accuracy_summary
from bradd.evaluation.health import rank_me
from bradd.evaluation.knn import knn_predict
from bradd.evaluation.linear import linear_probe
from bradd.evaluation.protocol import EvaluationProtocol

__all__ = ["evaluate_features"]


def evaluate_features(
    train: ArrayLike,
    train_labels: ArrayLike,
    test: ArrayLike,
    test_labels: ArrayLike,
    classes: Sequence[str],
    counts: ArrayLike | None,
    protocol: EvaluationProtocol,
    seed: int,
    device: str | torch.device = "cpu",
) -> dict[str, Any]:
    """Score features by nearest neighbours and a linear probe, and tell their rank.

    Args:
        train: [N, D] features of the training images.
        train_labels: [N] their classes, indices into `classes`.
        test: [M, D] features of the test images.
        test_labels: [M] their classes.
        classes: The classes' names.
        counts: [C] images of each class that the encoder was trained on, which make the groups of
            classes with many, a medium number of and few; None leaves out the groups.
        protocol: Of both scores.
        seed: Of the linear probe.
        device: Where to compute.

    Returns:
        `knn` and `linear`: each as `accuracy_summary` makes it, `linear` also with `penalty` or
        `learning_rate`, the chosen candidate, and `validation_percent`, the validation accuracy of
        each. `rank_me`: RankMe of the test features. Ready for JSON.

    Raises:
        BraddError: As `knn_predict`, `linear_probe` and `accuracy_summary`.
    """
    votes = knn_predict(
        train,
        train_labels,
        test,
        protocol.knn_k,
        protocol.knn_temperature,
        num_classes=len(classes),
        metric=protocol.knn_metric,
        device=device,
    )
    probe = linear_probe(train, train_labels, test, seed, protocol, device)
    return {
        "knn": accuracy_summary(votes, test_labels, classes, counts),
        "linear": {
            **accuracy_summary(probe.predictions, test_labels, classes, counts),
            "penalty" if protocol.linear_penalties else "learning_rate": probe.chosen,
            "validation_percent": {f"{c:g}": v for c, v in probe.validation_accuracy.items()},
        },
        "rank_me": rank_me(test),
    }
