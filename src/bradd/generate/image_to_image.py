"""Variations by any image-to-image pipeline of diffusers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from bradd.data.resize import centre_view
from bradd.errors import BraddError
from bradd.generate.pipelines import Precision, denoiser
from bradd.generate.pretrained import PretrainedGenerator

__all__ = ["Img2Img"]

STRENGTH_STEP = 0.1


class Img2Img(PretrainedGenerator):
    """Image to image: denoising from the noised anchor (SDEdit, Meng et al. 2022).

    Takes any model for which diffusers has an image-to-image pipeline (its
    `AutoPipelineForImage2Image`): Stable Diffusion 1 to 3, SDXL and its Turbo, Flux and others. The
    anchor's centre view goes in at the size at which the model was trained.

    Where pictures were refused, the strength changes by 0.1 a step.

    Args:
        model: A repository of the Hugging Face hub, or a folder.
        model_revision: A commit, tag or branch of the repository. Default: its newest commit.
        strength: How much of the anchor is noise at the start: 1 forgets its pixels, near 0 copies
            them.
        steps: Denoising steps from full noise; `strength` of them are taken.
        guidance: Weight of the prompt, at twice the cost above 1; an empty prompt needs none.
        prompt: Said of every picture.
        stored_size: Shorter side of the pictures in pixels; larger ones are reduced to it.
        batch_size: Pictures made at once.
        precision: bf16, fp16 or fp32. Default: bf16 on a GPU (fp16 where it has none), else fp32.

    Raises:
        BraddError: A setting is impossible.
    """

    def __init__(
        self,
        model: str = "stable-diffusion-v1-5/stable-diffusion-v1-5",
        model_revision: str | None = None,
        strength: float = 0.6,
        steps: int = 30,
        guidance: float = 1.0,
        prompt: str = "",
        stored_size: int = 256,
        batch_size: int = 8,
        precision: Precision | None = None,
    ) -> None:
        super().__init__(
            model=model,
            model_revision=model_revision,
            steps=steps,
            guidance=guidance,
            stored_size=stored_size,
            batch_size=batch_size,
            precision=precision,
        )
        if not 0 < strength <= 1:
            raise BraddError(f"generator.strength is {strength}: it must be above 0, at most 1.")
        if int(strength * steps) < 1:
            raise BraddError(
                f"generator.strength {strength} of generator.steps {steps} is less than one step: "
                f"give at least {math.ceil(1 / strength)} steps."
            )
        self.strength = strength
        self.prompt = prompt

    def load(self, folder: Path) -> Any:
        """See `PretrainedGenerator.load`."""
        from diffusers import AutoPipelineForImage2Image

        return AutoPipelineForImage2Image.from_pretrained(folder, use_safetensors=True)

    def amount(self, steps_closer: int) -> float:
        """The strength; at least one denoising step is taken."""
        strength = round(self.strength - STRENGTH_STEP * steps_closer, 4)
        return min(max(strength, min(self.strength, 1.01 / self.steps)), 1.0)

    def condition(self, pipeline: Any, anchor: Image.Image) -> Image.Image:
        """The anchor's centre view at the pipeline's size."""
        return Image.fromarray(centre_view(anchor, _side(pipeline)).transpose(1, 2, 0))

    def make(
        self,
        pipeline: Any,
        conditions: list[Image.Image],
        random: list[torch.Generator],
        amount: float,
    ) -> Tensor:
        """See `PretrainedGenerator.make`; `amount` is the strength."""
        pictures: Tensor = pipeline(
            prompt=[self.prompt] * len(random),
            image=conditions,
            strength=amount,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            generator=random,
            output_type="pt",
        ).images
        return pictures


def _side(pipeline: Any) -> int:
    """Side of the square at which the model was trained, in pixels."""
    latent = getattr(denoiser(pipeline).config, "sample_size", None)
    return int((latent or pipeline.default_sample_size) * pipeline.vae_scale_factor)
