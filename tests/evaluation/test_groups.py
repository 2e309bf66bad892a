from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bradd.errors import BraddError
from bradd.evaluation.groups import accuracy_summary, group_accuracy

# Five classes; class 4 has no test images.
COUNTS = [500, 101, 100, 20, 19]
LABELS = [0, 0, 0, 0, 1, 1, 2, 3, 3, 3]
CORRECT = [True, True, True, False, True, False, False, True, False, False]


def test_groups_by_hand():
    groups = group_accuracy(CORRECT, LABELS, COUNTS)
    assert groups["many"] == {
        "accuracy_percent": (75 + 50) / 2,
        "standard_error_percent": pytest.approx(100 * (0.75 * 0.25 / 4 + 0.5 * 0.5 / 2) ** 0.5 / 2),
        "classes": 2,
        "images": 6,
    }
    assert groups["medium"] == {
        "accuracy_percent": pytest.approx((0 + 100 / 3) / 2),
        "standard_error_percent": pytest.approx(100 * (2 / 9 / 3) ** 0.5 / 2),
        "classes": 2,
        "images": 4,
    }
    assert "few" not in groups
    assert (
        groups["definition"]
        == "training images in the class: many > 100, medium 20 to 100, few < 20"
    )


def test_standard_errors_are_the_spread_over_test_sets():
    """Ten thousand test sets, of 30, 10 and 5 images of classes that are right with these odds."""
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [30, 10, 5])
    odds = np.array([0.9, 0.5, 0.4])[labels]
    right = generator.random((10_000, 45)) < odds
    per_class = [right[:, labels == c].mean(axis=1) for c in range(3)]
    # One test set on which each class is right just as often as it is on average.
    typical = np.concatenate(
        [np.arange(n) < round(n * p) for n, p in [(30, 0.9), (10, 0.5), (5, 0.4)]]
    )
    summary = accuracy_summary(np.where(typical, labels, (labels + 1) % 3), labels, "abc")
    found = summary["mean_per_class_standard_error_percent"]
    assert found == pytest.approx(100 * np.mean(per_class, axis=0).std(), rel=0.05)


def test_other_borders():
    groups = group_accuracy(CORRECT, LABELS, COUNTS, many=400, few=101)
    assert groups["many"]["accuracy_percent"] == 75
    assert groups["medium"]["accuracy_percent"] == 50
    assert groups["few"]["images"] == 4
    assert "many > 400, medium 101 to 400, few < 101" in groups["definition"]


def test_small_data_falls_into_one_group_unless_thirds():
    counts = [3, 9, 9, 5, 1, 2]
    labels = np.arange(6)
    correct = np.array([1, 1, 0, 0, 0, 1], dtype=bool)
    assert group_accuracy(correct, labels, counts).keys() == {"definition", "few"}

    groups = group_accuracy(correct, labels, counts, thirds=True)
    # Ranked: 1 and 2 | 3 and 0 | 5 and 4.
    assert [groups[name]["accuracy_percent"] for name in ("many", "medium", "few")] == [50, 50, 50]
    assert "ranked" in groups["definition"]
    swapped = group_accuracy(correct, labels, [1, 9, 3, 5, 3, 9], thirds=True)
    # Ranked: 1 and 5 | 3 and 2 | 4 and 0.
    assert [swapped[name]["accuracy_percent"] for name in ("many", "medium", "few")] == [100, 0, 50]


def test_thirds_of_equal_counts_go_by_class_number_and_the_first_are_larger():
    groups = group_accuracy([True, True, False, False], range(4), [7, 7, 7, 7], thirds=True)
    assert groups["many"]["accuracy_percent"] == 100
    assert (groups["many"]["classes"], groups["many"]["images"]) == (2, 2)
    assert groups["medium"]["classes"] == groups["few"]["classes"] == 1


