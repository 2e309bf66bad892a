from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from bradd.errors import BraddError
from bradd.evaluation.linear import _held_out, linear_probe
from bradd.evaluation.protocol import PAPER, SGD, STANDARD


@pytest.fixture(autouse=True)
def one_thread():
    """Problems this small only wait for their threads, above all where other work runs beside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(threads)


def blobs(seed, rows, spread, classes=5, width=16):
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, width))
    labels = np.arange(rows) % classes
    features = centres[labels] + spread * generator.normal(size=(rows, width))
    # Columns of very different scale and offset, which standardising must undo.
    return features * np.logspace(-3, 3, width) + np.linspace(-50, 50, width), labels


def sklearn_predictions(train, labels, test, penalty):
    scaler = StandardScaler().fit(train)
    model = LogisticRegression(C=penalty, max_iter=5000, tol=1e-8)
    return model.fit(scaler.transform(train), labels).predict(scaler.transform(test))


@pytest.mark.parametrize("penalty", STANDARD.linear_penalties)
def test_agrees_with_sklearn_for_each_penalty(penalty):
    train, labels = blobs(0, 300, spread=1.0)
    test, _ = blobs(1, 1000, spread=1.0)
    protocol = replace(STANDARD, linear_penalties=(penalty,), linear_tolerance=1e-5)
    result = linear_probe(train, labels, test, 0, protocol)
    agreement = np.mean(result.predictions == sklearn_predictions(train, labels, test, penalty))
    assert result.chosen == penalty
    assert agreement >= 0.997


def test_validation_accuracy_is_that_of_sklearn_fitted_without_the_held_out_images():
    train, labels = blobs(0, 200, spread=2.0)
    result = linear_probe(train, labels, train[:1], 3)
    held_out = _held_out(labels, 0.2, 3)
    for penalty, accuracy in result.validation_accuracy.items():
        predicted = sklearn_predictions(
            train[~held_out], labels[~held_out], train[held_out], penalty
        )
        expected = 100 * np.mean(predicted == labels[held_out])
        assert accuracy == pytest.approx(expected, abs=2.51)  # one of 40 images on the border


def test_separable_blobs_are_learned():
    train, labels = blobs(0, 200, spread=0.1)
    test, truth = blobs(1, 200, spread=0.1)
    assert (linear_probe(train, labels, test, 0).predictions == truth).all()


def test_shuffled_labels_give_chance():
    train, labels = blobs(0, 400, spread=0.5)
    test, truth = blobs(1, 2000, spread=0.5)
    shuffled = np.random.default_rng(0).permutation(labels)
    accuracy = np.mean(linear_probe(train, shuffled, test, 0).predictions == truth)
    assert 0.05 < accuracy < 0.40


@pytest.fixture(scope="module")
def noisy():
    # A nuisance shared by all columns misleads a strong penalty; with few images for 100 columns a
    # weak one overfits.
    generator = np.random.default_rng(0)
    labels = np.arange(400) % 2
    features = generator.normal(size=(400, 100)) + 3 * generator.normal(size=(400, 1))
    features[:, 0:50:2] += 0.2 - 0.4 * labels[:, None]
    features[:, 1:50:2] -= 0.2 - 0.4 * labels[:, None]
    return features, labels


def test_the_best_penalty_on_validation_is_chosen_and_used(noisy):
    features, labels = noisy
    result = linear_probe(features, labels, features, 0)
    accuracy = result.validation_accuracy
    assert tuple(accuracy) == STANDARD.linear_penalties
    assert accuracy[result.chosen] == max(accuracy.values())
    assert accuracy[result.chosen] > max(accuracy[1e-5], accuracy[1.0], accuracy[10.0])
    only = linear_probe(
        features, labels, features, 0, replace(STANDARD, linear_penalties=(result.chosen,))
    )
    assert (only.predictions == result.predictions).all()


def test_the_choice_never_sees_the_test_images(noisy):
    features, labels = noisy
    one = linear_probe(features, labels, features[:50], 0)
    other = linear_probe(features, labels, 1000 * features[50:] - 7, 0)
    assert one.chosen == other.chosen
    assert one.validation_accuracy == other.validation_accuracy


def test_a_prediction_does_not_depend_on_the_other_test_images(noisy):
    features, labels = noisy
    alone = linear_probe(features, labels, features[:3], 0).predictions
    together = linear_probe(features, labels, np.vstack([features[:3], features * 1e3]), 0)
    assert (together.predictions[:3] == alone).all()


def test_seed_decides_the_held_out_images(noisy):
    features, labels = noisy
    first, again, other = (
        linear_probe(features, labels, features[:1], seed).validation_accuracy for seed in (0, 0, 1)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("size", "expected"), [(1, 0), (2, 1), (3, 1), (5, 1), (10, 2), (13, 3), (100, 20)]
)
def test_held_out_images_of_each_class(size, expected):
    labels = np.concatenate([np.zeros(50, dtype=int), np.ones(size, dtype=int)])
    held_out = _held_out(labels, 0.2, 0)
    assert held_out[labels == 0].sum() == 10
    assert held_out[labels == 1].sum() == expected


def test_a_large_share_leaves_an_image_to_fit():
    assert _held_out(np.array([0, 0, 1, 1, 1]), 0.95, 0).sum() == 3


def test_class_numbers_need_not_be_consecutive_and_a_single_image_is_learned():
    train, labels = blobs(0, 100, spread=0.1, classes=3)
    keep = (labels != 2) | (np.arange(100) == 2)
    named = np.array([7, 40, 12])
    test, truth = blobs(1, 30, spread=0.1, classes=3)
    protocol = replace(STANDARD, linear_penalties=(1.0,))
    result = linear_probe(train[keep], named[labels[keep]], test, 0, protocol)
    assert (result.predictions == named[truth]).all()


def test_of_equally_accurate_penalties_the_strongest_is_chosen():
    train, labels = blobs(0, 200, spread=0.1)
    result = linear_probe(train, labels, train, 0, replace(STANDARD, linear_penalties=(1.0, 0.1)))
    assert result.validation_accuracy == {0.1: 100.0, 1.0: 100.0}
    assert result.chosen == 0.1


def test_constant_columns_are_harmless():
    train, labels = blobs(0, 100, spread=0.1)
    constant = np.hstack([train, np.full((100, 1), 0.1)])
    assert (linear_probe(constant, labels, constant, 0).predictions == labels).all()


def test_failure_to_converge_is_logged_with_its_penalty(noisy, caplog):
    features, labels = noisy
    protocol = replace(STANDARD, linear_penalties=(1e-9, 0.25), linear_max_iterations=2)
    with caplog.at_level(logging.WARNING):
        linear_probe(features, labels, features[:1], 0, protocol)
    assert "C = 0.25 has not converged" in caplog.text
    assert "C = 1e-09" not in caplog.text


def test_convergence_is_not_doubted(noisy, caplog):
    with caplog.at_level(logging.WARNING):
        linear_probe(*noisy, noisy[0][:1], 0)
    assert caplog.text == ""


def test_a_single_candidate_needs_no_validation_images():
    """Even classes of one image each can be learned then."""
    train = np.eye(4)
    result = linear_probe(train, np.arange(4), train, 0, replace(STANDARD, linear_penalties=(1.0,)))
    assert result.predictions.tolist() == [0, 1, 2, 3]
    assert result.validation_accuracy == {}


def test_the_best_learning_rate_on_validation_is_chosen(noisy):
    features, labels = noisy
    rates = (1e-3, 1.0, 1e4)
    protocol = replace(PAPER, linear_learning_rates=rates, linear_epochs=10)
    result = linear_probe(features, labels, features, 0, protocol)
    accuracy = result.validation_accuracy
    assert tuple(accuracy) == rates
    assert accuracy[result.chosen] == max(accuracy.values())
    only = replace(protocol, linear_learning_rates=(result.chosen,))
    assert (
        linear_probe(features, labels, features, 0, only).predictions == result.predictions
    ).all()


def test_sgd_learns_separable_blobs():
    train, labels = blobs(0, 300, spread=0.1)
    test, truth = blobs(1, 300, spread=0.1)
    # SGD takes features as they are: here in columns of one scale.
    scaler = StandardScaler().fit(train)
    result = linear_probe(scaler.transform(train), labels, scaler.transform(test), 0, SGD)
    assert (result.predictions == truth).all()
    assert result.chosen == 0.1


def test_wrong_inputs_are_named():
    train, labels = blobs(0, 20, spread=1)
    bad = train.copy()
    bad[4, 0] = np.inf
    cases = [
        ((bad, labels, train), "training features has .* row 4"),
        ((train, labels, bad), "test features has .* row 4"),
        ((train, labels[1:], train), "20 class numbers"),
        ((train, labels - 1, train), r"training labels\[0\] is -1"),
        ((train, labels * 0, train), "only class 0"),
        ((train, np.arange(20), train), "every class has a single training image"),
        ((train, labels, train[:, 1:]), "columns"),
    ]
    for arrays, message in cases:
        with pytest.raises(BraddError, match=message):
            linear_probe(*arrays, 0)
