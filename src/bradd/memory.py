"""How much memory there is."""

from __future__ import annotations

import psutil

__all__ = ["available_memory"]


def available_memory() -> int:
    """Bytes that can be had without swapping."""
    return int(psutil.virtual_memory().available)
