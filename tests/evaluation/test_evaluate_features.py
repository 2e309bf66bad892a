from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from bradd.evaluation.evaluate import evaluate_features
from bradd.evaluation.health import rank_me
from bradd.evaluation.protocol import PAPER, PROTOCOLS, EvaluationProtocol

CLASSES = ["a", "b", "c"]


def features(seed: int, rows: int = 90) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(3, 8))
    labels = np.arange(rows) % 3
    return (centres[labels] + generator.normal(size=(rows, 8))).astype(np.float32), labels


@pytest.mark.parametrize("protocol", [replace(p, linear_epochs=5) for p in PROTOCOLS.values()])
def test_what_a_result_holds(protocol: EvaluationProtocol) -> None:
    (train, train_labels), (test, test_labels) = features(0), features(1)
    result = evaluate_features(
        train, train_labels, test, test_labels, CLASSES, [200, 50, 10], protocol, seed=0
    )
    assert json.loads(json.dumps(result)) == result
    assert result["rank_me"] == rank_me(test)
    for probe in ("knn", "linear"):
        assert result[probe]["top1_percent"] > 50
        assert list(result[probe]["per_class"]) == CLASSES
        assert set(result[probe]["groups"]) == {"definition", "many", "medium", "few"}
    chosen = "penalty" if protocol.linear_penalties else "learning_rate"
    assert chosen in result["linear"]
    candidates = protocol.linear_penalties or protocol.linear_learning_rates
    tried = len(candidates) if len(candidates) > 1 else 0
    assert len(result["linear"]["validation_percent"]) == tried


def test_knn_of_the_paper_is_sklearns_default_with_five_neighbours() -> None:
    (train, train_labels), (test, test_labels) = features(0), features(1)
    protocol = replace(PAPER, linear_learning_rates=(0.1,), linear_epochs=1)
    result = evaluate_features(
        train, train_labels, test, test_labels, CLASSES, None, protocol, seed=0
    )
    expected = KNeighborsClassifier(5).fit(train, train_labels).score(test, test_labels)
    assert result["knn"]["top1_percent"] == pytest.approx(100 * expected)
    assert "groups" not in result["knn"]
