"""The documentation's site: builds without a warning, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


class Loaded(HTMLParser):
    """What a page loads when it is opened; links to be clicked are not among it."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(LOADING.get(tag, ""))
        if address:
            self.addresses.append(address)


def build(project: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` does it."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(site)],
        cwd=project,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documentation") / "site"
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        assert loaded.addresses, page
        assert [a for a in loaded.addresses if re.match(r"(https?:)?//", a)] == [], page
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"@import|url\([\"']?(https?:)?//", text), sheet


def test_the_reference_has_every_public_name(site: Path) -> None:
    import bradd

    shown = "".join(
        page.read_text(encoding="utf-8") for page in (site / "reference").glob("*.html")
    )
    anchors = set(re.findall(r'<h2 id="bradd\.([\w.]+)"', shown))
    names = {anchor.rpartition(".")[2] for anchor in anchors}
    assert set(bradd.__all__) <= names


def test_tables_pictures_and_lists_of_the_longer_pages_are_rendered(site: Path) -> None:
    results = (site / "results.html").read_text(encoding="utf-8")
    assert results.count("<table>") == (ROOT / "docs/results.md").read_text("utf-8").count("\n|---")
    architecture = (site / "architecture.html").read_text(encoding="utf-8")
    assert "<li>" in architecture
    assert "<td>torch, torchvision</td>" in architecture


def test_a_broken_link_fails_the_build(tmp_path: Path) -> None:
    """So that the build above says something."""
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("nav:")[0]
    settings = re.sub(r"  - mkdocstrings:\n(    .*\n)+", "", settings)
    (tmp_path / "mkdocs.yml").write_text(settings, encoding="utf-8")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/site.css").touch()
    page = tmp_path / "docs/index.md"
    page.write_text("# Home\n", encoding="utf-8")
    assert build(tmp_path, tmp_path / "site").returncode == 0
    page.write_text("# Home\n\n[there](nowhere.md)\n", encoding="utf-8")
    assert build(tmp_path, tmp_path / "site").returncode != 0
