"""One process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bradd.files import write_errors

__all__ = ["locked", "locked_if_free"]


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
    with _held(path, fcntl.LOCK_EX):
        yield


@contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """The same without waiting: the block is told whether it holds the lock.

    Args:
        path: As for `locked`.

    Raises:
        BraddError: The folder cannot be written to.
    """
    with _held(path, fcntl.LOCK_EX | fcntl.LOCK_NB) as held:
        yield held


@contextmanager
def _held(path: Path, operation: int) -> Iterator[bool]:
    lock = path.with_name(f".{path.name}.lock")
    with write_errors(path):
        descriptor = _acquire(lock, operation)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            # Removed while it is held, so that nobody else's lock can be meant.
            lock.unlink(missing_ok=True)
            os.close(descriptor)


def _acquire(lock: Path, operation: int) -> int | None:
    """A descriptor that holds the lock; None where another process does."""
    while True:
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(descriptor, operation)
            # Whoever held it may have removed the file meanwhile: then this one locks nothing.
            if os.fstat(descriptor).st_ino == os.stat(lock).st_ino:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
