"""Self-supervised pre-training: backbones, methods, optimisation."""

from __future__ import annotations

from bradd.ssl.backbone import Backbone, create_backbone, load_backbone
from bradd.ssl.method import Method
from bradd.ssl.simclr import SimCLR

__all__ = ["Backbone", "Method", "SimCLR", "create_backbone", "load_backbone"]
