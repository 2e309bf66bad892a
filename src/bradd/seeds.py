"""Randomness as a function of (seed, step, index), so that a resumed run draws the same numbers."""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["derive_seed", "random_generator"]


def derive_seed(seed: int, *keys: int | str) -> int:
    """Derive an independent 63-bit seed from `seed` and the place where it is used.

    Args:
        seed: The run's seed.
        keys: What the number is for, for example `("views", epoch, index)`.

    Returns:
        An integer in `[0, 2**63)`, the same on every machine and in every process.
    """
    text = "/".join(map(str, (seed, *keys)))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def random_generator(seed: int, *keys: int | str) -> np.random.Generator:
    """A NumPy generator seeded by `derive_seed(seed, *keys)`."""
    return np.random.Generator(np.random.PCG64(derive_seed(seed, *keys)))
