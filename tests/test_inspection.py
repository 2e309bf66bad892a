from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bradd import inspection
from bradd.data import folder_images
from bradd.errors import BraddError
from bradd.inspection import inspect_images, inspect_pool
from bradd.pool import Pool
from bradd.select.perceptual_hash import differing_bits
from planted import COPIES, SUSPECTED, plant


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = plant(tmp_path / "photos")
    for name in ("cut.png", "text.jpg"):
        (root / name).unlink()
    return root


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_images_are_found_and_copies_hash_alike(photos: Path, workers: int) -> None:
    images = folder_images(photos)
    names = [images.name(index) for index in range(len(images))]
    seen = inspect_images(images, workers)
    suspected = {name: reason for name, reason in zip(names, seen.reasons, strict=True) if reason}
    assert suspected == SUSPECTED
    hashes = dict(zip(names, seen.hashes[:, None], strict=True))
    for copy, original in COPIES.items():
        assert differing_bits(hashes[copy], hashes[original]) <= 4


def test_noise_is_found_however_small_its_image_is(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    (tmp_path / "tiny").mkdir()
    Image.fromarray(noise).save(tmp_path / "tiny/noise.png")
    assert inspect_images(folder_images(tmp_path / "tiny")).reasons.tolist() == ["noise"]


def test_looking_draws_nothing_from_torchs_generator(photos: Path) -> None:
    before = torch.get_rng_state()
    inspect_images(folder_images(photos))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_pool_is_looked_at_once(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = inspect_pool(Pool(photos, tmp_path / "run"))
    monkeypatch.setattr(inspection, "inspect_images", None)
    again = inspect_pool(Pool(photos, tmp_path / "run"))
    assert again.reasons.tolist() == first.reasons.tolist()
    assert again.hashes.tolist() == first.hashes.tolist()
    assert again.hashes.dtype == np.uint64


def test_a_damaged_file_is_named(photos: Path, tmp_path: Path) -> None:
    pool = Pool(photos, tmp_path / "run")
    (tmp_path / "run/inspection.parquet").write_bytes(b"nothing")
    with pytest.raises(BraddError, match=r"inspection.parquet cannot be read .* remove it"):
        inspect_pool(pool)
