"""Photographs that come with scikit-learn, and what happens to pictures on their way."""

from __future__ import annotations

import io

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
