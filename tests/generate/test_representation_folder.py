"""What a fit keeps: going on after a kill, starting from the round before, and neither."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bradd.errors import BraddError
from bradd.generate import RepresentationDiffusion, autoencoder
from bradd.generate import representation_training as training

SETTINGS = {"steps": 12, "warm_steps": 7, "batch_size": 4, "channels": (8, 8)}


class Killed(Exception):
    pass


class Pictures(Dataset[tuple[Tensor, int]]):
    """Noise, [N, 3, S, S], that fails at the given access."""

    def __init__(self, size: int = 8, n: int = 10, fail_at: int | None = None) -> None:
        generator = np.random.default_rng(0)
        self.pixels = generator.integers(0, 256, (n, 3, size, size), dtype=np.uint8)
        self.embeddings = generator.normal(size=(n, 4)).astype(np.float32)
        self.fail_at = fail_at
        self.accesses = 0

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        self.accesses += 1
        if self.fail_at is not None and self.accesses > self.fail_at:
            raise Killed
        return torch.from_numpy(self.pixels[index]), index


@pytest.fixture(autouse=True)
def checkpoint_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(autoencoder, "BATCH_SIZE", 2)


def fit(
    folder: Path | None,
    pictures: Pictures,
    seed: int = 0,
    embeddings: np.ndarray | None = None,
    **settings: object,
) -> RepresentationDiffusion:
    generator = RepresentationDiffusion(**{**SETTINGS, **settings})  # type: ignore[arg-type]
    generator.fit(pictures, pictures.embeddings if embeddings is None else embeddings, seed, folder)
    return generator


def killed_in_the_middle(folder: Path, **settings: object) -> None:
    """Before the first step the size and a fingerprint are read; then 4 images a step."""
    whole = Pictures()
    fit(None, whole, **settings)
    with pytest.raises(Killed):
        fit(folder, Pictures(fail_at=whole.accesses - 6 * 4), **settings)


def test_a_killed_fit_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    expected = fit(None, Pictures()).revision()
    killed_in_the_middle(tmp_path)
    assert (tmp_path / "network_training.safetensors").exists()
    again = Pictures()
    assert fit(tmp_path, again).revision() == expected
    whole = Pictures()
    fit(None, whole)
    assert again.accesses <= whole.accesses - 5 * 4  # it did not begin at the beginning


def test_a_checkpoint_of_another_fit_is_not_gone_on_from(tmp_path: Path) -> None:
    killed_in_the_middle(tmp_path)
    pictures = Pictures()
    other = pictures.embeddings[::-1].copy()
    expected = fit(None, pictures, embeddings=other).revision()
    assert fit(tmp_path, pictures, embeddings=other).revision() == expected


def test_a_finished_fit_is_found_again_without_training(tmp_path: Path) -> None:
    first = fit(tmp_path, Pictures()).revision()
    pictures = Pictures()
    assert fit(tmp_path, pictures).revision() == first
    assert pictures.accesses <= 11  # the size and the fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.safetensors"]


def test_the_next_round_starts_warm_and_takes_fewer_steps(tmp_path: Path) -> None:
    fit(tmp_path, Pictures())
    pictures = Pictures()
    moved = pictures.embeddings + np.float32(0.1)
    warm = fit(tmp_path, pictures, seed=1, embeddings=moved)
    assert pictures.accesses <= 11 + 7 * 4
    assert warm.revision() != fit(None, Pictures(), seed=1, embeddings=moved).revision()


def test_a_killed_warm_start_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    moved = Pictures().embeddings + np.float32(0.1)
    folders = tmp_path / "killed", tmp_path / "whole"
    for folder in folders:
        folder.mkdir()
        fit(folder, Pictures())
    expected = fit(folders[1], Pictures(), seed=1, embeddings=moved).revision()
    with pytest.raises(Killed):
        fit(folders[0], Pictures(fail_at=11 + 3 * 4), seed=1, embeddings=moved)
    assert fit(folders[0], Pictures(), seed=1, embeddings=moved).revision() == expected


def test_other_settings_start_anew_and_say_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fit(tmp_path, Pictures())
    expected = fit(None, Pictures(), learning_rate=1e-3).revision()
    with caplog.at_level(logging.WARNING):
        assert fit(tmp_path, Pictures(), learning_rate=1e-3).revision() == expected
    assert "other settings" in caplog.text


def test_settings_of_the_sampling_do_not_matter(tmp_path: Path) -> None:
    first = fit(tmp_path, Pictures()).revision()
    assert fit(tmp_path, Pictures(), strength=0.4, guidance=1.0).revision() == first


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    fit(tmp_path, Pictures())
    (tmp_path / "network.safetensors").write_bytes(b"nonsense")
    with pytest.raises(BraddError, match=r"network\.safetensors is damaged"):
        fit(tmp_path, Pictures())


def test_a_killed_fit_of_latents_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    settings = {"autoencoder_steps": 4, "steps": 3}

    def pictures(fail_at: int | None = None) -> Pictures:
        return Pictures(size=68, n=6, fail_at=fail_at)

    whole = pictures()
    expected = fit(None, whole, **settings).revision()
    with pytest.raises(Killed):  # while the autoencoder is trained
        fit(tmp_path, pictures(7 + 2 * 2), **settings)
    assert (tmp_path / "autoencoder_training.safetensors").exists()
    with pytest.raises(Killed):  # at the network's last step
        fit(tmp_path, pictures(whole.accesses - 2 * 2 - 4), **settings)
    assert (tmp_path / "autoencoder.safetensors").exists()
    assert fit(tmp_path, pictures(), **settings).revision() == expected
    assert {path.name for path in tmp_path.iterdir()} == {
        "autoencoder.safetensors",
        "network.safetensors",
    }


def test_the_next_round_keeps_the_autoencoder(tmp_path: Path) -> None:
    settings = {"autoencoder_steps": 4, "steps": 2, "warm_steps": 2}
    fit(tmp_path, Pictures(size=68, n=6), **settings)
    before = (tmp_path / "autoencoder.safetensors").read_bytes()
    fit(tmp_path, Pictures(size=68, n=6), seed=1, **settings)
    assert (tmp_path / "autoencoder.safetensors").read_bytes() == before
