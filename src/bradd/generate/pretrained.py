"""What generators by pre-trained diffusion pipelines share: loading, batches, sizes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from bradd.data.resize import check_rgb
from bradd.errors import BraddError
from bradd.generate.generator import Generator
from bradd.generate.model_files import (
    ModelFiles,
    first_line,
    is_folder,
    model_files,
    quiet,
    require_packages,
)
from bradd.generate.pipelines import (
    DTYPES,
    Precision,
    Scheduler,
    check_parts,
    tune,
    usual_precision,
)

__all__ = ["PretrainedGenerator"]


class PretrainedGenerator(Generator):
    """A generator whose weights are a diffusers pipeline, from the hub or from a folder.

    A subclass says how its pipeline is loaded (`load`), what it computes once for each anchor
    (`condition`) and how it makes a batch of pictures (`make`). Here they are put into batches of
    one shape (the last is filled up and the surplus thrown away), each picture with a random
    generator of its own on the CPU, so that a picture depends neither on the others nor on the
    device. Attention is torch's scaled_dot_product_attention, diffusers' default.

    Weights are read from safetensors files only, and no code that comes with a model is run.

    Args:
        model: A repository of the Hugging Face hub, or a folder.
        model_revision: A commit, tag or branch of the repository; None: its newest commit.
        steps: Denoising steps.
        guidance: Weight of classifier-free guidance; 1 or less is none, at half the cost.
        stored_size: Shorter side of the pictures in pixels; larger ones are reduced to it.
        batch_size: Pictures made at once.
        precision: Of weights and activations. None: bf16 on a GPU (fp16 where it has none), else
            fp32.
        scheduler: None: the pipeline's own. `dpm++`: DPM-Solver++ (Lu et al. 2022), which needs
            fewer steps.
        compile: Whether the denoiser and the decoder are compiled by torch.compile.
        channels_last: Whether convolutions keep that memory format. None: on a GPU.

    Raises:
        BraddError: A setting is impossible.
    """

    external_data = True
    licence = "not stated"

    # The parts that the pipeline's model_index.json must name.
    parts: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        model: str,
        model_revision: str | None,
        steps: int,
        guidance: float,
        stored_size: int,
        batch_size: int,
        precision: Precision | None,
        scheduler: Scheduler | None = None,
        compile: bool = False,
        channels_last: bool | None = None,
    ) -> None:
        for name, value in (("steps", steps), ("batch_size", batch_size)):
            if value < 1:
                raise BraddError(f"generator.{name} is {value}: it must be at least 1.")
        if stored_size < 8:
            raise BraddError(f"generator.stored_size is {stored_size}: it must be at least 8.")
        if guidance < 0:
            raise BraddError(f"generator.guidance is {guidance}: it must be at least 0.")
        if precision not in (None, *DTYPES):
            raise BraddError(f"generator.precision is {precision!r}: give {', '.join(DTYPES)}.")
        if scheduler not in (None, "dpm++"):
            raise BraddError(f"generator.scheduler is {scheduler!r}: give dpm++, or leave it out.")
        self.model = model
        self.model_revision = model_revision
        self.steps = steps
        self.guidance = guidance
        self.stored_size = stored_size
        self.batch_size = batch_size
        self.precision = precision
        self.scheduler = scheduler
        self.compile = compile
        self.channels_last = channels_last
        self._files: ModelFiles | None = None
        self._pinned: str | None = None
        self._pipeline: Any = None
        self._pipeline_device: torch.device | None = None

    @abstractmethod
    def load(self, folder: Path) -> Any:
        """The pipeline in a folder, on the CPU; whatever is wrong with it is raised."""

    @abstractmethod
    def condition(self, pipeline: Any, anchor: Image.Image) -> Any:
        """What the pipeline is told of an anchor; computed once, however many variations."""

    @abstractmethod
    def make(
        self, pipeline: Any, conditions: list[Any], random: list[torch.Generator], amount: float
    ) -> Tensor:
        """A batch of pictures, `[B, 3, H, W]` from 0 to 1.

        Args:
            pipeline: Loaded and on its device.
            conditions: As `condition` made them, B.
            random: A generator for each picture, B.
            amount: As `amount` says.
        """

    def amount(self, steps_closer: int) -> float:
        """The setting by which pictures come nearer to their anchors, where there is one."""
        del steps_closer
        return 0.0

    def check(self) -> None:
        """See `Generator.check`; a model of the hub is fetched if it is not there yet."""
        self.files()

    def files(self) -> ModelFiles:
        """The model's files."""
        if self._files is None:
            require_packages()
            from diffusers import DiffusionPipeline

            def download(name: str, revision: str | None) -> str | Path:
                found: str | Path = DiffusionPipeline.download(
                    name, revision=revision, use_safetensors=True
                )
                return found

            wanted = self._pinned or self.model_revision
            files = model_files(self.model, wanted, "generator.model", download)
            check_parts(self.model, files.folder, self.parts, type(self).__name__)
            self.licence = files.licence or self.licence
            self._files = files
        return self._files

    def pin(self, revision: str) -> None:
        """See `Generator.pin`; a hub's repository may have newer ones by now."""
        if self.files().revision == revision:
            return
        if is_folder(self.model):
            raise BraddError(
                f"generator.model: the files in {self.model} are not those that earlier rounds of "
                "this run used. Put them back, or start another run."
            )
        self._files = self._pipeline = None
        self._pinned = revision

    def revision(self) -> str:
        """The commit of the hub's repository, or a hash of the folder's weights and configs."""
        return self.files().revision

    def fit(
        self,
        images: Dataset[tuple[Tensor, int]],
        embeddings: np.ndarray,
        seed: int,
        folder: Path | None = None,
    ) -> None:
        """Load the model, so that what is wrong with it comes up before anything is made of it."""
        self.opened()

    def generate(
        self, anchors: Sequence[Image.Image], embeddings: np.ndarray, seeds: Sequence[int]
    ) -> list[Image.Image]:
        """See `Generator.generate`; the embeddings are not used.

        Raises:
            BraddError: The model cannot be had, or its numbers overflow in this precision.
        """
        return self.generate_closer(anchors, embeddings, seeds, [0] * len(seeds))

    @torch.no_grad()
    def generate_closer(
        self,
        anchors: Sequence[Image.Image],
        embeddings: np.ndarray,
        seeds: Sequence[int],
        steps: Sequence[int],
    ) -> list[Image.Image]:
        """See `Generator.generate_closer`."""
        del embeddings
        pipeline = self.opened()
        distinct = {id(anchor): anchor for anchor in anchors}
        conditions = {key: self._condition(pipeline, anchor) for key, anchor in distinct.items()}
        amounts = [self.amount(step) for step in steps]
        pictures: dict[int, Image.Image] = {}
        for amount in sorted(set(amounts)):
            rows = [row for row, wanted in enumerate(amounts) if wanted == amount]
            for start in range(0, len(rows), self.batch_size):
                batch = rows[start : start + self.batch_size]
                filled = batch + batch[-1:] * (self.batch_size - len(batch))
                made = self.make(
                    pipeline,
                    [conditions[id(anchors[row])] for row in filled],
                    [torch.Generator().manual_seed(seeds[row]) for row in filled],
                    amount,
                )
                pictures.update(zip(batch, self._stored(made[: len(batch)]), strict=True))
        return [pictures[row] for row in range(len(seeds))]

    def _condition(self, pipeline: Any, anchor: Image.Image) -> Any:
        check_rgb(anchor)
        return self.condition(pipeline, anchor)

    def _stored(self, pictures: Tensor) -> list[Image.Image]:
        """8-bit RGB of the stored size, never enlarged."""
        pixels = pictures.float()
        if not torch.isfinite(pixels).all():
            raise BraddError(
                f"generator: {self.model} overflows in {self._precision()}: give "
                "--generator.precision bf16 or fp32."
            )
        levels = (pixels * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        images = [Image.fromarray(picture) for picture in levels]
        return [_reduced(image, self.stored_size) for image in images]

    def opened(self) -> Any:
        """The pipeline, ready on the device; loaded when first asked for.

        Raises:
            BraddError: The model cannot be had.
        """
        if self._pipeline is None or self._pipeline_device != self.device:
            files = self.files()
            try:
                with quiet():
                    pipeline = self.load(files.folder)
                    pipeline.to(self.device, DTYPES[self._precision()])
            except BraddError:
                raise
            except Exception as error:  # diffusers, transformers and safetensors raise many kinds
                raise BraddError(
                    f"generator.model: {self.model} could not be loaded from {files.folder}: "
                    f"{first_line(error)}. Give a model for {type(self).__name__} whose weights "
                    "are safetensors files."
                ) from error
            pipeline.set_progress_bar_config(disable=True)
            tune(pipeline, self.scheduler, self.compile, self._channels_last())
            self._pipeline = pipeline
            self._pipeline_device = self.device
        return self._pipeline

    def _channels_last(self) -> bool:
        return self.device.type == "cuda" if self.channels_last is None else self.channels_last

    def _precision(self) -> Precision:
        return self.precision or usual_precision(self.device)


def _reduced(image: Image.Image, shorter_side: int) -> Image.Image:
    scale = shorter_side / min(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)
