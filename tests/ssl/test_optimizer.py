from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from timm.optim import Lars
from torch import nn

from bradd.ssl.backbone import Backbone, create_backbone
from bradd.ssl.optimizer import OPTIMIZERS, build_optimizer, set_schedule

# How each backbone is built, and which of its weights of two or more dimensions must not decay.
BACKBONES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "resnet18": ({"channels": [4, 4, 8, 8]}, set()),
    "vit_tiny_patch16_224": ({"depth": 2}, {"backbone.pos_embed", "backbone.cls_token"}),
}


def with_heads(name: str) -> nn.ModuleDict:
    """A backbone with a projector, and a copy of it that does not learn."""
    plan = Backbone.choose(name, 32, BACKBONES[name][0])
    backbone, teacher = create_backbone(plan), create_backbone(plan)
    width = backbone(torch.zeros(1, 3, 32, 32)).shape[1]
    head = nn.Sequential(nn.Linear(width, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    return nn.ModuleDict(
        {"backbone": backbone, "head": head, "teacher": teacher.requires_grad_(False)}
    )


def settings(optimizer: torch.optim.Optimizer, setting: str) -> dict[int, Any]:
    return {
        id(parameter): group[setting]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_decay_but_neither_biases_norms_nor_what_timm_excludes(
    name: str, backbone: str
) -> None:
    module = with_heads(backbone)
    optimizer = build_optimizer(module, name, 0.3, 0.05)
    weights = {
        f"{prefix}.weight"
        for prefix, part in module.named_modules()
        if isinstance(part, nn.Conv2d | nn.Linear)
    }
    learning = {name: p for name, p in module.named_parameters() if p.requires_grad}
    excluded = BACKBONES[backbone][1]
    assert len(weights & learning.keys()) > 9
    assert excluded < learning.keys()
    assert {n for n, p in learning.items() if p.ndim > 1} == (weights & learning.keys()) | excluded

    decay, decays = settings(optimizer, "weight_decay"), settings(optimizer, "decays")
    assert decay == {id(p): 0.05 if name in weights else 0.0 for name, p in learning.items()}
    assert decays == {id(p): name in weights for name, p in learning.items()}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(learning)
    assert {group["lr"] for group in optimizer.param_groups} == {0.3}


def test_what_timm_excludes_is_found_under_any_name_or_none() -> None:
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=0)
    for module in (model, nn.Sequential(nn.ModuleDict({"a": model}))):
        decay = settings(build_optimizer(module, "adamw", 0.1, 0.05), "weight_decay")
        assert decay[id(model.pos_embed)] == decay[id(model.cls_token)] == 0.0
        assert decay[id(model.patch_embed.proj.weight)] == 0.05


def test_the_optimisers_are_those_named() -> None:
    sgd, adamw, lars = (build_optimizer(nn.Linear(2, 2), name, 0.1, 0.01) for name in OPTIMIZERS)
    assert isinstance(sgd, torch.optim.SGD)
    assert sgd.defaults["momentum"] == 0.9
    assert isinstance(adamw, torch.optim.AdamW)
    assert adamw.defaults["fused"] is True
    assert isinstance(lars, Lars)
    assert lars.defaults["momentum"] == 0.9
    assert lars.defaults["trust_coeff"] == 0.001
    with pytest.raises(ValueError, match="adam2"):
        build_optimizer(nn.Linear(2, 2), "adam2", 0.1, 0.0)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("start", [0.0, 0.04])
def test_a_schedule_sets_every_learning_rate_and_the_decay_of_what_decays(
    name: str, start: float
) -> None:
    model = nn.Linear(3, 2)
    optimizer = build_optimizer(model, name, 0.1, start)
    assert set(settings(optimizer, "weight_decay").values()) == {start, 0.0}
    set_schedule(optimizer, 0.02, 0.4)
    assert settings(optimizer, "lr") == {id(model.weight): 0.02, id(model.bias): 0.02}
    assert settings(optimizer, "weight_decay") == {id(model.weight): 0.4, id(model.bias): 0.0}
    # A resumed run's optimiser holds the same.
    resumed = build_optimizer(nn.Linear(3, 2), name, 0.1, start)
    resumed.load_state_dict(optimizer.state_dict())
    set_schedule(resumed, 0.01, 0.2)
    assert sorted(group["weight_decay"] for group in resumed.param_groups) == [0.0, 0.2]


def stepped(name: str, weight_decay: float, steps: int = 2) -> tuple[list[torch.Tensor], nn.Linear]:
    """A layer after some steps with known gradients, and the values it started from."""
    torch.manual_seed(0)
    layer = nn.Linear(5, 3)
    start = [p.detach().clone() for p in layer.parameters()]
    optimizer = build_optimizer(layer, name, 0.1, weight_decay)
    for step in range(steps):
        for p in layer.parameters():
            p.grad = torch.cos(torch.arange(p.numel()) + step).reshape(p.shape)
        optimizer.step()
    return start, layer


def test_fused_adamw_steps_as_the_paper_writes_it() -> None:
    """Loshchilov and Hutter 2019, algorithm 2, with torch's default betas."""
    start, layer = stepped("adamw", 0.05)
    for p, value, decay in zip(layer.parameters(), start, (0.05, 0.0), strict=True):
        m = v = torch.zeros_like(value)
        for step in (1, 2):
            gradient = torch.cos(torch.arange(value.numel()) + step - 1).reshape(value.shape)
            m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
            update = (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
            value = value - 0.1 * (update + decay * value)
        torch.testing.assert_close(p, value)


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
def test_lars_adapts_weights_alone_as_in_moco_v3(weight_decay: float) -> None:
    """Also without weight decay: LARS is about the learning rate of a layer."""
    start, layer = stepped("lars", weight_decay)
    for p, value, adapted in zip(layer.parameters(), start, (True, False), strict=True):
        momentum = torch.zeros_like(value)
        for step in (0, 1):
            gradient = torch.cos(torch.arange(value.numel()) + step).reshape(value.shape)
            if adapted:
                trust = value.norm() / (gradient.norm() + weight_decay * value.norm())
                gradient = 0.001 * trust * (gradient + weight_decay * value)
            momentum = 0.9 * momentum + gradient
            value = value - 0.1 * momentum
        torch.testing.assert_close(p, value)


def test_gradients_may_be_clipped_where_precision_is_mixed() -> None:
    """Lightning refuses to clip for optimisers that say they unscale gradients themselves."""
    adamw = build_optimizer(nn.Linear(2, 2), "adamw", 0.1, 0.0)
    assert not getattr(adamw, "_step_supports_amp_scaling", False)


@pytest.mark.gpu
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimisers_step_on_a_gpu_as_on_the_processor(name: str) -> None:
    _, expected = stepped(name, 0.05)
    torch.manual_seed(0)
    layer = nn.Linear(5, 3).cuda()
    optimizer = build_optimizer(layer, name, 0.1, 0.05)
    for step in range(2):
        for p in layer.parameters():
            p.grad = torch.cos(torch.arange(p.numel()) + step).reshape(p.shape).cuda()
        optimizer.step()
    for ours, theirs in zip(layer.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours.cpu(), theirs)
