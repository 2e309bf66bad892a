from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bradd.errors import BraddError
from bradd.ssl import SimCLR


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Chen et al. 2020, equation 1, pair by pair in float64."""
    z = torch.cat([first, second]).double()
    z = z / z.norm(dim=1, keepdim=True)
    n, losses = len(first), []
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        others = [torch.exp(z[i] @ z[k] / temperature) for k in range(2 * n) if k != i]
        losses.append(-torch.log(torch.exp(z[i] @ z[partner] / temperature) / sum(others)))
    return torch.stack(losses).mean()


def simclr(temperature: float = 0.5, width: int = 12) -> SimCLR:
    torch.manual_seed(0)
    method = SimCLR(temperature, projection_size=6)
    method.build(width)
    return method


class Seen(nn.Module):
    """Notes what it is given, and passes it on."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[Tensor] = []

    def forward(self, value: Tensor) -> Tensor:
        self.inputs.append(value)
        return value


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.sampled_from([0.1, 0.5, 1.0]), st.integers(0, 2**31))
def test_the_loss_is_nt_xent_of_the_projections(n: int, temperature: float, seed: int) -> None:
    method = simclr(temperature)
    generator = torch.Generator().manual_seed(seed)
    views = [torch.randn(n, 12, generator=generator) for _ in range(2)]
    with torch.no_grad():
        loss = method.loss(nn.Identity(), views)
        projections = method.projector(torch.cat(views))
    expected = nt_xent(projections[:n], projections[n:], temperature)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_projector_is_an_mlp_of_the_embeddings_width() -> None:
    method = simclr(width=12)
    linear = [layer for layer in method.projector.modules() if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(12, 12), (12, 6)]
    assert any(isinstance(layer, nn.ReLU) for layer in method.projector.modules())


def test_both_views_get_the_gradient_of_nt_xent() -> None:
    method = simclr()
    method.projector = nn.Identity()  # its batch norm would mix the views
    views = [torch.randn(5, 12).requires_grad_() for _ in range(2)]
    found = torch.autograd.grad(method.loss(nn.Identity(), views), views)
    expected = torch.autograd.grad(nt_xent(*views, 0.5), views)
    for mine, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-6)


def test_both_views_pass_the_backbone_together() -> None:
    """So that batch norm sees both."""
    method, backbone = simclr(), Seen()
    method.loss(backbone, [torch.randn(5, 12) for _ in range(2)]).backward()  # type: ignore[no-untyped-call]
    assert [value.shape for value in backbone.inputs] == [(10, 12)]
    assert all(parameter.grad is not None for parameter in method.parameters())


def test_the_loss_is_float32_under_autocast() -> None:
    method = simclr(temperature=0.1)
    seen: list[Tensor] = []
    method.projector.register_forward_hook(lambda *call: seen.append(call[-1]))
    views = [torch.randn(8, 12) for _ in range(2)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = method.loss(nn.Linear(12, 12), views)
    assert seen[0].dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    projections = seen[0].detach()
    expected = nt_xent(projections[:8], projections[8:], 0.1)
    # Products in bfloat16 would be off by some 1e-2.
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_training_brings_views_of_an_image_together() -> None:
    torch.manual_seed(0)
    method, backbone = simclr(temperature=0.1), nn.Linear(20, 12)
    optimizer = torch.optim.Adam([*method.parameters(), *backbone.parameters()], 0.01)
    images = torch.randn(16, 20)
    losses = []
    for _ in range(40):
        views = [images + 0.1 * torch.randn_like(images) for _ in range(2)]
        loss = method.loss(backbone, views)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("temperature", [0, -0.5])
def test_an_impossible_temperature_is_refused(temperature: float) -> None:
    with pytest.raises(BraddError, match=r"method\.temperature"):
        SimCLR(temperature)
