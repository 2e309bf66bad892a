"""Image to image by diffusers' real class with tiny random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bradd.data.resize import centre_view
from bradd.errors import BraddError
from bradd.generate import Img2Img
from various_anchors import largest_difference, no_embeddings, various_anchors

STEPS = 10


def generator(folder: Path, **settings: Any) -> Img2Img:
    return Img2Img(str(folder), **{"steps": STEPS, "batch_size": 2, **settings})


def plain(pipeline: Any, anchor: Image.Image, seed: int, strength: float) -> Image.Image:
    view = Image.fromarray(centre_view(anchor, 32).transpose(1, 2, 0))
    picture: Image.Image = pipeline(
        prompt="",
        image=view,
        strength=strength,
        num_inference_steps=STEPS,
        guidance_scale=1.0,
        generator=torch.Generator().manual_seed(seed),
    ).images[0]
    return picture


@pytest.fixture(scope="module")
def pipeline(diffusion_folder: Path) -> Any:
    from diffusers import StableDiffusionImg2ImgPipeline

    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(diffusion_folder, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_a_batch_gives_what_a_plain_call_for_each_picture_gives(
    diffusion_folder: Path, pipeline: Any
) -> None:
    anchors, seeds = various_anchors() * 2, [5, 6, 7, 8, 9, 10]
    made = generator(diffusion_folder).generate(anchors, no_embeddings(6), seeds)
    for anchor, seed, ours in zip(anchors, seeds, made, strict=True):
        assert largest_difference(ours, plain(pipeline, anchor, seed, 0.6)) <= 1


def test_refused_pictures_come_nearer_by_a_lower_strength_each_by_its_own(
    diffusion_folder: Path, pipeline: Any
) -> None:
    anchors, seeds = various_anchors() * 2, [5, 6, 7, 8, 9, 10]
    steps = [0, 2, -3, 0, 1, -9]
    strengths = [0.6, 0.4, 0.9, 0.6, 0.5, 1.0]
    model = generator(diffusion_folder)
    made = model.generate_closer(anchors, no_embeddings(6), seeds, steps)
    rows = zip(anchors, seeds, strengths, made, strict=True)
    for anchor, seed, strength, ours in rows:
        assert largest_difference(ours, plain(pipeline, anchor, seed, strength)) <= 1


def test_the_strength_never_falls_below_one_step(diffusion_folder: Path) -> None:
    model = generator(diffusion_folder, strength=0.2)
    (nearest,) = model.generate_closer(various_anchors()[:1], no_embeddings(1), [0], [50])
    assert np.asarray(nearest).shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": 0.0}, "generator.strength is 0.0"),
        ({"strength": 1.1}, "generator.strength is 1.1"),
        ({"strength": 0.3, "steps": 3}, "give at least 4 steps"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BraddError, match=message):
        Img2Img(**settings)
