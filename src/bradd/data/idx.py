"""The IDX format of the MNIST family of datasets."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bradd.errors import BraddError

__all__ = ["read_idx"]

_UNSIGNED_BYTES = 0x08


def read_idx(file: Path) -> npt.NDArray[np.uint8]:
    """Read a gzip-compressed IDX file of unsigned bytes.

    The format (LeCun, MNIST, 1998): two zero bytes, the type, the number of dimensions, each
    dimension as a big-endian 32-bit integer, then the values, the last dimension varying fastest.

    Args:
        file: The `.gz` file.

    Returns:
        The values, in the file's shape.

    Raises:
        BraddError: The file is missing, damaged or holds another type.
    """
    try:
        content = gzip.decompress(file.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise BraddError(f"{file} cannot be read: {error}") from error
    if content[:3] != bytes([0, 0, _UNSIGNED_BYTES]) or len(content) < 4:
        raise BraddError(f"{file} is not an IDX file of unsigned bytes")
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    values = np.frombuffer(content[start:], np.uint8)
    if values.size != np.prod(shape, dtype=np.int64):
        raise BraddError(f"{file} is damaged: {values.size} values for the shape {shape}")
    return values.reshape(shape)
