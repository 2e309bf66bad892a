"""Which pre-trained model was used, its licence, and what is said when it cannot be had."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bradd.errors import BraddError
from bradd.generate import StableUnCLIP

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def refused(model: StableUnCLIP) -> str:
    with pytest.raises(BraddError) as caught:
        model.opened()
    return str(caught.value)


def test_a_folder_is_told_by_its_weights_and_configs(unclip_folder: Path, tmp_path: Path) -> None:
    revision = StableUnCLIP(str(unclip_folder)).revision()
    folder = copied(unclip_folder, tmp_path / "copy")
    (folder / "notes.md").write_text("not part of the model")
    assert StableUnCLIP(str(folder)).revision() == revision
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    assert StableUnCLIP(str(folder)).revision() != revision


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: openrail++\ntags: [a]\n---\n# Model\n", "openrail++"),
        ("---\nlicense: other\nlicense_name: stability-ai\n---\n", "stability-ai"),
        ("---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0"),
        ("# No head\n---\nlicense: mit\n---\n", "not stated"),
        ("---\nlicense: [mit\n---\n", "not stated"),
        ("---\ntags: [a]\n---\n", "not stated"),
        ("", "not stated"),
        (None, "not stated"),
    ],
)
def test_the_licence_is_the_model_cards(
    unclip_folder: Path, tmp_path: Path, card: str | None, licence: str
) -> None:
    folder = copied(unclip_folder, tmp_path / "model")
    if card is not None:
        (folder / "README.md").write_text(card)
    model = StableUnCLIP(str(folder))
    model.check()
    assert model.licence == licence
    assert model.external_data


def test_a_model_of_the_hub_is_told_by_its_commit(
    unclip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    from diffusers import DiffusionPipeline

    snapshot = copied(unclip_folder, tmp_path / "snapshots" / COMMIT)
    asked: list[Any] = []

    def download(name: str, **settings: Any) -> str:
        asked.append((name, settings))
        return str(snapshot)

    def card(name: str, file: str, revision: str) -> str:
        asked.append((name, file, revision))
        raise OSError("no card")

    monkeypatch.setattr(DiffusionPipeline, "download", download)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", card)
    model = StableUnCLIP(model_revision="v1")
    assert model.revision() == COMMIT
    assert model.licence == "CreativeML Open RAIL++-M"  # stated for the default model
    name = "sd2-community/stable-diffusion-2-1-unclip"
    assert asked == [
        (name, {"revision": "v1", "use_safetensors": True}),
        (name, "README.md", COMMIT),
    ]


def test_a_model_that_cannot_be_had_is_said_with_what_to_do(
    unclip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import DiffusionPipeline

    def unreachable(*_: Any, **__: Any) -> str:
        raise OSError("Cannot reach huggingface.co.\nMore lines")

    monkeypatch.setattr(DiffusionPipeline, "download", unreachable)
    message = refused(StableUnCLIP())
    assert "generator.model: the model 'sd2-community/" in message
    assert "Cannot reach huggingface.co. Check its name" in message
    assert "there is no folder ./nowhere" in refused(StableUnCLIP("./nowhere"))
    assert "has no revisions" in refused(StableUnCLIP(str(unclip_folder), model_revision="v1"))


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "pip install 'bradd[hf]'" in refused(StableUnCLIP())


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    assert "is not a model of diffusers" in refused(StableUnCLIP(str(tmp_path)))


@pytest.mark.parametrize("part", ["unet", "image_encoder", "vae"])
def test_pickled_weights_are_not_read(unclip_folder: Path, tmp_path: Path, part: str) -> None:
    folder = copied(unclip_folder, tmp_path / "model")
    (weights,) = (folder / part).glob("*.safetensors")
    pickled = {
        "unet": "diffusion_pytorch_model.bin",
        "vae": "diffusion_pytorch_model.bin",
        "image_encoder": "pytorch_model.bin",
    }[part]
    torch.save({}, folder / part / pickled)
    weights.unlink()
    assert "could not be loaded" in refused(StableUnCLIP(str(folder)))


def test_damaged_weights_are_said(unclip_folder: Path, tmp_path: Path) -> None:
    folder = copied(unclip_folder, tmp_path / "model")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "could not be loaded" in refused(StableUnCLIP(str(folder)))


def test_a_pinned_model_is_fetched_at_the_commit_that_was_used(
    unclip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub has another one by now."""
    newest, used = "f" * 40, COMMIT
    for commit in (newest, used):
        copied(unclip_folder, tmp_path / "snapshots" / commit)
    asked: list[str | None] = []

    def download(name: str, revision: str | None, **_: Any) -> Path:
        asked.append(revision)
        return tmp_path / "snapshots" / (revision or newest)

    import diffusers

    monkeypatch.setattr(diffusers.DiffusionPipeline, "download", download)
    model = StableUnCLIP("somebody/model")
    assert model.revision() == newest
    model.pin(used)
    assert model.revision() == used
    model.pin(used)
    assert asked == [None, used]
