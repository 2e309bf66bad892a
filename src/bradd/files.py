"""Writing files so that a killed process leaves either the old file or the new one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bradd.errors import BraddError

__all__ = ["replace_atomically", "sync_folder", "write_atomically", "write_errors"]


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a whole file, or leave the old one as it was.

    Args:
        path: The file; its folder must exist.
        content: Text is written as UTF-8, file names that are not valid UTF-8 (lone surrogates in
            Python) as the bytes they have on disk.

    Raises:
        BraddError: The disk is full or the folder cannot be written to.
    """
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
    with replace_atomically(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it is synced and takes `path`'s place.

    Args:
        path: The file to write or replace.

    Raises:
        BraddError: The disk is full, or the folder is missing or cannot be written to.
    """
    if not path.parent.is_dir():
        raise BraddError(
            f"{path} cannot be written: its folder does not exist, or was removed meanwhile."
        )
    temporary = path.with_name(f".{path.name}.tmp")
    with write_errors(path):
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn a full or read-only disk into an error that says what to do; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BraddError(
                f"The disk is full: {path} could not be written. Free some space and start again; "
                "a run goes on with --resume, and everything finished so far is kept."
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise BraddError(
                f"{path} cannot be written ({error.strerror}). Choose another folder or change "
                "its permissions."
            ) from error
        raise
