from __future__ import annotations

import logging
import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from bradd.errors import BraddError
from bradd.evaluation import knn
from bradd.evaluation.knn import knn_predict


@pytest.fixture
def data():
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(4, 8))
    labels = generator.integers(0, 4, 120)
    test_labels = generator.integers(0, 4, 60)
    train = (centres[labels] + generator.normal(size=(120, 8))).astype(np.float32)
    test = (centres[test_labels] + generator.normal(size=(60, 8))).astype(np.float32)
    return train, labels, test


def by_hand(train, labels, test, k, temperature, num_classes):
    predictions = []
    for query in test:
        similarities = [
            float(query @ row) / math.sqrt(float(query @ query) * float(row @ row)) for row in train
        ]
        nearest = sorted(range(len(train)), key=lambda i: -similarities[i])[:k]
        votes = [0.0] * num_classes
        for i in nearest:
            votes[labels[i]] += math.exp(similarities[i] / temperature)
        predictions.append(votes.index(max(votes)))
    return predictions


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (20, 0.07), (20, 5.0), (119, 0.5)])
def test_agrees_with_a_loop(data, k, temperature):
    train, labels, test = data
    got = knn_predict(train, labels, test, k, temperature, num_classes=4)
    assert got.tolist() == by_hand(
        *(a.astype(float) if a is not labels else a for a in data), k, temperature, 4
    )


def test_agrees_with_sklearn(data):
    train, labels, test = data
    peer = KNeighborsClassifier(
        20, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07)
    )
    expected = peer.fit(train.astype(float), labels).predict(test.astype(float))
    assert (knn_predict(train, labels, test, num_classes=4) == expected).all()


@pytest.mark.parametrize("k", [1, 5, 30])
@pytest.mark.parametrize("offset", [0, 1e4])
def test_euclidean_agrees_with_sklearn(data, k, offset):
    """Also far from the origin, where the expanded form of the distance loses its digits."""
    train, labels, test = data
    train, test = train + np.float32(offset), test + np.float32(offset)
    peer = KNeighborsClassifier(k, algorithm="brute").fit(train.astype(float), labels)
    got = knn_predict(train, labels, test, k, None, num_classes=4, metric="euclidean")
    assert (got == peer.predict(test.astype(float))).all()


def test_euclidean_minds_the_length_of_rows(data):
    train, labels, test = data
    cosine = knn_predict(train, labels, test, 5, None, num_classes=4)
    euclidean = knn_predict(train, labels, test, 5, None, num_classes=4, metric="euclidean")
    assert (cosine != euclidean).any()


def test_without_a_temperature_neighbours_have_one_vote_each(data):
    train, labels, test = data
    peer = KNeighborsClassifier(7, metric="cosine").fit(train.astype(float), labels)
    got = knn_predict(train, labels, test, 7, None, num_classes=4)
    assert (got == peer.predict(test.astype(float))).all()


def test_lowered_precision_of_products_is_not_used(data):
    expected = knn_predict(*data, num_classes=4)
    torch.set_float32_matmul_precision("medium")
    try:
        got = knn_predict(*data, num_classes=4)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert (got == expected).all()


def test_temperature_and_k_matter(data):
    results = {
        tuple(knn_predict(*data, k, t, num_classes=4))
        for k, t in [(1, 0.07), (100, 0.07), (100, 9)]
    }
    assert len(results) == 3


def test_blocks_give_the_same(data, monkeypatch):
    whole = knn_predict(*data, num_classes=4)
    monkeypatch.setattr(knn, "BLOCK_ENTRIES", 7 * len(data[0]))
    assert (knn_predict(*data, num_classes=4) == whole).all()


def test_length_of_rows_does_not_matter(data):
    train, labels, test = data
    scale = np.logspace(-25, 25, len(train), dtype=np.float32)[:, None]
    expected = knn_predict(train, labels, test, num_classes=4)
    assert (knn_predict(train * scale, labels, test * 1e-25, num_classes=4) == expected).all()


