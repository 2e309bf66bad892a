"""Variations of anchors."""

from __future__ import annotations

from bradd.generate.acceptance import Acceptance, Verdict
from bradd.generate.augment import Augment
from bradd.generate.duplicate import Duplicate
from bradd.generate.function import Function
from bradd.generate.generator import Generator
from bradd.generate.image_to_image import Img2Img
from bradd.generate.ip_adapter import IPAdapter
from bradd.generate.pretrained import PretrainedGenerator
from bradd.generate.readd import Readd
from bradd.generate.representation_diffusion import RepresentationDiffusion
from bradd.generate.stable_unclip import StableUnCLIP

__all__ = [
    "Acceptance",
    "Augment",
    "Duplicate",
    "Function",
    "Generator",
    "IPAdapter",
    "Img2Img",
    "PretrainedGenerator",
    "Readd",
    "RepresentationDiffusion",
    "StableUnCLIP",
    "Verdict",
]
