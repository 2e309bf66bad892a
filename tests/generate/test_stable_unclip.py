"""Stable unCLIP by diffusers' real class with tiny random weights, saved to a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bradd.commands.pretrain import pretrain
from bradd.component import settings_of
from bradd.errors import BraddError
from bradd.generate import StableUnCLIP
from bradd.signature import parse
from various_anchors import largest_difference, no_embeddings, various_anchors

STEPS = 3


def generator(folder: Path, **settings: Any) -> StableUnCLIP:
    return StableUnCLIP(str(folder), **{"steps": STEPS, "batch_size": 2, **settings})


@pytest.fixture(scope="module")
def usual(unclip_folder: Path) -> StableUnCLIP:
    return generator(unclip_folder)


def vary(model: StableUnCLIP, anchors: list[Image.Image], seeds: list[int]) -> list[Image.Image]:
    return model.generate(anchors, no_embeddings(len(anchors)), seeds)


@pytest.mark.parametrize("settings", [{}, {"noise_level": 300}, {"guidance": 1.0}])
def test_a_batch_gives_what_a_plain_call_for_each_picture_gives(
    unclip_folder: Path, settings: dict[str, Any]
) -> None:
    """Nothing is mixed up: anchors, noise on the embedding, and seeds, several of each anchor."""
    from diffusers import StableUnCLIPImg2ImgPipeline

    pipeline = StableUnCLIPImg2ImgPipeline.from_pretrained(unclip_folder)
    pipeline.set_progress_bar_config(disable=True)
    anchors, seeds = [*various_anchors(), *various_anchors()[:2]], [3, 1, 4, 15, 9]
    expected = [
        pipeline(
            image=anchor,
            prompt="",
            num_inference_steps=STEPS,
            guidance_scale=settings.get("guidance", 10.0),
            noise_level=settings.get("noise_level", 0),
            generator=torch.Generator().manual_seed(seed),
        ).images[0]
        for anchor, seed in zip(anchors, seeds, strict=True)
    ]
    made = vary(generator(unclip_folder, **settings), anchors, seeds)
    for ours, theirs in zip(made, expected, strict=True):
        assert largest_difference(ours, theirs) <= 1
    assert largest_difference(expected[0], expected[3]) > 10  # the same anchor, another seed


def test_the_anchor_decides_what_is_made(usual: StableUnCLIP) -> None:
    ramp, noise, red = vary(usual, various_anchors(), [7, 7, 7])
    assert min(largest_difference(ramp, noise), largest_difference(noise, red)) > 3


def test_a_picture_does_not_depend_on_what_is_beside_it(usual: StableUnCLIP) -> None:
    anchors, seeds = [*various_anchors(), *various_anchors()[:2]], [0, 1, 2, 3, 4]
    together = vary(usual, anchors, seeds)
    backwards = vary(usual, anchors[::-1], seeds[::-1])[::-1]
    for row in range(5):
        (alone,) = vary(usual, anchors[row : row + 1], seeds[row : row + 1])
        assert largest_difference(together[row], alone) <= 1
        assert largest_difference(together[row], backwards[row]) <= 1


def test_seeds_and_the_noise_level_change_the_picture(
    unclip_folder: Path, usual: StableUnCLIP
) -> None:
    anchor = various_anchors()[:1]
    first, second, again = vary(usual, anchor * 3, [1, 2, 1])
    assert largest_difference(first, again) <= 1
    assert largest_difference(first, second) > 10
    (noisy,) = vary(generator(unclip_folder, noise_level=800), anchor, [1])
    assert largest_difference(first, noisy) > 3


def test_clip_sees_each_anchor_once_and_as_it_is(unclip_folder: Path) -> None:
    """Tensors would be scaled to [0, 1] twice: nearly black, and all anchors alike."""
    from transformers import CLIPImageProcessor

    model, seen, texts = generator(unclip_folder), [], []
    pipeline = model.opened()
    pipeline.image_encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    pipeline.text_encoder.register_forward_hook(lambda *_: texts.append(1))
    anchors = various_anchors()
    vary(model, [anchor for anchor in anchors for _ in range(2)], list(range(6)))
    vary(model, anchors, [0, 1, 2])
    assert len(seen) == 6
    assert len(texts) == 2  # the empty prompt, with and without guidance, for both calls
    processor = CLIPImageProcessor.from_pretrained(unclip_folder / "feature_extractor")
    for anchor, pixels in zip(anchors, seen, strict=False):
        expected = processor(images=anchor, return_tensors="pt").pixel_values
        torch.testing.assert_close(pixels, expected)
    assert min((seen[0] - seen[1]).abs().mean(), (seen[1] - seen[2]).abs().mean()) > 0.1


def test_pictures_are_stored_at_the_training_resolution(unclip_folder: Path) -> None:
    anchor = various_anchors()[:1]
    (native,) = vary(generator(unclip_folder, stored_size=256), anchor, [0])
    assert (native.size, native.mode) == ((32, 32), "RGB")  # what the pipeline makes, not enlarged
    (stored,) = vary(generator(unclip_folder, stored_size=16), anchor, [0])
    assert stored.size == (16, 16)
    assert largest_difference(stored, native.resize((16, 16), Image.Resampling.BICUBIC)) <= 1


def test_dpm_solver_makes_other_pictures_of_the_same_noise(
    unclip_folder: Path, usual: StableUnCLIP
) -> None:
    fast = generator(unclip_folder, scheduler="dpm++", steps=2)
    assert "DPMSolver" in type(fast.opened().scheduler).__name__
    anchor = various_anchors()[:1]
    assert largest_difference(vary(fast, anchor, [0])[0], vary(usual, anchor, [0])[0]) > 0


def test_numbers_that_overflow_are_said_not_stored(unclip_folder: Path) -> None:
    model = generator(unclip_folder)
    with torch.no_grad():
        model.opened().vae.decoder.conv_out.bias.fill_(torch.nan)
    with pytest.raises(BraddError, match=r"overflows in fp32.*--generator.precision"):
        vary(model, various_anchors()[:1], [0])


def test_half_precision_is_near_full_precision(unclip_folder: Path, usual: StableUnCLIP) -> None:
    half = generator(unclip_folder, precision="bf16")
    assert half.opened().unet.dtype == torch.bfloat16
    anchor = various_anchors()[:1]
    exact, rounded, other = (
        np.asarray(vary(model, anchor, [seed])[0], float)
        for model, seed in ((usual, 0), (half, 0), (usual, 1))
    )
    assert np.abs(exact - rounded).mean() < np.abs(exact - other).mean() / 4


def test_global_randomness_is_left_alone(usual: StableUnCLIP) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    vary(usual, various_anchors(), [0, 1, 2])
    assert torch.equal(torch.rand(3), expected)


def test_the_command_line_builds_it(unclip_folder: Path) -> None:
    found = parse(pretrain, ["--generator", "stable-unclip", f"--generator.model={unclip_folder}"])[
        "generator"
    ]
    assert isinstance(found, StableUnCLIP)
    assert found.model == str(unclip_folder)
    assert settings_of(found)["init_args"]["guidance"] == 10.0


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("steps", 0),
        ("batch_size", 0),
        ("noise_level", -1),
        ("noise_level", 1000),
        ("stored_size", 0),
        ("guidance", -1.0),
        ("precision", "int8"),
        ("scheduler", "euler"),
    ],
)
def test_impossible_settings_are_refused_by_name(setting: str, value: Any) -> None:
    with pytest.raises(BraddError, match=rf"generator.{setting} is {value!r}"):
        StableUnCLIP(**{setting: value})


def test_a_model_of_another_kind_is_refused_before_it_is_loaded(diffusion_folder: Path) -> None:
    with pytest.raises(BraddError, match=r"is a StableDiffusionPipeline.*no .*image_normalizer"):
        generator(diffusion_folder).check()
