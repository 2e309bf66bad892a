"""IP-Adapter by diffusers' real classes with tiny random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from bradd.errors import BraddError
from bradd.generate import IPAdapter
from various_anchors import largest_difference, no_embeddings, various_anchors

STEPS = 3


def generator(model: Path, adapter: Path, **settings: Any) -> IPAdapter:
    usual = {"adapter_file": "adapter.safetensors", "steps": STEPS, "batch_size": 2}
    return IPAdapter(str(model), adapter=str(adapter), **{**usual, **settings})


@pytest.mark.parametrize("guidance", [5.0, 1.0])
def test_a_batch_gives_what_a_plain_call_for_each_picture_gives(
    diffusion_folder: Path, adapter_folder: Path, guidance: float
) -> None:
    """Given the embeddings of several anchors, diffusers mixes them: `IPAdapter` must not."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(diffusion_folder, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_ip_adapter(
        str(adapter_folder), subfolder="models", weight_name="adapter.safetensors"
    )

    def plain(anchor: Image.Image, seed: int, scale: float) -> Image.Image:
        pipeline.set_ip_adapter_scale(scale)
        picture: Image.Image = pipeline(
            prompt="a b",
            ip_adapter_image=anchor,
            num_inference_steps=STEPS,
            guidance_scale=guidance,
            generator=torch.Generator().manual_seed(seed),
        ).images[0]
        return picture

    anchors, seeds, steps = various_anchors() * 2, [5, 5, 5, 8, 9, 10], [0, 0, 0, 0, 2, -2]
    model = generator(diffusion_folder, adapter_folder, guidance=guidance, prompt="a b")
    made = model.generate_closer(anchors, no_embeddings(6), seeds, steps)
    for anchor, seed, step, ours in zip(anchors, seeds, steps, made, strict=True):
        assert largest_difference(ours, plain(anchor, seed, 0.8 + 0.1 * step)) <= 1
    assert largest_difference(made[0], made[1]) > 3  # the anchor decides


def test_its_revision_tells_model_and_adapter(diffusion_folder: Path, adapter_folder: Path) -> None:
    model, _, adapter = generator(diffusion_folder, adapter_folder).revision().partition(" with ")
    assert len(model) == len(adapter) == 32
    assert model != adapter


def test_a_missing_adapter_is_said_before_the_model_is_loaded(
    diffusion_folder: Path, adapter_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(BraddError, match=r"generator.adapter: .* holds no .*adapter.safetensors"):
        generator(diffusion_folder, tmp_path).check()
    with pytest.raises(BraddError, match=r"must be a safetensors file"):
        generator(diffusion_folder, adapter_folder, adapter_file="adapter.bin")
    with pytest.raises(BraddError, match=r"generator.scale is 0"):
        generator(diffusion_folder, adapter_folder, scale=0)
