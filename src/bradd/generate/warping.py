"""Anchors turned, stretched, shifted and relit a little, where sampling starts from them.

That keeps the class of nearly every kind of picture, and is more than a handful of them can teach.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bradd.seeds import random_generator

__all__ = ["warp"]

# The farthest that a warp of 1 goes; each is drawn evenly between that and its opposite.
TURN, SHEAR = math.radians(8), math.radians(6)
STRETCH = 0.12  # of the logarithm of width and height, each for itself
SHIFT = 0.05  # of the side
GAMMA, CONTRAST = 0.35, 0.2  # of the logarithms


def warp(images: Tensor, seeds: Sequence[int], amounts: np.ndarray) -> Tensor:
    """Change each image by its own seed; what comes in at the borders repeats the border.

    Args:
        images: 8-bit RGB, `[B, 3, S, S]`.
        seeds: One for each image; the change depends on nothing else.
        amounts: How far each may go, `[B]`: 0 leaves it as it is, 2 goes twice as far as 1.

    Returns:
        8-bit RGB, `[B, 3, S, S]`.
    """
    draws = [random_generator(seed, "warp").uniform(-1, 1, 8) for seed in seeds]
    drawn = np.stack(draws) * amounts[:, None]
    grid = functional.affine_grid(
        torch.from_numpy(_inverse_maps(drawn)).float().to(images.device),
        list(images.shape),
        align_corners=False,
    )
    moved = functional.grid_sample(
        images.float() / 255, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    gamma, contrast = (
        torch.from_numpy(np.exp(part)).float().to(images.device)[:, None, None, None]
        for part in (GAMMA * drawn[:, 6], CONTRAST * drawn[:, 7])
    )
    lit = moved.clamp(0, 1) ** gamma
    mean = lit.mean(dim=(1, 2, 3), keepdim=True)
    return ((lit - mean) * contrast + mean).mul(255).round().clamp(0, 255).to(torch.uint8)


def _inverse_maps(drawn: np.ndarray) -> np.ndarray:
    """From places in the warped image to places in the image, `[B, 2, 3]`; sides are from -1 to 1.

    Args:
        drawn: Numbers of which each row's first six say how far it goes, `[B, 8]`.
    """
    turn, shear = TURN * drawn[:, 0], SHEAR * drawn[:, 1]
    width, height = np.exp(STRETCH * drawn[:, 2]), np.exp(STRETCH * drawn[:, 3])
    shift_x, shift_y = 2 * SHIFT * drawn[:, 4], 2 * SHIFT * drawn[:, 5]
    rows = [
        [np.cos(turn) / width, -np.sin(turn + shear) / height, shift_x],
        [np.sin(turn) / width, np.cos(turn + shear) / height, shift_y],
    ]
    return np.array(rows).transpose(2, 0, 1)
