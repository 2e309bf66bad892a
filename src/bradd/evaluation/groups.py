"""Accuracy over all images, for each class, and for groups of frequent and rare classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bradd.errors import BraddError
from bradd.evaluation.checks import checked_labels

__all__ = ["accuracy_summary", "group_accuracy"]


def accuracy_summary(
    predictions: ArrayLike,
    labels: ArrayLike,
    classes: Sequence[str],
    training_counts: ArrayLike | None = None,
    many: int = 100,
    few: int = 20,
    thirds: bool = False,
) -> dict[str, Any]:
    """Summarise predictions as plain Python numbers, ready for JSON; accuracies are in percent.

    Beside every accuracy stands its binomial standard error: 100 sqrt(p (1 - p) / M) for a share p
    of M images, and for a mean of K classes' accuracies sqrt(sum of their squared errors) / K. It
    says how far other test images would move the accuracy, not how far another training run would.

    Args:
        predictions: [M] predicted classes, integers in `[0, len(classes))`.
        labels: [M] true classes, likewise.
        classes: The C class names, all different.
        training_counts: [C] training images of each class; None leaves out the groups.
        many: As for `group_accuracy`.
        few: As for `group_accuracy`.
        thirds: As for `group_accuracy`.

    Returns:
        `images`: M. `top1_percent`: share of images classified right.
        `top1_standard_error_percent`: its standard error.
        `mean_per_class_percent`: mean of the accuracies of the classes that have test images.
        `mean_per_class_standard_error_percent`: its standard error.
        `per_class`: for each such class `accuracy_percent`, `standard_error_percent` and `images`.
        `groups`: `group_accuracy`, if `training_counts` are given.

    Raises:
        BraddError: No images, shapes that do not match, class numbers out of range, or two classes
            of one name.
    """
    if len(set(classes)) != len(classes):
        raise BraddError("two classes have the same name: give each class its own.")
    truth = checked_labels(labels, "labels", np.size(labels), len(classes))
    predicted = checked_labels(predictions, "predictions", len(truth), len(classes))
    correct = predicted == truth
    accuracy, error, images = _class_accuracy(correct, truth, len(classes))
    present = images > 0

    top1 = float(correct.mean())
    summary: dict[str, Any] = {
        "images": len(truth),
        "top1_percent": 100 * int(correct.sum()) / len(truth),
        "top1_standard_error_percent": 100 * math.sqrt(top1 * (1 - top1) / len(truth)),
        "mean_per_class_percent": float(accuracy[present].mean()),
        "mean_per_class_standard_error_percent": _error_of_mean(error[present]),
        "per_class": {
            name: {
                "accuracy_percent": float(accuracy[c]),
                "standard_error_percent": float(error[c]),
                "images": int(images[c]),
            }
            for c, name in enumerate(classes)
            if present[c]
        },
    }
    if training_counts is not None:
        counts = _checked_counts(training_counts)
        if len(counts) != len(classes):
            raise BraddError(
                f"{len(counts)} training counts for {len(classes)} classes: give one for each."
            )
        summary["groups"] = group_accuracy(correct, truth, counts, many, few, thirds)
    return summary


def group_accuracy(
    correct: ArrayLike,
    labels: ArrayLike,
    training_counts: ArrayLike,
    many: int = 100,
    few: int = 20,
    thirds: bool = False,
) -> dict[str, Any]:
    """Mean class accuracy among classes with many, a medium number of and few training images.

    The groups are those of Liu et al. 2019 ("Large-Scale Long-Tailed Recognition in an Open
    World"): by the absolute number of training images, whatever the data set's size. With `thirds`
    the classes are ranked by it instead (equal counts: lower class number first) and cut into three
    equal parts; where C is not a multiple of 3 the first parts are one class larger.

    Args:
        correct: [M] booleans, whether each test image was classified right.
        labels: [M] true classes, integers in `[0, C)`.
        training_counts: [C] training images of each class.
        many: A class with more training images than this is in `many`.
        few: A class with fewer training images than this is in `few`; the others are in `medium`.
        thirds: Rank the classes and cut them into thirds; `many` and `few` are not used.

    Returns:
        `definition`: how the groups were made, in words. `many`, `medium`, `few`: each with
        `accuracy_percent` (mean of its classes' accuracies), `standard_error_percent` (binomial),
        `classes` and `images` (numbers of classes with test images, and of their test images). A
        class without test images counts nowhere, and a group without classes is left out.

    Raises:
        BraddError: No images, shapes that do not match, labels or counts out of range, or
            `few` above `many`.
    """
    counts = _checked_counts(training_counts)
    truth = checked_labels(labels, "labels", np.size(labels), len(counts))
    right = np.asarray(correct)
    if right.dtype != np.bool_ or right.shape != truth.shape:
        raise BraddError(
            f"correct must be {len(truth)} booleans, one for each label, but it is "
            f"{right.dtype} of shape {right.shape}."
        )
    accuracy, error, images = _class_accuracy(right, truth, len(counts))

    if thirds:
        definition = "classes ranked by number of training images and cut into three equal parts"
        first, second, third = np.array_split(np.argsort(-counts, kind="stable"), 3)
        members = {"many": first, "medium": second, "few": third}
    else:
        if few > many:
            raise BraddError(f"few = {few} is above many = {many}: the groups would overlap.")
        definition = (
            f"training images in the class: many > {many}, medium {few} to {many}, few < {few}"
        )
        members = {
            "many": np.flatnonzero(counts > many),
            "medium": np.flatnonzero((counts >= few) & (counts <= many)),
            "few": np.flatnonzero(counts < few),
        }

    groups: dict[str, Any] = {"definition": definition}
    for name, group in members.items():
        present = group[images[group] > 0]
        if len(present):
            groups[name] = {
                "accuracy_percent": float(accuracy[present].mean()),
                "standard_error_percent": _error_of_mean(error[present]),
                "classes": len(present),
                "images": int(images[present].sum()),
            }
    return groups


def _class_accuracy(
    correct: NDArray[np.bool_], labels: NDArray[np.int64], num_classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Accuracy and its standard error in percent, and number of images, of each class: [C] each.

    Both are 0 for a class without images.
    """
    if len(labels) == 0:
        raise BraddError("there are no test images: an accuracy needs at least one.")
    images = np.bincount(labels, minlength=num_classes)
    right = np.bincount(labels[correct], minlength=num_classes)
    share = right / np.maximum(images, 1)
    error = np.sqrt(share * (1 - share) / np.maximum(images, 1))
    return 100 * right / np.maximum(images, 1), 100 * error, images


def _error_of_mean(errors: NDArray[np.float64]) -> float:
    """Standard error of the mean of independent estimates with these standard errors, [K]."""
    return float(np.sqrt(np.square(errors).sum()) / len(errors))


def _checked_counts(training_counts: ArrayLike) -> NDArray[np.int64]:
    counts = np.asarray(training_counts)
    if counts.ndim != 1 or not np.issubdtype(counts.dtype, np.integer) or (counts < 0).any():
        raise BraddError(
            "training_counts must be a list of whole numbers >= 0, one for each class."
        )
    return counts.astype(np.int64)
