from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bradd.ssl import Backbone, SimCLR, create_backbone
from bradd.ssl.optimizer import OPTIMIZERS, build_optimizer, learning_rate_at
from bradd.ssl.pretraining import Pretraining


def pretraining(optimizer: str) -> Pretraining:
    backbone = create_backbone(Backbone.choose("resnet18", 32, {"channels": [4, 4, 8, 8]}))
    return Pretraining(
        backbone,
        SimCLR(projection_size=4),
        image_size=32,
        seed=0,
        optimizer=optimizer,
        learning_rate=0.3,
        weight_decay=0.05,
        steps=10,
        warmup_steps=2,
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_decay_but_neither_biases_nor_norms(name: str) -> None:
    module = pretraining(name)
    optimizer = module.configure_optimizers()
    decay = {
        id(parameter): group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    weights = {
        id(part.weight) for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)
    }
    assert len(weights) > 20
    # Every parameter of backbone and heads, once.
    assert decay == {id(p): 0.05 if id(p) in weights else 0.0 for p in module.parameters()}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(decay)
    assert {group["lr"] for group in optimizer.param_groups} == {0.3}


def test_the_optimisers_are_those_named() -> None:
    sgd, adamw = (build_optimizer(nn.Linear(2, 2), name, 0.1, 0.0) for name in OPTIMIZERS)
    assert isinstance(sgd, torch.optim.SGD)
    assert sgd.defaults["momentum"] == 0.9
    assert isinstance(adamw, torch.optim.AdamW)


@st.composite
def schedules(draw: st.DrawFn) -> tuple[int, int, float]:
    steps = draw(st.integers(2, 300))
    return steps, draw(st.integers(0, steps - 2)), draw(st.floats(1e-5, 10))


@given(schedules())
def test_the_learning_rate_rises_linearly_then_falls_as_a_cosine(
    schedule: tuple[int, int, float],
) -> None:
    steps, warmup, peak = schedule
    rates = [learning_rate_at(step, steps, warmup, peak) for step in range(steps)]
    ramp, cosine = rates[:warmup], rates[warmup:]
    assert ramp == pytest.approx([peak * (s + 1) / warmup for s in range(warmup)])
    last = len(cosine) - 1
    assert cosine == pytest.approx(
        [peak * (1 + math.cos(math.pi * s / last)) / 2 for s in range(last + 1)], abs=1e-12
    )
    assert ramp == sorted(ramp)
    assert cosine == sorted(cosine, reverse=True)
    assert cosine[0] == peak == pytest.approx(max(rates))
    assert rates[-1] == 0
    assert min(rates) >= 0


@given(st.integers(1, 50))
def test_a_run_that_is_all_warm_up_ends_at_the_peak(steps: int) -> None:
    rates = [learning_rate_at(step, steps, steps, 0.5) for step in range(steps)]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.5)
