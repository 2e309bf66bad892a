"""Tiny backbones, batches and training loops for the methods' tests."""

from __future__ import annotations

import timm
import torch
from torch import Tensor, nn

from bradd.ssl.families import is_transformer_module
from bradd.ssl.method import Method, Progress, TrainingFacts

SIZE = 16
WIDTH = 16


def resnet() -> nn.Module:
    """A ResNet of some thousand weights for images of 16 pixels."""
    torch.manual_seed(0)
    backbone: nn.Module = timm.create_model("resnet10t", channels=[8, 8, 8, WIDTH], num_classes=0)
    return backbone


def transformer(**kwargs: object) -> nn.Module:
    """A vision transformer of two small blocks for images of 16 pixels."""
    torch.manual_seed(0)
    backbone: nn.Module = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=SIZE,
        patch_size=4,
        depth=2,
        embed_dim=WIDTH,
        num_heads=2,
        num_classes=0,
        **kwargs,
    )
    return backbone


def built(
    method: Method, backbone: nn.Module, images: int = 100, pretrained: bool = False
) -> Method:
    torch.manual_seed(1)
    transformer = is_transformer_module(backbone)
    method.build(backbone, TrainingFacts(WIDTH, SIZE, images, transformer, pretrained))
    return method


def progress(step: int = 0, steps: int = 100, epoch: int = 0, epochs: int = 10) -> Progress:
    return Progress(step, steps, epoch, epochs)


def batch(n: int = 8, seed: int = 0, views: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 3, SIZE, SIZE, generator=generator) for _ in range(views)]


def pairs(step: int, n: int = 16) -> list[Tensor]:
    """Two noisy copies of each of `n` smooth images that are the same at every step."""
    images = torch.randn(n, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    images = nn.functional.interpolate(images, size=SIZE, mode="bilinear")
    generator = torch.Generator().manual_seed(step)
    return [images + 0.1 * torch.randn(images.shape, generator=generator) for _ in range(2)]


def train(method: Method, backbone: nn.Module, steps: int, rate: float) -> list[float]:
    """The losses of a plain loop that calls everything a method may need."""
    parts = nn.ModuleList([backbone, method])
    parameters = [p for p in parts.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, rate)
    losses = []
    for step in range(steps):
        now = progress(step, steps, epoch=step // 5, epochs=steps // 5)
        if step % 5 == 0:
            method.start_epoch(backbone, now)
        loss = method.loss(backbone, pairs(step), now)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        method.after_backward(now)
        optimizer.step()
        method.after_step(backbone, now)
        losses.append(loss.item())
    return losses
