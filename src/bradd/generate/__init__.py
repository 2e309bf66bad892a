"""Variations of anchors."""

from __future__ import annotations

from bradd.generate.acceptance import anchor_distances
from bradd.generate.duplicate import Duplicate
from bradd.generate.generator import Generator
from bradd.generate.representation_diffusion import RepresentationDiffusion

__all__ = ["Duplicate", "Generator", "RepresentationDiffusion", "anchor_distances"]
