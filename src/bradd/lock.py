"""One process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bradd.files import write_errors

__all__ = ["locked"]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes, on this or another machine, out of a block about the same path.

    The lock lies beside the path, in a hidden file that is gone afterwards. The system frees the
    lock of a process that was killed; the file it leaves keeps nobody out.

    Args:
        path: What the block is about, a file or a folder; it need not exist, but its folder must.

    Raises:
        BraddError: The folder cannot be written to.
    """
    lock = path.with_name(f".{path.name}.lock")
    with write_errors(path):
        descriptor = _acquire(lock)
    try:
        yield
    finally:
        # Removed while it is held, so that nobody else's lock can be meant.
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(lock: Path) -> int:
    while True:
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Whoever held it may have removed the file meanwhile: then this one locks nothing.
            if os.fstat(descriptor).st_ino == os.stat(lock).st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
