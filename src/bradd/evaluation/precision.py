"""Matrix products in full float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["exact_float32"]


@contextmanager
def exact_float32() -> Iterator[None]:
    """Within this block products are not rounded to fewer bits (TF32, bfloat16).

    It is a setting of the whole process, which training may have lowered; it is put back.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
