"""Photographs that come with scikit-learn, and what happens to pictures on their way."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images


def photos(side: int = 64) -> np.ndarray:
    """Overlapping crops of scikit-learn's two photographs, [24, 3, side, side]."""
    crops = [
        Image.fromarray(image[top : top + 240, left : left + 240]).resize((side, side))
        for image in load_sample_images().images
        for top in (0, 90, 180)
        for left in (0, 130, 260, 400)
    ]
    return np.stack([np.asarray(crop).transpose(2, 0, 1) for crop in crops])


def as_jpeg(images: np.ndarray, quality: int) -> np.ndarray:
    decoded = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
        decoded.append(np.asarray(Image.open(file)).transpose(2, 0, 1))
    return np.stack(decoded)


def fixed_scene(scene: np.ndarray, frames: int, rare: Iterable[int], seed: int = 0) -> np.ndarray:
    """Frames of a fixed camera with sensor noise, some with a red object of an eighth of the side.

    It is as bright as what it covers, so a perceptual hash of grey levels is blind to it.

    Args:
        scene: [3, S, S].
        frames: How many.
        rare: Which of them show the object, each somewhere else.
        seed: Of the noise and the places.
    """
    rng = np.random.default_rng(seed)
    side = scene.shape[1]
    found = np.repeat(scene[None], frames, axis=0).astype(float)
    for frame in rare:
        top, left = rng.integers(0, side - side // 8, 2)
        covered = found[frame, :, top : top + side // 8, left : left + side // 8]
        covered[...] = covered.mean(axis=0) + np.array([140, -70, -70])[:, None, None]
    noisy = np.rint(found + rng.normal(0, 2, found.shape))
    return np.clip(noisy, 0, 255).astype(np.uint8)
