"""What is done to any pipeline of diffusers before it generates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from bradd.errors import BraddError

__all__ = [
    "DTYPES",
    "Precision",
    "Scheduler",
    "check_parts",
    "denoiser",
    "tune",
    "usual_precision",
]

Precision = Literal["bf16", "fp16", "fp32"]
Scheduler = Literal["dpm++"]

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def check_parts(model: str, folder: Path, parts: Sequence[str], generator: str) -> None:
    """Refuse a model of another kind before its weights are loaded.

    Args:
        model: Its name, for messages.
        folder: Where it is.
        parts: What its `model_index.json` must name.
        generator: Which generator needs them, for messages.

    Raises:
        BraddError: It is no model of diffusers, or lacks a part.
    """
    index = folder / "model_index.json"
    try:
        found = json.loads(index.read_text())
    except (OSError, ValueError) as error:
        raise BraddError(
            f"generator.model: {model} is not a model of diffusers: {index} cannot be read "
            f"({error})."
        ) from error
    missing = [part for part in parts if part not in found]
    if missing:
        raise BraddError(
            f"generator.model: {model} is a {found.get('_class_name')}, which {generator} cannot "
            f"use: it has no {', '.join(missing)}."
        )


def usual_precision(device: torch.device) -> Precision:
    """The fastest in which weights and activations are safe on a device."""
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def tune(pipeline: Any, scheduler: Scheduler | None, compiled: bool, channels_last: bool) -> None:
    """Apply what makes a pipeline faster.

    Args:
        pipeline: On its device.
        scheduler: `dpm++` for DPM-Solver++; None leaves its own.
        compiled: Whether denoiser and decoder are compiled when first used.
        channels_last: Whether their convolutions keep that memory format.
    """
    from diffusers import DPMSolverMultistepScheduler

    if scheduler == "dpm++":
        pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
            pipeline.scheduler.config, algorithm_type="dpmsolver++"
        )
    if channels_last:
        for network in (denoiser(pipeline), pipeline.vae):
            network.to(memory_format=torch.channels_last)
    if compiled:
        denoiser(pipeline).compile()
        pipeline.vae.decoder.compile()


def denoiser(pipeline: Any) -> Any:
    """The network that the steps of a pipeline run through."""
    return pipeline.unet if getattr(pipeline, "unet", None) is not None else pipeline.transformer
