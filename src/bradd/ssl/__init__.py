"""Self-supervised pre-training: backbones, methods, optimisation."""

from __future__ import annotations

from bradd.ssl.backbone import Backbone, create_backbone, load_backbone
from bradd.ssl.dino import DINO
from bradd.ssl.method import Method
from bradd.ssl.mocov3 import MoCoV3
from bradd.ssl.sdclr import SDCLR
from bradd.ssl.simclr import SimCLR

__all__ = [
    "DINO",
    "SDCLR",
    "Backbone",
    "Method",
    "MoCoV3",
    "SimCLR",
    "create_backbone",
    "load_backbone",
]
