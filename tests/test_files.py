from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from bradd.errors import BraddError
from bradd.files import replace_atomically, write_atomically, write_errors


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def fail_half_way() -> None:
        with replace_atomically(path) as temporary:
            temporary.write_text("half")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        fail_half_way()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_content_is_synced_before_it_takes_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("sync"), sync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b))[1])
    write_atomically(tmp_path / "file", b"content")
    assert calls == ["sync", "replace", "sync"]


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EACCES, "cannot be written"),
        (errno.EROFS, "cannot"),
    ],
)
def test_disk_errors_name_the_file(number: int, says: str) -> None:
    with pytest.raises(BraddError, match=f"{says}.*") as raised, write_errors(Path("/x/file")):
        raise OSError(number, os.strerror(number))
    assert "/x/file" in str(raised.value)


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(BraddError, match=r"gone.file cannot be written: its folder does not exist"):
        write_atomically(tmp_path / "gone" / "file", "content")


def test_other_errors_pass() -> None:
    with pytest.raises(OSError, match="broken disk"), write_errors(Path("/x")):
        raise OSError(errno.EIO, "broken disk")
