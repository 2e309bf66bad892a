from __future__ import annotations

from pathlib import Path

import pytest

from planted import plant


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("data") / "photos")
