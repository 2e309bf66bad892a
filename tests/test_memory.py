from __future__ import annotations

from pathlib import Path

import pytest

from bradd.memory import available_memory, used_memory

MEMINFO = Path("/proc/meminfo")


@pytest.mark.skipif(not MEMINFO.exists(), reason="needs Linux")
def test_it_is_what_the_system_says() -> None:
    line = next(line for line in MEMINFO.read_text().splitlines() if "MemAvailable" in line)
    assert available_memory() == pytest.approx(int(line.split()[1]) * 1024, rel=0.2)


def test_what_this_process_uses_grows_with_what_it_holds() -> None:
    before = used_memory()
    held = b"x" * 2**27
    assert used_memory() - before == pytest.approx(len(held), rel=0.2)
