"""What counts as a small image."""

from __future__ import annotations

__all__ = ["SMALL_IMAGE"]

# Up to this side, in pixels, an image counts as small: CIFAR is 32, Tiny ImageNet 64. Stems,
# patches and views made for 224 pixels do not suit it.
SMALL_IMAGE = 64
