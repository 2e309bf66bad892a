from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from bradd import inspection
from bradd.data import Images, folder_images
from bradd.data.resize import centre_view
from bradd.errors import BraddError
from bradd.inspection import Inspection, inspect_images, inspect_pool
from bradd.pool import Pool
from bradd.select.perceptual_hash import differing_bits, perceptual_hash
from bradd.select.thumbnail import SAME, largest_difference, thumbnails
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
    small = dict(zip(names, seen.thumbnails[:, None], strict=True))
    for copy, original in COPIES.items():
        assert largest_difference(small[copy][0], small[original]) <= SAME


def test_images_of_several_sizes_keep_what_belongs_to_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number, side in enumerate([40, 64, 40, 12, 64]):
        pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    images = folder_images(tmp_path)
    seen = inspect_images(images)
    for index in range(5):
        pixels = np.asarray(images.load(index)).transpose(2, 0, 1)[None]
        np.testing.assert_array_equal(seen.thumbnails[index], thumbnails(pixels)[0])
        assert seen.hashes[index] == perceptual_hash(pixels)[0]


def test_images_stand_for_their_copies_unless_suspected_or_not_groupable() -> None:
    seen = Inspection(
        np.array(["", "", "blank", "", ""]),
        np.array([0, 0, 0, 0, 2**64 - 1], dtype=np.uint64),
        np.zeros((5, 3, 9, 9), dtype=np.uint8),
    )
    embeddings = np.array([[1.0, 0]] * 4 + [[0, 1]])
    assert seen.stands_for(embeddings).tolist() == [0, 0, 2, 0, 4]
    groupable = np.array([True, True, True, False, True])
    assert seen.stands_for(embeddings, groupable).tolist() == [0, 0, 2, 3, 4]


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
    np.testing.assert_array_equal(again.thumbnails, first.thumbnails)
    assert again.thumbnails.dtype == np.uint8


def test_a_damaged_file_is_named(photos: Path, tmp_path: Path) -> None:
    pool = Pool(photos, tmp_path / "run")
    (tmp_path / "run/inspection.parquet").write_bytes(b"nothing")
    with pytest.raises(BraddError, match=r"inspection.parquet cannot be read .* remove it"):
        inspect_pool(pool)
    pq.write_table(pa.table({"reason": [""], "hash": [0]}), tmp_path / "run/inspection.parquet")
    with pytest.raises(BraddError, match=r"inspection.parquet has no column thumbnail: remove it"):
        inspect_pool(pool)


def suspected_images(images: Images) -> dict[str, int]:
    names = [images.name(index) for index in range(len(images))]
    return {name: names.index(name) for name in SUSPECTED}


def pictures(run: Path) -> set[str]:
    return {path.name for path in run.glob("suspected/*")}


def files_of(indices: Iterable[int]) -> set[str]:
    return {f"{index:08d}.png" for index in indices}


def test_what_was_looked_at_of_suspected_images_is_kept(photos: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photos / "large.png")
    pool = Pool(photos, tmp_path / "run")
    suspected = suspected_images(pool.images) | {"large.png": _index(pool, "large.png")}
    inspect_pool(pool)
    assert pictures(tmp_path / "run") == files_of(suspected.values())
    for name, index in suspected.items():
        kept = np.asarray(Image.open(tmp_path / f"run/suspected/{index:08d}.png"))
        side = min(64, *Image.open(photos / name).size)
        assert kept.shape == (side, side, 3)
        expected = centre_view(Image.open(photos / name).convert("RGB"), side)
        assert np.array_equal(kept, expected.transpose(1, 2, 0))


def test_the_first_suspected_images_of_each_reason_have_pictures(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "PICTURES", 2)
    for number in range(4):
        Image.new("RGB", (48, 48), "white").save(photos / f"white {number}.png")
    pool = Pool(photos, tmp_path / "run")
    inspect_pool(pool)
    first = [_index(pool, name) for name in ("black.png", "noise.png", "strip.png", "white 0.png")]
    assert pictures(tmp_path / "run") == files_of(first)


def test_without_suspects_there_are_no_pictures(photos: Path, tmp_path: Path) -> None:
    for name in SUSPECTED:
        (photos / name).unlink()
    inspect_pool(Pool(photos, tmp_path / "run"))
    assert not (tmp_path / "run/suspected").exists()


@pytest.mark.parametrize("written", [0, 1, 2, 3])
def test_a_run_killed_while_it_kept_pictures_has_them_all_when_it_resumes(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """Killed before the picture, or before the table, that follows `written` pictures."""
    replace = os.replace
    done: list[Path] = []

    def kill(source: Path, target: Path) -> None:
        if len(done) == written:
            raise KeyboardInterrupt
        done.append(target)
        replace(source, target)

    pool = Pool(photos, tmp_path / "run")
    with monkeypatch.context() as patched:
        patched.setattr("os.replace", kill)
        with pytest.raises(KeyboardInterrupt):
            inspect_pool(pool)
    assert not (tmp_path / "run/inspection.parquet").exists()
    assert len(pictures(tmp_path / "run")) == written
    inspect_pool(Pool(photos, tmp_path / "run"))
    assert (tmp_path / "run/inspection.parquet").exists()
    assert pictures(tmp_path / "run") == files_of(suspected_images(pool.images).values())


def test_a_full_disk_is_said_to_be(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(photos, tmp_path / "run")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(BraddError, match=r"disk is full: .*suspected/\d{8}\.png"):
        inspect_pool(pool)


def test_a_folder_that_cannot_be_made_is_named(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(photos, tmp_path / "run")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(BraddError, match="suspected cannot be written"):
        inspect_pool(pool)


def _index(pool: Pool, name: str) -> int:
    return [pool.name(index) for index in range(len(pool))].index(name)
