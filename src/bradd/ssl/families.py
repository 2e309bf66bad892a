"""Families of timm's models: what suits the one does not suit the other."""

from __future__ import annotations

import difflib

import timm
from torch import nn

from bradd.errors import BraddError

__all__ = [
    "RESAMPLES_POSITIONS",
    "is_trained_by_adamw",
    "is_transformer",
    "is_transformer_module",
    "timm_module",
]

# timm's modules whose models attend from place to place, alone or between convolutions. Told by
# module, since names say little: DINOv3's `vit_small_patch16_dinov3` is an EVA, `volo_d1_224` a
# transformer.
TRANSFORMERS = frozenset(
    (
        *("beit", "cait", "coat", "convit", "cpubone", "crossvit", "csatv2", "davit"),
        *("deepseek_vit", "deit", "edgenext", "efficientformer", "efficientformer_v2"),
        *("efficientvit_mit", "efficientvit_msra", "eva", "fastvit", "gcvit", "gemma4_vit"),
        *("hiera", "hieradet_sam2", "iformer", "levit", "lowformer", "maxxvit", "metaformer"),
        *("mobilevit", "mvitv2", "naflexvit", "nest", "nextvit", "pit", "pvt_v2", "qwen3_vit"),
        *("shvit", "swiftformer", "swin_transformer", "swin_transformer_v2"),
        *("swin_transformer_v2_cr", "tiny_vit", "tnt", "twins", "visformer"),
        *("vision_transformer", "vision_transformer_hybrid", "vision_transformer_relpos"),
        *("vision_transformer_sam", "vitamin", "volo", "xcit"),
    )
)


# Those of them that resample their positions for images of another size, if told to.
RESAMPLES_POSITIONS = frozenset(("deit", "eva", "vision_transformer", "vision_transformer_hybrid"))

# Convolutional networks and mixers that are usually trained by AdamW, too.
TRAINED_BY_ADAMW = frozenset(("convnext", "inception_next", "mambaout", "mlp_mixer", "starnet"))


def timm_module(name: str) -> str:
    """Name of the file in `timm.models` that a model is defined in.

    Raises:
        BraddError: timm knows no model of that name.
    """
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise BraddError(f"timm has no model called {name!r}.{hint}")
    return str(timm.models.model_entrypoint(name).__module__).removeprefix("timm.models.")


def is_transformer(name: str) -> bool:
    """Whether a timm model is a vision transformer, also a hierarchical or hybrid one.

    Args:
        name: A timm model name.

    Raises:
        BraddError: timm knows no model of that name.
    """
    return timm_module(name) in TRANSFORMERS


def is_trained_by_adamw(name: str) -> bool:
    """Whether a timm model is usually trained by AdamW, rather than SGD, though no transformer.

    Args:
        name: A timm model name.

    Raises:
        BraddError: timm knows no model of that name.
    """
    return timm_module(name) in TRAINED_BY_ADAMW


def is_transformer_module(model: nn.Module) -> bool:
    """Whether a model is one of timm's for which `is_transformer` holds."""
    return type(model).__module__.removeprefix("timm.models.") in TRANSFORMERS
