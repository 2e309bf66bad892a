from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from bradd.errors import BraddError
from bradd.evaluation.protocol import PAPER, PROTOCOLS, SGD, STANDARD


def test_the_constants_are_those_promised() -> None:
    assert (STANDARD.knn_k, STANDARD.knn_metric, STANDARD.knn_temperature) == (20, "cosine", 0.07)
    assert (PAPER.knn_k, PAPER.knn_metric, PAPER.knn_temperature) == (5, "euclidean", None)
    assert len(STANDARD.linear_penalties) == len(PAPER.linear_learning_rates) == 13
    assert (STANDARD.linear_penalties[0], STANDARD.linear_penalties[-1]) == (1e-5, 10.0)
    assert (SGD.linear_learning_rates, SGD.linear_epochs) == ((0.1,), 90)
    assert list(PROTOCOLS) == ["standard", "paper", "sgd"]


def test_a_protocol_says_what_it_is_and_goes_into_json() -> None:
    descriptions = {protocol.describe() for protocol in PROTOCOLS.values()}
    assert len(descriptions) == 3
    assert "kNN k = 5, euclidean, one vote each" in PAPER.describe()
    assert "penalty chosen among 13 on 20 %" in STANDARD.describe()
    assert "90 epochs of SGD, learning rate 0.1" in SGD.describe()
    for protocol in PROTOCOLS.values():
        assert json.loads(json.dumps(asdict(protocol)))["name"] == protocol.name


@pytest.mark.parametrize(
    "settings",
    [
        {"knn_k": 0},
        {"knn_temperature": 0.0},
        {"knn_temperature": None, "knn_metric": "manhattan"},
        {"linear_penalties": ()},
        {"linear_penalties": (1.0, -1.0)},
        {"linear_learning_rates": (0.1,)},
        {"linear_tolerance": 0.0},
        {"linear_excess_loss": 0.0},
        {"linear_max_iterations": 0},
        {"linear_epochs": 0},
        {"linear_momentum": 1.0},
        {"linear_batch_size": 0},
        {"linear_initial_std": -1.0},
        {"linear_validation_share": 1.0},
    ],
)
def test_out_of_range(settings: dict[str, object]) -> None:
    with pytest.raises(BraddError, match=list(settings)[-1]):
        replace(STANDARD, **settings)


def test_a_temperature_for_distances_is_refused() -> None:
    with pytest.raises(BraddError, match="knn_temperature"):
        replace(PAPER, knn_temperature=0.07)
