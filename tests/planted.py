"""A folder of pictures with an outlier, broken images and copies planted in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

PICTURES = 60
SIDE = 48
SUSPECTED = {"black.png": "blank", "noise.png": "noise", "strip.png": "extreme aspect"}
COPIES = {"copy_1.jpg": "03.png", "copy_2.jpg": "03.png", "other.png": "outlier.png"}


def scene(seed: int, darkest: int = 80, brightest: int = 160) -> Image.Image:
    """Soft random blotches."""
    rng = np.random.default_rng(seed)
    blotches = rng.integers(darkest, brightest, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(blotches).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def outlier() -> Image.Image:
    """As the others, but nearly all red."""
    pixels = np.asarray(scene(1000)).copy()
    pixels[..., 0] += 95
    pixels[..., 1:] //= 4
    return Image.fromarray(pixels)


def plant(root: Path) -> Path:
    """Write the pictures, and two files that cannot be read."""
    root.mkdir(parents=True)
    for number in range(PICTURES):
        scene(number).save(root / f"{number:02d}.png")
    outlier().save(root / "outlier.png")
    Image.new("RGB", (SIDE, SIDE)).save(root / "black.png")
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / "noise.png")
    scene(100).resize((12 * SIDE, SIDE)).save(root / "strip.png")
    scene(3).save(root / "copy_1.jpg", quality=90)
    scene(3).resize((2 * SIDE, 2 * SIDE)).save(root / "copy_2.jpg", quality=95)
    outlier().save(root / "other.png")
    (root / "cut.png").write_bytes((root / "05.png").read_bytes()[:300])
    (root / "text.jpg").write_text("no picture")
    return root
