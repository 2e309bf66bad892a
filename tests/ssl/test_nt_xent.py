from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightly.loss import NTXentLoss
from torch import Tensor

from bradd.ssl.nt_xent import nt_xent


def by_pairs(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Chen et al. 2020, equation 1, pair by pair in float64."""
    z = torch.cat([first, second]).double()
    z = z / z.norm(dim=1, keepdim=True)
    n, losses = len(first), []
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        others = [torch.exp(z[i] @ z[k] / temperature) for k in range(2 * n) if k != i]
        losses.append(-torch.log(torch.exp(z[i] @ z[partner] / temperature) / sum(others)))
    return torch.stack(losses).mean()


def projections(n: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 6, generator=generator).requires_grad_() for _ in range(2)]


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.sampled_from([0.1, 0.5, 1.0]), st.integers(0, 2**31))
def test_the_loss_is_the_papers_formula_and_lightlys(n: int, temperature: float, seed: int) -> None:
    first, second = projections(n, seed)
    loss = nt_xent(first, second, temperature).item()
    assert loss == pytest.approx(by_pairs(first, second, temperature).item(), rel=1e-5)
    assert loss == pytest.approx(NTXentLoss(temperature)(first, second).item(), rel=1e-5)


def test_both_views_get_the_formulas_gradient() -> None:
    views = projections(5, seed=0)
    found = torch.autograd.grad(nt_xent(*views, 0.5), views)
    expected = torch.autograd.grad(by_pairs(*views, 0.5), views)
    for mine, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-6)


def test_it_is_computed_in_float32_under_autocast() -> None:
    first, second = projections(64, seed=1)
    expected = nt_xent(first, second, 0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(nt_xent(first, second, 0.1), expected)
        low = nt_xent(first.bfloat16(), second.bfloat16(), 0.1)
    assert low.dtype == torch.float32
    assert low.item() == pytest.approx(expected.item(), rel=0.02)
