from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bradd.generate.warping import GAMMA, SHIFT, STRETCH, TURN, warp

SIZE = 32


def images(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(count, 3, 5, 5, generator=generator)
    large = torch.nn.functional.interpolate(small, SIZE, mode="bicubic").clamp(0, 1)
    return (large * 255).to(torch.uint8)


def square(left: int, top: int, side: int) -> Tensor:
    """White on black, `[1, 3, S, S]`."""
    image = torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8)
    image[:, :, top : top + side, left : left + side] = 255
    return image


def test_a_warp_of_nothing_changes_nothing() -> None:
    assert torch.equal(warp(images(3), [1, 2, 3], np.zeros(3)), images(3))


def test_a_warp_depends_on_its_own_seed_and_amount_alone() -> None:
    pictures = images(5)
    amounts = np.array([0.5, 1.0, 1.0, 2.0, 0.1])
    together = warp(pictures, [3, 4, 5, 6, 7], amounts)
    for row in range(5):
        alone = warp(pictures[row : row + 1], [3 + row], amounts[row : row + 1])
        assert torch.equal(alone[0], together[row])
    assert not torch.equal(
        warp(pictures[:1], [3], amounts[:1]), warp(pictures[:1], [4], amounts[:1])
    )


@given(seed=st.integers(0, 2**63 - 1), amount=st.floats(0.1, 2))
@settings(deadline=None, max_examples=50)
def test_what_is_in_the_middle_stays_near_it_and_of_its_size(seed: int, amount: float) -> None:
    """Its centre moves by the shift, its area by the two stretches and what shearing takes."""
    before = square(12, 12, 8)
    after = warp(before, [seed], np.array([amount]))[0, 0].double() / 255
    weights = after - after.min()
    places = torch.arange(SIZE) + 0.5 - SIZE / 2
    x, y = (float((weights.sum(dim) * places).sum() / weights.sum()) for dim in (0, 1))
    assert max(abs(x), abs(y)) <= 1.3 * amount * SHIFT * SIZE + 0.2
    area = float((after > after.max() / 2).sum()) / 64
    largest = np.exp(2 * STRETCH * amount) / np.cos(2 * TURN * amount)
    assert 0.75 / largest <= area <= 1.25 * largest


def test_an_even_image_only_changes_its_brightness() -> None:
    grey = torch.full((8, 3, SIZE, SIZE), 100, dtype=torch.uint8)
    lit = warp(grey, list(range(8)), np.ones(8))
    assert torch.equal(lit, lit[:, :, :1, :1].expand_as(lit))
    levels = lit[:, 0, 0, 0].double() / 255
    expected = (100 / 255) ** torch.tensor([np.exp(GAMMA), np.exp(-GAMMA)])
    assert levels.min() >= expected[0] - 0.01
    assert levels.max() <= expected[1] + 0.01
    assert len(levels.unique()) == 8


@pytest.mark.parametrize("small", [0.25, 0.5])
def test_a_larger_amount_changes_more(small: float) -> None:
    pictures = images(16)

    def change(amount: float) -> float:
        warped = warp(pictures, list(range(16)), np.full(16, amount))
        return float((warped.double() - pictures.double()).abs().mean())

    assert 0 < change(small) < change(2 * small)
