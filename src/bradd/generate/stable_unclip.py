"""Variations by Stable unCLIP, the paper's generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from bradd.errors import BraddError
from bradd.generate.pipelines import Precision, Scheduler
from bradd.generate.pretrained import PretrainedGenerator

__all__ = ["StableUnCLIP"]

DEFAULT_MODEL = "sd2-community/stable-diffusion-2-1-unclip"


class StableUnCLIP(PretrainedGenerator):
    """Stable Diffusion 2.1 told a CLIP embedding of the anchor (unCLIP, Ramesh et al. 2022).

    The anchor goes through CLIP's own processor as 8-bit RGB at its full resolution. The picture
    starts from noise, so only what CLIP says of the anchor is kept; the prompt is empty.

    Args:
        model: A repository of the Hugging Face hub, or a folder. The default is a copy of Stability
            AI's, which is no longer on the hub; `sd2-community/stable-diffusion-2-1-unclip-small`
            is its smaller sister.
        model_revision: A commit, tag or branch of the repository. Default: its newest commit, and
            in later rounds of a run that of the first. It stands in the ledger; name it here to
            use it in other runs.
        steps: Denoising steps.
        guidance: Weight of classifier-free guidance; 1 or less is none, at half the cost.
        noise_level: Noise on the embedding, as a step of its schedule from 0 to 999. The signal
            that remains (alpha bar) is 0.97 at 100, 0.90 at 200, 0.49 at 500: more noise, more
            variety, less of the anchor.
        stored_size: Shorter side of the pictures in pixels; larger ones are reduced to it.
        batch_size: Pictures made at once.
        precision: bf16, fp16 or fp32. Default: bf16 on a GPU (fp16 where it has none), else fp32.
        scheduler: dpm++: DPM-Solver++ (Lu et al. 2022), which needs fewer steps. Default: the
            model's own.
        compile: Compile the U-Net and the decoder by torch.compile: slower to start, then faster.
        channels_last: Keep convolutions in the memory format that is fastest on GPUs. Default: on a
            GPU.

    Raises:
        BraddError: A setting is impossible.
    """

    parts = (
        "feature_extractor",
        "image_encoder",
        "image_normalizer",
        "image_noising_scheduler",
        "tokenizer",
        "text_encoder",
        "unet",
        "scheduler",
        "vae",
    )

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        model_revision: str | None = None,
        steps: int = 20,
        guidance: float = 10.0,
        noise_level: int = 0,
        stored_size: int = 256,
        batch_size: int = 8,
        precision: Precision | None = None,
        scheduler: Scheduler | None = None,
        compile: bool = False,
        channels_last: bool | None = None,
    ) -> None:
        super().__init__(
            model=model,
            model_revision=model_revision,
            steps=steps,
            guidance=guidance,
            stored_size=stored_size,
            batch_size=batch_size,
            precision=precision,
            scheduler=scheduler,
            compile=compile,
            channels_last=channels_last,
        )
        if not 0 <= noise_level < 1000:
            raise BraddError(f"generator.noise_level is {noise_level}: it must be from 0 to 999.")
        self.noise_level = noise_level
        self._prompt: dict[str, Tensor] = {}
        if model == DEFAULT_MODEL:
            self.licence = "CreativeML Open RAIL++-M"

    def load(self, folder: Path) -> Any:
        """See `PretrainedGenerator.load`."""
        from diffusers import StableUnCLIPImg2ImgPipeline

        self._prompt = {}
        return StableUnCLIPImg2ImgPipeline.from_pretrained(folder, use_safetensors=True)

    def condition(self, pipeline: Any, anchor: Image.Image) -> Tensor:
        """CLIP's embedding of the anchor, `[1, D]`."""
        encoder = pipeline.image_encoder
        pixels = pipeline.feature_extractor(images=anchor, return_tensors="pt").pixel_values
        embedding: Tensor = encoder(pixels.to(encoder.device, encoder.dtype)).image_embeds
        return embedding

    def make(
        self,
        pipeline: Any,
        conditions: list[Tensor],
        random: list[torch.Generator],
        amount: float,
    ) -> Tensor:
        """See `PretrainedGenerator.make`.

        Each picture is a row of its own: the pipeline's `num_images_per_prompt` would pair anchors
        with the noise of others.
        """
        pictures: Tensor = pipeline(
            image_embeds=torch.cat(conditions),
            **{name: part.expand(len(random), -1, -1) for name, part in self._text(pipeline)},
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            noise_level=self.noise_level,
            generator=random,
            output_type="pt",
        ).images
        return pictures

    def _text(self, pipeline: Any) -> list[tuple[str, Tensor]]:
        """What the text encoder says of the empty prompt, `[1, tokens, D]` each; computed once."""
        if not self._prompt:
            positive, negative = pipeline.encode_prompt(
                "", pipeline.device, 1, do_classifier_free_guidance=self.guidance > 1
            )
            self._prompt = {"prompt_embeds": positive}
            if negative is not None:
                self._prompt["negative_prompt_embeds"] = negative
        return list(self._prompt.items())
