"""The page of a ranking: complete, self-contained, and safe whatever the files are called."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bradd.embedding import Encoder
from bradd.ranking import Ranking, rank
from bradd.reporting.ranking_page import ranking_page
from bradd.select import Rare, Uniform
from html_page import Page
from planted import SUSPECTED, plant
from samples import SIZE, TinyBackbone

HOSTILE = "<script>alert('x')<\\script> & \"photo\".png"
ANCHORS, GROUPS, COPIES, TYPICAL = 7, 2, 3, 24


@pytest.fixture(scope="module")
def ranking(tmp_path_factory: pytest.TempPathFactory) -> Ranking:
    photos = plant(tmp_path_factory.mktemp("data") / "photos")
    (photos / "outlier.png").rename(photos / HOSTILE)
    (photos / "cut.png").rename(photos / f"cut {HOSTILE}")
    encoder = Encoder(TinyBackbone(), SIZE)
    return rank(photos, encoder, n_anchors=ANCHORS, max_unreadable=0.1)


@pytest.fixture(scope="module")
def html(ranking: Ranking) -> str:
    return ranking_page(ranking, "my photos")


def text_of(page: Page) -> str:
    return " ".join(" ".join(page.text).split())


def test_page_is_well_formed_and_loads_nothing(html: str) -> None:
    page = Page(html)
    assert page.stack == []
    assert len(page.ids) == len(set(page.ids))
    targets = {str(a["href"]).removeprefix("#") for _, a in page.tags if "href" in a}
    assert targets <= set(page.ids)
    assert {"anchors", "typical", "suspected", "copies", "scores", "how", "tables"} <= targets
    assert not re.search(r"https?:|//cdn|@import", html)
    assert {"script", "link", "iframe", "object"}.isdisjoint(tag for tag, _ in page.tags)
    assert all(str(a["src"]).startswith("data:image/") for a in page.of("img"))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


def test_every_gallery_shows_its_images(html: str, ranking: Ranking) -> None:
    page = Page(html)
    shown = ANCHORS + TYPICAL + len(SUSPECTED) + GROUPS + COPIES
    assert len(page.of("img")) == shown
    sections = dict(re.findall(r'<section id="(\w+)">(.*?)</section>', html, flags=re.DOTALL))
    assert sections["anchors"].count('class="tile original"') == ANCHORS
    assert re.findall(r"rank (\d+)", sections["anchors"]) == [str(i + 1) for i in range(ANCHORS)]
    lowest = ranking.order[-1]
    assert ranking.names[lowest] in sections["typical"].split("</li>")[0]
    for name, reason in SUSPECTED.items():
        assert f"{reason.capitalize()}: 1 image" in sections["suspected"]
        assert name in sections["suspected"]
        assert name not in sections["anchors"]
    assert "text.jpg" in sections["suspected"]
    assert "stands for 3" in sections["copies"]


def test_the_header_says_what_made_the_ranking(html: str, ranking: Ranking) -> None:
    text = text_of(Page(html))
    for expected in (
        f"{len(ranking)} images, embedded by TinyBackbone and ranked by Rare(neighbourhood=None, "
        "draws=3): groups of fewer than 5 images count as rare",
        "distances are exact to all images",
        "Signal: not measured",
        ranking.facts["encoder"]["fingerprint"],
        "1 blank",
        "bradd 0.",
    ):
        assert expected in text


def test_signal_is_shown_where_it_is_measured() -> None:
    values = np.random.default_rng(0).normal(size=(300, 5))
    found = rank(embeddings=values, selector=Rare(neighbourhood=80), n_anchors=20)
    text = text_of(Page(ranking_page(found, "values")))
    assert found.signal is not None
    assert f"{100 * found.signal.stability:.1f} % of their anchors in common" in text
    assert "groups of fewer than 80 images count as rare" in text


def test_the_cut_lies_at_the_lowest_score_of_an_anchor(html: str, ranking: Ranking) -> None:
    lowest = ranking.scores[ranking.anchors].min()
    assert f"from {lowest:#.3g} on" in text_of(Page(html))
    assert "higher: more under-represented" in html


def test_hostile_names_are_text(html: str) -> None:
    page = Page(html)
    assert not page.of("script")
    assert any(a.get("alt") == HOSTILE for a in page.of("img"))
    assert f"cut {HOSTILE}" in [text.strip() for text in page.text]


def test_without_images_names_stand_for_pictures() -> None:
    values = np.random.default_rng(0).normal(size=(40, 5))
    found = rank(embeddings=values, n_anchors=3)
    page = Page(ranking_page(found, "values"))
    assert not page.of("img")
    assert "suspected" not in page.ids
    assert "Embeddings alone were given" in text_of(page)
    assert all(found.names[row] in text_of(page) for row in found.anchors)


def test_a_selection_that_does_not_follow_a_score_has_no_cut() -> None:
    values = np.random.default_rng(0).normal(size=(40, 5))
    found = rank(embeddings=values, n_anchors=3)
    other = replace(found, anchors=found.order[10:13])
    text = text_of(Page(ranking_page(other, "values")))
    assert "so there is no cut" in text
    assert "most under-represented" not in text
    assert "in the order in which they were chosen" in text
    assert "the most under-represented" in text_of(Page(ranking_page(found, "values")))
    equal = rank(embeddings=np.ones((40, 5)), n_anchors=3)
    assert "so there is no cut" in text_of(Page(ranking_page(equal, "equal")))
    assert "cut" in ranking_page(rank(embeddings=values, selector=Uniform()), "drawn")


def test_an_image_that_is_gone_since_leaves_a_gap(tmp_path: Path) -> None:
    photos = plant(tmp_path / "photos")
    found = rank(photos, Encoder(TinyBackbone(), SIZE), n_anchors=2, max_unreadable=0.1)
    (photos / found.names[found.anchors[0]]).unlink()
    assert "picture missing or unreadable" in ranking_page(found, "gone")
