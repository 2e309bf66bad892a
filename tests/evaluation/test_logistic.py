from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from bradd.evaluation import logistic_problem
from bradd.evaluation.logistic import LogisticFit, fit_logistic
from bradd.evaluation.protocol import STANDARD

PENALTIES = STANDARD.linear_penalties


def problem(
    rows: int = 300, width: int = 12, classes: int = 4, apart: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Standardised features whose variances span four decades, of classes that are not alike."""
    generator = np.random.default_rng(0)
    targets = np.minimum(generator.geometric(0.4, rows) - 1, classes - 1)
    centres = apart * generator.normal(size=(classes, width))
    features = (centres[targets] + generator.normal(size=(rows, width))) * np.logspace(0, -2, width)
    features = features @ np.linalg.qr(generator.normal(size=(width, width)))[0]
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    return torch.from_numpy(features.astype(np.float32)), torch.from_numpy(targets)


def loss(
    weights: np.ndarray, biases: np.ndarray, features: torch.Tensor, targets: torch.Tensor, c: float
) -> float:
    """scikit-learn's objective for one penalty, in float64, over the number of images."""
    logits = features.double().numpy() @ weights + biases
    logits -= logits.max(axis=1, keepdims=True)
    picked = logits[np.arange(len(logits)), targets.numpy()]
    entropy = np.log(np.exp(logits).sum(axis=1)) - picked
    return float(entropy.mean() + np.square(weights).sum() / (2 * c * len(logits)))


def losses(fit: LogisticFit, features: torch.Tensor, targets: torch.Tensor) -> list[float]:
    return [
        loss(weights.double().numpy(), biases.double().numpy(), features, targets, c)
        for weights, biases, c in zip(fit.weights, fit.biases, PENALTIES, strict=True)
    ]


def test_the_optimum_is_sklearns_for_each_penalty() -> None:
    features, targets = problem()
    fit = fit_logistic(features, targets, PENALTIES, 1e-5, 1e-5, 1000)
    for found, c in zip(losses(fit, features, targets), PENALTIES, strict=True):
        peer = LogisticRegression(C=c, tol=1e-8, max_iter=10_000)
        peer.fit(features.double().numpy(), targets.numpy())
        best = loss(peer.coef_.T, peer.intercept_, features, targets, c)
        assert best - 1e-9 <= found <= best + 2e-6


def test_the_optimum_of_two_classes_is_that_of_a_plain_minimiser() -> None:
    features, targets = problem(rows=80, width=3, classes=2)
    x, y, c = features.double().numpy(), targets.numpy(), 0.1

    def objective(flat: np.ndarray) -> float:
        return loss(flat[:6].reshape(3, 2), flat[6:], features, targets, c)

    best = minimize(objective, np.zeros(8), method="BFGS", options={"gtol": 1e-8})
    fit = fit_logistic(features, targets, [c], 1e-6, 1e-5, 1000)
    found = x @ fit.weights[0].numpy() + fit.biases[0].numpy()
    expected = x @ best.x[:6].reshape(3, 2) + best.x[6:]
    # Logits are known up to what is common to both classes.
    assert found[:, 0] - found[:, 1] == pytest.approx(expected[:, 0] - expected[:, 1], abs=1e-3)
    assert set(y) == {0, 1}


def test_the_gradient_told_is_that_of_autograd_where_the_fit_ended() -> None:
    features, targets = problem()
    fit = fit_logistic(features, targets, PENALTIES, 1e-3, 1e-5, 1000)
    for weights, biases, c, told in zip(
        fit.weights, fit.biases, PENALTIES, fit.largest_gradient, strict=True
    ):
        w, b = weights.double().requires_grad_(), biases.double().requires_grad_()
        mean = torch.nn.functional.cross_entropy(features.double() @ w + b, targets)
        (mean + w.square().sum() / (2 * c * len(features))).backward()
        assert w.grad is not None
        assert b.grad is not None
        actual = max(float(w.grad.abs().max()), float(b.grad.abs().max()))
        assert told <= 1e-3
        assert told == pytest.approx(actual, abs=2e-6)


def test_a_fit_ends_near_its_minimum_however_weak_the_penalty() -> None:
    """Where the largest entry of the gradient says little: classes that can just be separated."""
    features, targets = problem(rows=400, width=60, classes=8, apart=0.5)
    near = fit_logistic(features, targets, PENALTIES, 1e-7, 1e-9, 5000)
    by_gradient = fit_logistic(features, targets, PENALTIES, 1e-3, 1e9, 1000)
    by_excess = fit_logistic(features, targets, PENALTIES, 1e-3, 1e-5, 1000)
    best = np.array(losses(near, features, targets))
    assert (np.array(losses(by_gradient, features, targets)) - best).max() > 1e-3
    # The excess is an estimate, too low while the fit has not yet learnt the curvature.
    assert (np.array(losses(by_excess, features, targets)) - best).max() < 3e-4


def test_penalties_do_not_depend_on_each_other() -> None:
    features, targets = problem()
    together = fit_logistic(features, targets, PENALTIES, 1e-4, 1e-5, 1000)
    for index in (0, 6, 12):
        alone = fit_logistic(features, targets, [PENALTIES[index]], 1e-4, 1e-5, 1000)
        torch.testing.assert_close(alone.weights[0], together.weights[index], atol=2e-3, rtol=1e-2)


def test_blocks_of_rows_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    features, targets = problem()
    whole = fit_logistic(features, targets, PENALTIES, 1e-5, 1e-5, 1000)
    monkeypatch.setattr(logistic_problem, "CPU_ROWS", 7)
    blocks = fit_logistic(features, targets, PENALTIES, 1e-5, 1e-5, 1000)
    assert losses(blocks, features, targets) == pytest.approx(
        losses(whole, features, targets), abs=1e-6
    )


def test_a_start_at_the_optimum_takes_no_step() -> None:
    features, targets = problem()
    first = fit_logistic(features, targets, [0.1], 1e-4, 1e-5, 1000)
    again = fit_logistic(
        features, targets, [0.1], 2e-4, 1e-5, 1000, (first.weights[0], first.biases[0])
    )
    assert first.iterations[0] > 0
    assert again.iterations == [0]


def test_later_penalties_start_where_their_neighbours_lead() -> None:
    features, targets = problem(rows=2000, width=64, classes=5, apart=0.3)
    path = fit_logistic(features, targets, PENALTIES, 1e-4, 1e-5, 1000).iterations
    alone = [
        fit_logistic(features, targets, [c], 1e-4, 1e-5, 1000).iterations[0] for c in PENALTIES
    ]
    assert path[::4] == pytest.approx(alone[::4], abs=3)
    assert sum(path[1::2]) < sum(alone[1::2]) / 2


@pytest.mark.parametrize("count", range(1, 16))
def test_any_number_of_penalties_at_any_distances(count: int) -> None:
    features, targets = problem(rows=60, width=4, classes=3)
    penalties = np.cumprod(np.random.default_rng(count).uniform(1.01, 20, count)) * 1e-6
    fit = fit_logistic(features, targets, penalties.tolist(), 1e-4, 1e-5, 1000)
    assert len(fit.iterations) == len(fit.weights) == count
    assert max(fit.largest_gradient) <= 1e-4


def test_penalties_that_do_not_ascend_are_refused() -> None:
    features, targets = problem()
    with pytest.raises(ValueError, match="ascending"):
        fit_logistic(features, targets, [1.0, 1.0], 1e-4, 1e-5, 1000)


def test_fewer_steps_than_plain_lbfgs() -> None:
    """What the coordinates are for: here sklearn takes many times as many."""
    features, targets = problem(rows=2000, width=64, classes=5, apart=0.3)
    fit = fit_logistic(features, targets, [1.0], 1e-4, 1e-5, 1000)
    peer = LogisticRegression(C=1.0, max_iter=10_000).fit(features.numpy(), targets.numpy())
    assert fit.iterations[0] < peer.n_iter_[0] / 2


def test_more_columns_than_images() -> None:
    features, targets = problem(rows=20, width=50, classes=3)
    fit = fit_logistic(features, targets, PENALTIES, 1e-4, 1e-5, 1000)
    assert max(fit.largest_gradient) <= 1e-4
    predicted = (features @ fit.weights[-1] + fit.biases[-1]).argmax(dim=1)
    assert (predicted == targets).all()
