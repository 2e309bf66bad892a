"""Variations by a text-to-image pipeline of diffusers with an IP-Adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from bradd.errors import BraddError
from bradd.generate.model_files import ModelFiles, is_folder, model_files, require_packages
from bradd.generate.pipelines import Precision
from bradd.generate.pretrained import PretrainedGenerator

__all__ = ["IPAdapter"]

# Between model and adapter, of their revisions and licences.
WITH, AND = " with ", "; adapter: "

SCALE_STEP = 0.1


class IPAdapter(PretrainedGenerator):
    """The anchor as the prompt of a text-to-image model (IP-Adapter, Ye et al. 2023).

    Takes Stable Diffusion 1 and SDXL with the adapters of `h94/IP-Adapter`, or others of that
    form. Where pictures were refused, the scale changes by 0.1 a step.

    Args:
        model: A repository of the Hugging Face hub, or a folder.
        model_revision: A commit, tag or branch of the repository. Default: its newest commit.
        adapter: The adapter's repository or folder.
        adapter_revision: A commit, tag or branch of the adapter's repository. Default: its newest
            commit.
        adapter_folder: The folder in it that holds the adapter's file and its `image_encoder`.
        adapter_file: The adapter's weights there, a safetensors file.
        scale: Weight of the anchor beside the text.
        steps: Denoising steps.
        guidance: Weight of anchor and prompt together; 1 or less is none, at half the cost.
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
        adapter: str = "h94/IP-Adapter",
        adapter_revision: str | None = None,
        adapter_folder: str = "models",
        adapter_file: str = "ip-adapter_sd15.safetensors",
        scale: float = 0.8,
        steps: int = 30,
        guidance: float = 5.0,
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
        if not scale > 0:
            raise BraddError(f"generator.scale is {scale}: it must be above 0.")
        if not adapter_file.endswith(".safetensors"):
            raise BraddError(
                f"generator.adapter_file is {adapter_file!r}: it must be a safetensors file."
            )
        self.adapter = adapter
        self.adapter_revision = adapter_revision
        self.adapter_folder = adapter_folder
        self.adapter_file = adapter_file
        self.scale = scale
        self.prompt = prompt
        self._adapter_files: ModelFiles | None = None
        self._pinned_adapter: str | None = None
        self._embed: Any = None
        self._embeddings: Any = None

    def check(self) -> None:
        """See `PretrainedGenerator.check`."""
        super().check()
        self.adapter_files()

    def pin(self, revision: str) -> None:
        """See `PretrainedGenerator.pin`."""
        model, _, adapter = revision.partition(WITH)
        super().pin(model)
        if self.adapter_files().revision == adapter:
            return
        if is_folder(self.adapter):
            raise BraddError(
                f"generator.adapter: the files in {self.adapter} are not those that earlier rounds "
                "of this run used. Put them back, or start another run."
            )
        self._adapter_files = self._pipeline = None
        self._pinned_adapter = adapter

    def revision(self) -> str:
        """Of the model and of the adapter."""
        return f"{super().revision()}{WITH}{self.adapter_files().revision}"

    def adapter_files(self) -> ModelFiles:
        """The adapter's files; of its repository only those of this adapter are fetched."""
        if self._adapter_files is None:
            require_packages()
            from huggingface_hub import snapshot_download

            wanted = [self.adapter_file, "image_encoder/*.json", "image_encoder/*.safetensors"]

            def download(name: str, revision: str | None) -> str | Path:
                patterns = [f"{self.adapter_folder}/{file}" for file in wanted]
                found: str = snapshot_download(name, revision=revision, allow_patterns=patterns)
                return found

            commit = self._pinned_adapter or self.adapter_revision
            files = model_files(self.adapter, commit, "generator.adapter", download)
            weights = files.folder / self.adapter_folder / self.adapter_file
            if not weights.is_file():
                raise BraddError(f"generator.adapter: {self.adapter} holds no {weights}.")
            self._adapter_files = files
            if files.licence:
                self.licence = f"{self.licence.partition(AND)[0]}{AND}{files.licence}"
        return self._adapter_files

    def load(self, folder: Path) -> Any:
        """See `PretrainedGenerator.load`."""
        from diffusers import AutoPipelineForText2Image
        from transformers import CLIPVisionModelWithProjection

        adapter = self.adapter_files().folder
        encoder = CLIPVisionModelWithProjection.from_pretrained(
            adapter / self.adapter_folder / "image_encoder", use_safetensors=True
        )
        pipeline = AutoPipelineForText2Image.from_pretrained(
            folder, image_encoder=encoder, use_safetensors=True
        )
        pipeline.load_ip_adapter(
            str(adapter),
            subfolder=self.adapter_folder,
            weight_name=self.adapter_file,
            image_encoder_folder=None,
        )
        # diffusers repeats the embeddings it is given as often as there are prompts, which mixes
        # the anchors of a batch (huggingface/diffusers#9813): `make` sets each row's own.
        self._embed = pipeline.prepare_ip_adapter_image_embeds
        pipeline.prepare_ip_adapter_image_embeds = lambda *_: self._embeddings
        return pipeline

    def amount(self, steps_closer: int) -> float:
        """The scale."""
        return max(round(self.scale + SCALE_STEP * steps_closer, 4), SCALE_STEP)

    def condition(self, pipeline: Any, anchor: Image.Image) -> Tensor:
        """The adapter's embeddings of no image (with guidance) and of the anchor."""
        embeddings: list[Tensor] = self._embed(
            [anchor], None, pipeline.device, 1, self.guidance > 1
        )
        return embeddings[0]

    def make(
        self,
        pipeline: Any,
        conditions: list[Tensor],
        random: list[torch.Generator],
        amount: float,
    ) -> Tensor:
        """See `PretrainedGenerator.make`; `amount` is the scale."""
        # [2, 1, ...] each: all rows without an image come before all rows with one.
        self._embeddings = [torch.stack(conditions, dim=1).flatten(0, 1)]
        pipeline.set_ip_adapter_scale(amount)
        pictures: Tensor = pipeline(
            prompt=[self.prompt] * len(random),
            ip_adapter_image_embeds=self._embeddings,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            generator=random,
            output_type="pt",
        ).images
        return pictures
