"""What all methods have in common: they learn, without collapsing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from bradd.errors import BraddError
from bradd.evaluation.health import feature_std
from bradd.ssl import DINO, SDCLR, Method, MoCoV3, SimCLR
from bradd.views import DINOViews, SimCLRViews
from training import built, pairs, resnet, train, transformer

SMALL_HEAD = {"hidden_size": 32, "bottleneck_size": 16, "output_size": 64}
CASES: dict[str, tuple[type[Method], dict[str, Any], Any, float]] = {
    "simclr": (SimCLR, {}, resnet, 3e-3),
    "simclr, ViT": (SimCLR, {}, transformer, 3e-3),
    "ts": (SimCLR, {"temperature_schedule": "cosine"}, resnet, 3e-3),
    "mocov3": (MoCoV3, {"hidden_size": 32}, resnet, 3e-3),
    "mocov3, ViT": (MoCoV3, {"hidden_size": 32}, transformer, 3e-3),
    "dino": (DINO, {**SMALL_HEAD, "momentum": 0.9}, resnet, 3e-3),
    # Without batch norm so small a transformer needs more steps than these to leave its beginning.
    "dino, ViT": (DINO, {**SMALL_HEAD, "momentum": 0.9, "batch_norm": True}, transformer, 1e-3),
    "sdclr": (SDCLR, {"pruned": 0.5}, resnet, 3e-3),
}


@pytest.mark.parametrize("case", CASES)
def test_the_first_steps_decrease_the_loss_and_do_not_collapse(case: str) -> None:
    cls, settings, make, rate = CASES[case]
    backbone: nn.Module = make()
    method = built(cls(**settings), backbone)
    losses = train(method, backbone, 20, rate)
    assert sum(losses[-3:]) < sum(losses[:3])
    with torch.no_grad():
        embeddings = backbone.eval()(pairs(0)[0])
    assert feature_std(embeddings.numpy()) > 0.05


@pytest.mark.parametrize("method", [SimCLR(), MoCoV3(), SDCLR()])
def test_two_views_of_equal_size_are_taken(method: Method) -> None:
    method.check_views(method.default_views.for_image_size(32).recipes(32))
    method.check_views(method.default_views.for_image_size(224).recipes(224))
    for views in (SimCLRViews(count=3), DINOViews()):
        with pytest.raises(BraddError, match="takes 2 of equal size"):
            method.check_views(views.recipes(224))
