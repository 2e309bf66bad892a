from __future__ import annotations

import math
from typing import Any

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bradd.errors import BraddError
from bradd.ssl import MoCoV3
from bradd.ssl.mocov3 import contrast
from training import WIDTH, batch, built, progress, resnet, transformer


def by_pairs(queries: Tensor, keys: Tensor, temperature: float) -> float:
    """MoCo v3, algorithm 1, pair by pair in float64."""
    q = (queries / queries.norm(dim=1, keepdim=True)).double().tolist()
    k = (keys / keys.norm(dim=1, keepdim=True)).double().tolist()
    losses = []
    for i, query in enumerate(q):
        exponentials = [
            math.exp(sum(a * b for a, b in zip(query, key, strict=True)) / temperature) for key in k
        ]
        losses.append(-math.log(exponentials[i] / sum(exponentials)))
    return 2 * temperature * sum(losses) / len(losses)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.sampled_from([0.1, 0.2, 1.0]), st.integers(0, 2**31))
def test_the_loss_is_the_papers_formula(n: int, temperature: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    queries, keys = (torch.randn(n, 5, generator=generator) for _ in range(2))
    expected = by_pairs(queries, keys, temperature)
    assert contrast(queries, keys, temperature).item() == pytest.approx(
        expected, rel=1e-4, abs=1e-6
    )


@pytest.mark.parametrize(("make", "temperature"), [(resnet, 1.0), (transformer, 0.2)])
def test_each_view_predicts_the_teachers_other_view(make: Any, temperature: float) -> None:
    backbone = make()
    method = built(MoCoV3(hidden_size=12, projection_size=6), backbone)
    first, second = batch()
    loss = method.loss(backbone, [first, second], progress()).item()
    with torch.no_grad():
        queries = [method.predictor(method.projector(backbone(x))) for x in (first, second)]
        keys = [method.teacher(view) for view in (first, second)]
    expected = by_pairs(queries[0], keys[1], temperature)
    expected += by_pairs(queries[1], keys[0], temperature)
    assert loss == pytest.approx(expected, rel=1e-4, abs=1e-6)


def kinds(module: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in module.children()]


def test_a_resnets_heads_are_those_published() -> None:
    method = built(MoCoV3(hidden_size=12, projection_size=6), resnet())
    layer = ["Linear", "BatchNorm1d", "ReLU"]
    assert kinds(method.projector) == [*layer, "Linear", "BatchNorm1d"]
    assert kinds(method.predictor) == [*layer, "Linear"]
    assert not method.projector[-1].affine
    assert method.projector[1].affine
    assert all(part.bias is None for part in method.modules() if type(part) is nn.Linear)


def test_a_vision_transformers_heads_are_those_published() -> None:
    method = built(MoCoV3(hidden_size=12, projection_size=6), transformer())
    layer = ["Linear", "BatchNorm1d", "ReLU"]
    assert kinds(method.projector) == [*layer, *layer, "Linear", "BatchNorm1d"]
    assert kinds(method.predictor) == [*layer, "Linear", "BatchNorm1d"]
    assert not method.projector[-1].affine
    assert not method.predictor[-1].affine


def test_a_vision_transformer_gets_fixed_positions_and_a_frozen_patch_embedding() -> None:
    backbone: Any = transformer()
    drawn = backbone.patch_embed.proj.weight.clone()
    built(MoCoV3(), backbone)
    frozen = {name for name, value in backbone.named_parameters() if not value.requires_grad}
    assert frozen == {"pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"}
    weight = backbone.patch_embed.proj.weight
    assert not torch.equal(weight, drawn)
    assert weight.abs().max() <= math.sqrt(6 / (3 * 4 * 4 + WIDTH))
    assert weight.std() == pytest.approx(math.sqrt(2 / (3 * 4 * 4 + WIDTH)), rel=0.1)

    # The formula, token by token: the class token's are zero, then the patches' row by row.
    positions = backbone.pos_embed[0]
    assert positions.shape == (1 + 16, WIDTH)
    assert positions[0].abs().max() == 0
    quarter = WIDTH // 4
    for row in range(4):
        for column in range(4):
            angles = [[place / 10000 ** (i / quarter) for i in range(quarter)] for place in
                      (row, column)]  # fmt: skip
            parts = {tuple(f(a) for a in place) for place in angles for f in (math.sin, math.cos)}
            token = positions[1 + 4 * row + column].view(4, quarter)
            for part in token:
                near = [torch.allclose(part, torch.tensor(p), atol=1e-5) for p in parts]
                assert any(near)
    assert len({tuple(token.tolist()) for token in positions.round(decimals=4)}) == 17


def test_trained_weights_are_left_as_they_are() -> None:
    backbone: Any = transformer()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    built(MoCoV3(), backbone, pretrained=True)
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    frozen = {name for name, value in backbone.named_parameters() if not value.requires_grad}
    assert frozen == {"pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"}


def test_a_patch_embedding_without_bias_is_drawn() -> None:
    backbone = timm.create_model(
        "vit_base_patch16_clip_224",
        img_size=16, patch_size=4, depth=1, embed_dim=16, num_heads=2, num_classes=0,
    )  # fmt: skip
    assert built(MoCoV3(hidden_size=8), backbone).loss(backbone, batch(), progress()).isfinite()


def test_a_transformer_on_a_convolutional_network_is_refused() -> None:
    backbone = timm.create_model(
        "vit_tiny_r_s16_p8_224", img_size=32, depth=1, embed_dim=16, num_heads=2, num_classes=0
    )
    with pytest.raises(BraddError, match="a network in their place"):
        built(MoCoV3(), backbone)


def test_a_transformer_whose_width_has_no_quarters_is_refused() -> None:
    backbone = timm.create_model(
        "vit_tiny_patch16_224", img_size=16, patch_size=4, depth=1, embed_dim=18, num_heads=2
    )
    with pytest.raises(BraddError, match="width 18"):
        built(MoCoV3(), backbone)


def test_the_teacher_is_a_moving_average_whose_momentum_rises_to_one() -> None:
    backbone = resnet()
    method = built(MoCoV3(momentum=0.9, hidden_size=12), backbone)
    student = nn.Sequential(backbone, method.projector)
    before = [value.clone() for value in method.teacher.parameters()]
    assert all(map(torch.equal, before, student.parameters()))
    assert not any(value.requires_grad for value in method.teacher.parameters())
    with torch.no_grad():
        for value in student.parameters():
            value.add_(1)
    method.after_step(backbone, progress(step=0, steps=11))
    for old, new in zip(before, method.teacher.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.1)
    middle = [value.clone() for value in method.teacher.parameters()]
    method.after_step(backbone, progress(step=5, steps=11))  # half-way: 0.95
    for old, new, mine in zip(
        middle, method.teacher.parameters(), student.parameters(), strict=True
    ):
        torch.testing.assert_close(new, 0.95 * old + 0.05 * mine)
    last = [value.clone() for value in method.teacher.parameters()]
    method.after_step(backbone, progress(step=10, steps=11))
    assert all(map(torch.equal, last, method.teacher.parameters()))


def test_no_gradient_reaches_the_teacher() -> None:
    backbone = resnet()
    method = built(MoCoV3(hidden_size=12), backbone)
    method.loss(backbone, batch(), progress()).backward()  # type: ignore[no-untyped-call]
    assert all(value.grad is None for value in method.teacher.parameters())
    trained = [*backbone.parameters(), *method.projector.parameters()]
    assert all(value.grad is not None for value in [*trained, *method.predictor.parameters()])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"temperature": 0}, "method.temperature"),
        ({"momentum": 1.1}, "method.momentum is 1.1: it must be 0 to 1"),
        ({"hidden_size": 0}, "method.hidden_size"),
        ({"projection_size": 0}, "method.projection_size"),
    ],
)
def test_an_impossible_setting_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(BraddError, match=says):
        MoCoV3(**settings)


def test_the_loss_is_computed_in_float32_under_autocast() -> None:
    queries, keys = (torch.randn(64, 8) for _ in range(2))
    expected = contrast(queries, keys, 0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(contrast(queries, keys, 0.1), expected)
        assert contrast(queries.bfloat16(), keys.bfloat16(), 0.1).dtype == torch.float32