def test_small_temperature_does_not_overflow(data):
    train, labels, test = data
    nearest = knn_predict(train, labels, test, k=1, num_classes=4)
    assert (
        knn_predict(train, labels, test, k=20, temperature=1e-6, num_classes=4) == nearest
    ).all()


def test_ties_go_to_the_lowest_row_then_the_lowest_class():
    # 200 equally similar rows: the first three vote 2, 1, 1 and the rest must not be asked.
    train = np.ones((200, 2), dtype=np.float32)
    labels = np.array([2, 1, 1] + [0] * 197)
    test = np.ones((1, 2), dtype=np.float32)
    assert knn_predict(train, labels, test, k=3, num_classes=3).tolist() == [1]
    assert knn_predict(train, labels, test, k=2, num_classes=3).tolist() == [1]
    assert knn_predict(train, labels, test, k=1, num_classes=3).tolist() == [2]


def test_many_duplicates_agree_with_a_loop():
    # Columns of 0 and 1 only: rows repeat, and the k-th similarity nearly always has equals.
    generator = np.random.default_rng(0)
    train = np.eye(4, dtype=np.float32)[generator.integers(0, 4, 400)]
    labels = generator.integers(0, 3, 400)
    test = np.eye(4, dtype=np.float32)
    for k in (1, 2, 5, 10, 30):
        expected = by_hand(train, labels, test, k, 0.07, 3)
        assert knn_predict(train, labels, test, k, num_classes=3).tolist() == expected


def test_k_is_capped_with_a_warning(data, caplog):
    train, labels, test = data
    with caplog.at_level(logging.WARNING):
        capped = knn_predict(train[:7], labels[:7], test, k=20, num_classes=4)
    assert "capped to the 7" in caplog.text
    assert (capped == knn_predict(train[:7], labels[:7], test, k=7, num_classes=4)).all()


def test_zero_row_is_flagged_and_no_neighbour(data, caplog):
    train, labels, test = data
    train = np.concatenate([np.zeros((1, 8), dtype=np.float32), train])
    got = knn_predict(train, np.concatenate([[3], labels]), test, k=1, num_classes=4)
    assert "1 of 121 rows of the training features are all zero, first row 0" in caplog.text
    assert (got == knn_predict(*data, k=1, num_classes=4)).all()


def test_takes_tensors(data):
    tensors = [torch.from_numpy(part) for part in data]
    assert (knn_predict(*tensors, num_classes=4) == knn_predict(*data, num_classes=4)).all()


def test_wrong_inputs_are_named(data):
    train, labels, test = data
    bad = train.copy()
    bad[[5, 9], 2] = np.nan, np.inf
    cases = [
        ((bad, labels, test), {}, r"training features has .* 2 of 120 rows, first in row 5"),
        ((train, labels, bad), {}, r"test features has .* row 5"),
        ((train, labels, test.astype(float) * 1e300), {}, "infinite"),
        ((train, labels, test[:, :5]), {}, "8 columns and test features 5"),
        ((train, labels, test[0]), {}, "matrix"),
        ((train, labels, test[:0]), {}, "matrix"),
        ((train, labels, np.full((2, 8), "x")), {}, "cannot be read"),
        ((train, labels[:-1], test), {}, "120 class numbers"),
        ((train, labels.astype(float), test), {}, "integer"),
        ((train, labels + 1, test), {}, r"training labels\[\d+\] is 4"),
        ((train, labels - 1, test), {}, r"training labels\[\d+\] is -1"),
        ((train, labels, test), {"k": 0}, "k = 0"),
        ((train, labels, test), {"temperature": 0.0}, "temperature"),
    ]
    for arrays, settings, message in cases:
        with pytest.raises(BraddError, match=message):
            knn_predict(*arrays, **settings, num_classes=4)


def test_a_temperature_for_distances_is_refused(data):
    with pytest.raises(ValueError, match="temperature"):
        knn_predict(*data, num_classes=4, metric="euclidean")