def test_summary_by_hand():
    predictions = [0, 0, 0, 1, 1, 0, 3, 3, 0, 4]
    summary = accuracy_summary(predictions, LABELS, ["a", "b", "c", "d", "e"], COUNTS)
    assert summary["images"] == 10
    assert summary["top1_percent"] == pytest.approx(50)
    assert summary["top1_standard_error_percent"] == pytest.approx(100 * (0.5 * 0.5 / 10) ** 0.5)
    assert summary["mean_per_class_percent"] == pytest.approx((75 + 50 + 0 + 100 / 3) / 4)
    assert summary["per_class"].keys() == {"a", "b", "c", "d"}
    assert summary["per_class"]["a"] == {
        "accuracy_percent": 75.0,
        "standard_error_percent": pytest.approx(100 * (0.75 * 0.25 / 4) ** 0.5),
        "images": 4,
    }
    assert summary["groups"] == group_accuracy(CORRECT, LABELS, COUNTS)
    assert "groups" not in accuracy_summary(predictions, LABELS, list("abcde"))


def test_summary_passes_the_group_settings_on():
    summary = accuracy_summary(LABELS, LABELS, list("abcde"), COUNTS, 400, 101, True)
    assert summary["groups"] == group_accuracy([True] * 10, LABELS, COUNTS, thirds=True)
    summary = accuracy_summary(LABELS, LABELS, list("abcde"), COUNTS, many=400, few=101)
    assert summary["groups"] == group_accuracy([True] * 10, LABELS, COUNTS, many=400, few=101)


@st.composite
def evaluations(draw):
    num_classes = draw(st.integers(1, 8))
    length = draw(st.integers(1, 40))
    numbers = st.lists(st.integers(0, num_classes - 1), min_size=length, max_size=length)
    counts = st.lists(st.integers(0, 300), min_size=num_classes, max_size=num_classes)
    return draw(numbers), draw(numbers), [f"class {c}" for c in range(num_classes)], draw(counts)


@settings(max_examples=100, deadline=None)
@given(evaluations(), st.booleans(), st.randoms(use_true_random=False))
def test_invariants(evaluation, thirds, random):
    predictions, labels, classes, counts = evaluation
    summary = accuracy_summary(*evaluation, thirds=thirds)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary

    per_class = summary["per_class"].values()
    assert sum(entry["images"] for entry in per_class) == summary["images"] == len(labels)
    assert all(0 <= entry["accuracy_percent"] <= 100 for entry in per_class)
    # Top-1 is the mean over classes weighted by their images.
    weighted = sum(entry["accuracy_percent"] * entry["images"] for entry in per_class)
    assert summary["top1_percent"] == pytest.approx(weighted / len(labels))
    assert 0 <= summary["top1_standard_error_percent"] <= 50 / len(labels) ** 0.5 + 1e-9

    # The groups are a partition: together they give the mean over classes.
    groups = [entry for name, entry in summary["groups"].items() if name != "definition"]
    assert sum(group["images"] for group in groups) == len(labels)
    assert sum(group["classes"] for group in groups) == len(per_class)
    macro = sum(group["accuracy_percent"] * group["classes"] for group in groups) / len(per_class)
    assert summary["mean_per_class_percent"] == pytest.approx(macro)

    order = random.sample(range(len(labels)), len(labels))
    shuffled = [predictions[i] for i in order], [labels[i] for i in order]
    assert accuracy_summary(*shuffled, classes, counts, thirds=thirds) == summary


def test_wrong_inputs_are_named():
    names = list("abcde")
    cases = [
        (lambda: accuracy_summary([0], [0, 1], names), "predictions must be 2"),
        (lambda: accuracy_summary([5], [0], names), r"predictions\[0\] is 5"),
        (lambda: accuracy_summary([0], [-1], names), r"labels\[0\] is -1"),
        (lambda: accuracy_summary(np.array([], int), np.array([], int), names), "no test images"),
        (lambda: accuracy_summary([0], [0], ["a", "a"]), "same name"),
        (lambda: accuracy_summary([0], [0], names, [1, 2]), "2 training counts for 5 classes"),
        (lambda: accuracy_summary([0], [0], names, [1, 2, 3, 4, -5]), "training_counts"),
        (lambda: accuracy_summary([0], [0], names, [1, 2, 3, 4, 0.5]), "training_counts"),
        (lambda: group_accuracy([True], [5], COUNTS), r"labels\[0\] is 5"),
        (lambda: group_accuracy([1], [0], COUNTS), "booleans"),
        (lambda: group_accuracy([True, True], [0], COUNTS), "booleans"),
        (lambda: group_accuracy([True], [0], COUNTS, many=10, few=20), "few = 20"),
    ]
    for call, message in cases:
        with pytest.raises(BraddError, match=message):
            call()
