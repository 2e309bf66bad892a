from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from bradd.select import pixel_guard


def photos() -> np.ndarray:
    """Crops of scikit-learn's two photographs, [N, 3, 32, 32]."""
    crops = [
        image[top : top + 320 : 10, left : left + 320 : 10].transpose(2, 0, 1)
        for image in load_sample_images().images
        for top in (0, 100)
        for left in (0, 160, 300)
    ]
    return np.stack(crops)


def test_photographs_pass() -> None:
    assert pixel_guard(photos()).tolist() == [""] * 12


@pytest.mark.parametrize("level", [0, 128, 255])
def test_blank_images_are_named(level: int) -> None:
    blank = np.full((2, 3, 24, 24), level, dtype=np.uint8)
    blank[1, :, 3, 3] ^= 1
    assert pixel_guard(blank).tolist() == ["blank", "blank"]


def test_noise_is_named() -> None:
    rng = np.random.default_rng(0)
    uniform = rng.integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)
    grey = np.repeat(rng.integers(0, 256, (5, 1, 32, 32), dtype=np.uint8), 3, axis=1)
    pepper = np.repeat((rng.random((5, 1, 32, 32)) < 0.5) * np.uint8(255), 3, axis=1)
    assert set(pixel_guard(np.concatenate([uniform, grey, pepper]))) == {"noise"}


def test_correlation_is_pearsons() -> None:
    image = photos()[:1]
    grey = image.astype(float).mean(axis=1)[0]
    pairs = [(grey[:, 1:], grey[:, :-1]), (grey[1:], grey[:-1])]
    oracle = np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs])
    assert pixel_guard(image, minimum_correlation=oracle - 1e-5)[0] == ""
    assert pixel_guard(image, minimum_correlation=oracle + 1e-5)[0] == "noise"
