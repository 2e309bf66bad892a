"""Telling two sets of weights apart."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

__all__ = ["state_fingerprint"]


def state_fingerprint(state: dict[str, Tensor]) -> str:
    """A hash of a module's state: names, shapes and values."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
