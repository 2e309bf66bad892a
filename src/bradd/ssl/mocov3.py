"""MoCo v3 (Chen, Xie and He 2021, https://arxiv.org/abs/2104.02057)."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from timm.layers import PatchEmbed, build_sincos2d_pos_embed
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from bradd import distributed
from bradd.errors import BraddError
from bradd.ssl.checks import require
from bradd.ssl.method import Method, Progress, TrainingFacts
from bradd.ssl.momentum import follow, momentum_copy
from bradd.ssl.precision import at_least_float32
from bradd.ssl.schedules import cosine
from bradd.views import MoCoV3Views

__all__ = ["MoCoV3"]


class MoCoV3(Method):
    """Each view predicts what a slowly moving copy of the network makes of the other view.

    As published, the heads follow from the backbone: a vision transformer gets a projector of three
    layers, a predictor that ends in a batch norm, fixed two-dimensional sine-cosine positions and a
    patch embedding that stays as it was drawn (both stay what they are where training starts from
    trained weights); a ResNet a projector of two layers and a predictor without the last batch
    norm. (lightly's heads have affine last batch norms, where MoCo v3 has
    plain ones, and none without.)

    Args:
        temperature: Of the softmax. Default: 0.2 for vision transformers, 1.0 for others.
        momentum: Of the moving average; rises along a cosine from this to 1.
        hidden_size: Width of the heads' hidden layers.
        projection_size: Width of the heads' outputs.
    """

    default_views = MoCoV3Views

    def __init__(
        self,
        temperature: float | None = None,
        momentum: float = 0.99,
        hidden_size: int = 4096,
        projection_size: int = 256,
    ) -> None:
        super().__init__()
        require("temperature", temperature, temperature is None or temperature > 0, "above 0")
        require("momentum", momentum, 0 <= momentum <= 1, "0 to 1")
        require("hidden_size", hidden_size, hidden_size >= 1, "at least 1")
        require("projection_size", projection_size, projection_size >= 1, "at least 1")
        self.temperature = temperature
        self.momentum = momentum
        self.hidden_size = hidden_size
        self.projection_size = projection_size

    def build(self, backbone: nn.Module, facts: TrainingFacts) -> None:
        """See `Method.build`."""
        transformer = facts.transformer
        if isinstance(backbone, VisionTransformer):
            if backbone.pos_embed is None or not isinstance(backbone.patch_embed, PatchEmbed):
                raise BraddError(
                    "MoCo v3 fixes a vision transformer's positions and patch embedding; this one "
                    "has none, or a network in their place. Choose another backbone or method."
                )
            if not facts.pretrained:
                fix_positions(backbone)
                draw_patch_embedding(backbone)
            backbone.pos_embed.requires_grad_(False)
            backbone.patch_embed.requires_grad_(False)
        hidden = [self.hidden_size] * (2 if transformer else 1)
        self.projector = _mlp([facts.embedding_size, *hidden, self.projection_size], True)
        self.predictor = _mlp(
            [self.projection_size, self.hidden_size, self.projection_size], transformer
        )
        self.teacher = momentum_copy(nn.Sequential(backbone, self.projector))
        self._temperature = self.temperature or (0.2 if transformer else 1.0)

    def loss(self, backbone: nn.Module, views: list[Tensor], progress: Progress) -> Tensor:
        """See `Method.loss`."""
        # View by view, as published: the batch norms see one kind of view at a time.
        queries = [self.predictor(self.projector(backbone(view))) for view in views]
        with torch.no_grad():
            keys = [self.teacher(view) for view in views]
        first, second = queries
        return contrast(first, keys[1], self._temperature) + contrast(
            second, keys[0], self._temperature
        )

    def after_step(self, backbone: nn.Module, progress: Progress) -> None:
        """Let the teacher follow."""
        momentum = cosine(progress.step, progress.steps, self.momentum, 1.0)
        follow(self.teacher, nn.Sequential(backbone, self.projector), momentum)


def contrast(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """InfoNCE with the factor 2t, which keeps the gradient's size when the temperature changes.

        loss = 2 t * mean over i of -log( exp(q_i . k_i / t) / sum over j of exp(q_i . k_j / t) )

    over the global batch, rows L2-normalised (MoCo v3, algorithm 1).

    Args:
        queries: `[B, P]`.
        keys: `[B, P]`, in the same order; no gradient goes to them.
        temperature: t.

    Returns:
        A scalar in float32, or float64 if they are.
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries = functional.normalize(at_least_float32(queries), dim=1)
        keys = functional.normalize(at_least_float32(keys.detach()), dim=1)
        keys = distributed.gather(keys)
        own = torch.arange(len(queries), device=queries.device)
        own = own + distributed.rank() * len(queries)
        return 2 * temperature * functional.cross_entropy(queries @ keys.T / temperature, own)


def fix_positions(backbone: VisionTransformer) -> None:
    """Set a transformer's positions to sine-cosine ones, zero for its prefix tokens.

    Raises:
        BraddError: The transformer's width is not a multiple of 4.
    """
    width = backbone.embed_dim
    if width % 4:
        raise BraddError(
            f"MoCo v3 gives a vision transformer sine-cosine positions; one of width {width}, no "
            "multiple of 4, cannot have them. Choose another backbone or method."
        )
    grid = list(backbone.patch_embed.grid_size)
    positions = build_sincos2d_pos_embed(grid, width)  # [patches, width]
    prefix = backbone.pos_embed.shape[1] - len(positions)
    with torch.no_grad():
        backbone.pos_embed.copy_(functional.pad(positions, (0, 0, prefix, 0))[None])


def draw_patch_embedding(backbone: VisionTransformer) -> None:
    """Draw the patch embedding, which stays so: trained, it makes training unstable."""
    projection = backbone.patch_embed.proj
    fan_in = projection.weight[0].numel()
    limit = math.sqrt(6 / (fan_in + projection.out_channels))
    nn.init.uniform_(projection.weight, -limit, limit)
    if projection.bias is not None:
        nn.init.zeros_(projection.bias)


def _mlp(widths: list[int], last_norm: bool) -> nn.Sequential:
    """Linear layers with batch norm and ReLU between; the last batch norm is not affine."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()]
    del layers[-2:]
    if last_norm:
        layers.append(nn.BatchNorm1d(widths[-1], affine=False))
    return nn.Sequential(*layers)
