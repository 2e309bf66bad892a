"""Small pictures, encoders and ledger rows that many rooms' tests use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

SIZE = 16


def picture(seed: int, size: int = SIZE) -> Image.Image:
    """A smooth random picture: a few waves in each colour."""
    rng = np.random.default_rng(seed)
    grid = np.linspace(0, 1, size)
    waves = [
        128 + 110 * np.sin(2 * np.pi * (a * grid[:, None] + b * grid[None] + c))
        for a, b, c in rng.uniform(0, 1, (3, 3))
    ]
    return Image.fromarray(np.stack(waves, axis=2).astype(np.uint8))


def labelled_photos(root: Path, frequent: str = "frequent", rare: str = "rare") -> Path:
    """Pictures of two classes, sixty to train on and twelve to test on."""
    for number in range(72):
        split = "train" if number < 60 else "test"
        path = root / split / (frequent if number % 2 else rare) / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(path)
    return root


class TinyBackbone(nn.Module):
    """Mean colours of a 4x4 grid, mixed by a fixed random matrix; with batch norm, as encoders."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.norm = nn.BatchNorm2d(3)
        self.mix = nn.Linear(48, 12)
        self.mix.weight.data = torch.randn(12, 48, generator=generator)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = self.mix(self.norm(self.pool(images)).flatten(1))
        return mixed


def row(anchor: int, accepted: bool = True, number: int = 0, attempt: int = 0) -> dict[str, Any]:
    """What a round says of one variation."""
    return {
        "anchor": anchor,
        "anchor_name": f"{anchor}.png",
        "number": number,
        "attempt": attempt,
        "seed": 2**62 + anchor,
        "generator": "Duplicate()",
        "generator_revision": "",
        "licence": "",
        "external_data": False,
        "anchor_score": 0.5,
        "own_distance": 0.1,
        "random_distance": 0.9,
        "nearest_distance": 0.5,
        "pixel_distance": 30.0,
        "map_x": 0.1,
        "map_y": -0.2,
        "accepted": accepted,
        "reason": "" if accepted else "why",
    }
