"""Tiny pipelines of diffusers' real classes, saved as the hub's models are."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def unclip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    from random_pipelines import TINY, unclip

    folder = tmp_path_factory.mktemp("models") / "unclip"
    unclip(TINY).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def diffusion_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    from random_pipelines import TINY, stable_diffusion

    folder = tmp_path_factory.mktemp("models") / "diffusion"
    stable_diffusion(TINY).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def adapter_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    from random_pipelines import TINY, save_ip_adapter, stable_diffusion

    folder = tmp_path_factory.mktemp("models") / "adapter"
    save_ip_adapter(folder, TINY, stable_diffusion(TINY).unet)
    return folder
