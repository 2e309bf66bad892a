from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from bradd.errors import BraddError
from bradd.ssl import SimCLR
from bradd.ssl.nt_xent import nt_xent
from training import SIZE, WIDTH, batch, built, progress, resnet


class Seen(nn.Module):
    """Notes what it is given, and passes on its mean colours."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[Tensor] = []
        self.mix = nn.Linear(3, WIDTH)

    def forward(self, images: Tensor) -> Tensor:
        self.inputs.append(images)
        mixed: Tensor = self.mix(images.mean((2, 3)))
        return mixed


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_the_loss_is_nt_xent_of_the_projections(temperature: float) -> None:
    backbone = resnet()
    method = built(SimCLR(temperature, projection_size=6), backbone)
    views = batch()
    loss = method.loss(backbone, views, progress())
    with torch.no_grad():
        projections = method.projector(backbone(torch.cat(views)))
    assert projections.shape == (16, 6)
    assert loss.item() == pytest.approx(nt_xent(*projections.chunk(2), temperature).item())


def test_the_projector_is_an_mlp_of_the_embeddings_width() -> None:
    method = built(SimCLR(projection_size=6), resnet())
    linear = [layer for layer in method.projector.modules() if isinstance(layer, nn.Linear)]
    widths = [(layer.in_features, layer.out_features) for layer in linear]
    assert widths == [(WIDTH, WIDTH), (WIDTH, 6)]
    assert any(isinstance(layer, nn.ReLU) for layer in method.projector.modules())


def test_both_views_pass_the_backbone_together() -> None:
    """So that batch norm sees both."""
    backbone = Seen()
    method = built(SimCLR(), backbone)
    method.loss(backbone, batch(), progress()).backward()  # type: ignore[no-untyped-call]
    assert [value.shape for value in backbone.inputs] == [(16, 3, SIZE, SIZE)]
    assert all(parameter.grad is not None for parameter in method.parameters())


@pytest.mark.parametrize(
    ("epoch", "epochs", "half_period", "expected"),
    [
        (0, 800, None, 1.0),
        (200, 800, None, 0.1),  # Kukleva et al. 2023: a period of 400 epochs
        (400, 800, None, 1.0),
        (100, 800, None, 0.55),
        (50, 100, None, 0.1),  # a shorter run is one period
        (5, 100, 10, 0.55),
        (10, 100, 10, 0.1),
    ],
)
def test_the_temperature_swings_as_in_ts(
    epoch: int, epochs: int, half_period: float | None, expected: float
) -> None:
    method = SimCLR(0.5, temperature_schedule="cosine", half_period=half_period)
    now = progress(epoch=epoch, epochs=epochs)
    assert method.temperature_at(now) == pytest.approx(expected)
    assert SimCLR(0.5).temperature_at(now) == 0.5


def test_the_schedules_temperature_is_the_losss() -> None:
    backbone = resnet()
    method = built(SimCLR(temperature_schedule="cosine"), backbone)
    now = progress(epoch=5, epochs=10)
    assert method.temperature_at(now) == pytest.approx(0.1)
    loss = method.loss(backbone, batch(), now)
    projections = method.projector(backbone(torch.cat(batch()))).chunk(2)
    assert loss.item() == pytest.approx(nt_xent(*projections, 0.1).item())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"temperature": 0}, "method.temperature is 0: it must be above 0"),
        ({"temperature": math.nan}, "method.temperature is nan"),
        ({"projection_size": 0}, "method.projection_size"),
        ({"temperature_schedule": "linear"}, "constant or cosine"),
        ({"minimum_temperature": 0}, "method.minimum_temperature"),
        ({"maximum_temperature": 0.05}, "at least minimum_temperature"),
        ({"half_period": 0}, "method.half_period"),
    ],
)
def test_an_impossible_setting_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(BraddError, match=says):
        SimCLR(**settings)  # type: ignore[arg-type]
