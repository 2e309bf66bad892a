"""Fixtures that many rooms' tests use."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bradd.embedding import Encoder
from samples import SIZE, TinyBackbone, picture


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tiny tensors gain nothing from threads, and lose much where cores are shared."""
    torch.set_num_threads(1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of 40 PNG pictures in two subfolders."""
    root = tmp_path / "photos"
    for number in range(40):
        path = root / ("a" if number % 3 else "b") / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(path)
    return root


@pytest.fixture
def encoder() -> Encoder:
    return Encoder(TinyBackbone(), SIZE)
