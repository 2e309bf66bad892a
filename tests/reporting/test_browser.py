"""The page in Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from bradd.reporting import write_report
from reporting_run import write_run

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ANCHORS = 15

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Its sandbox cannot be had as root and in many containers; the page is our own.
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def report_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser") / "photos"
    write_run(folder, anchors=ANCHORS)
    return write_report(folder)


@contextmanager
def opened(browser: Browser, file: Path, width: int = 1440, dark: bool = False) -> Iterator[Page]:
    """The page, wholly drawn; nothing may have gone wrong in it until it is closed."""
    scheme: Any = "dark" if dark else "light"
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: troubles.append(f"a script ran: {dialog.message}"))
    page.goto(file.as_uri())
    page.wait_for_selector("#map-plot[data-state=drawn]", timeout=60_000)
    yield page
    assert troubles == []
    context.close()


def gallery_of(page: Page, cycle: int) -> Any:
    """A round's gallery, with all its pictures drawn."""
    gallery = page.locator(f'[data-gallery="{cycle}"]')
    gallery.locator("canvas").first.wait_for()
    page.wait_for_function(
        """(cycle) => [...document.querySelectorAll(`[data-gallery="${cycle}"] canvas`)]
        .every((canvas) => canvas.dataset.state === "drawn")""",
        arg=cycle,
    )
    return gallery


@pytest.mark.parametrize("width", [375, 1440])
@pytest.mark.parametrize("dark", [False, True])
def test_opens_from_disk_and_passes_axe(
    browser: Browser, report_file: Path, width: int, dark: bool
) -> None:
    with opened(browser, report_file, width, dark) as page:
        gallery_of(page, 2)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = Axe().run(page).response["violations"]
        serious = [one["id"] for one in found if one["impact"] in ("serious", "critical")]
        assert serious == []


def test_every_picture_shows_what_its_file_holds(browser: Browser, report_file: Path) -> None:
    files = sorted((report_file.parent / "rounds/02").glob("[av]*/*.png"))
    expected = {round(float(np.asarray(Image.open(file)).mean()), 3) for file in files}
    with opened(browser, report_file) as page:
        gallery = gallery_of(page, 2)
        assert gallery.locator("canvas").count() == 12 * 5
        means = gallery.locator("canvas").evaluate_all(
            """(all) => all.map((canvas) => {
                const { width, height } = canvas;
                const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
                const colours = data.filter((_, place) => place % 4 !== 3);
                return colours.reduce((sum, value) => sum + value, 0) / colours.length;
            })"""
        )
        assert len(expected) > 70  # noise: each file has a mean of its own
        assert len({round(mean, 3) for mean in means}) > 50
        assert {round(mean, 3) for mean in means} <= expected


def test_pages_filters_and_orders(browser: Browser, report_file: Path) -> None:
    with opened(browser, report_file) as page:
        gallery = gallery_of(page, 2)
        count, cards = gallery.locator(".count"), gallery.locator(".card")
        scores = "(all) => all.map((card) => Number(/rank ([0-9]+)/.exec(card.innerText)[1]))"
        assert count.inner_text() == f"1 to 12 of {ANCHORS} anchors"
        assert cards.evaluate_all(scores) == list(range(1, 13))
        gallery.get_by_role("button", name="Next").click()
        assert count.inner_text() == f"13 to {ANCHORS} of {ANCHORS} anchors"
        assert gallery.get_by_role("button", name="Next").is_disabled()
        gallery.get_by_label("Order").select_option("lowest score first")
        assert cards.evaluate_all(scores) == list(range(ANCHORS, ANCHORS - 12, -1))
        gallery.get_by_label("Show").select_option("refused")
        assert gallery.locator(".tile.refused").count() == 12  # one of each anchor
        assert gallery.get_by_text("✓ accepted").count() == 0
        reasons = gallery.locator(".reason").all_inner_texts()
        gallery.get_by_label("Show").select_option(f"refused: {reasons[0]}")
        assert count.inner_text() == "1 to 1 of 1 anchors"
        gallery.get_by_label("Show").select_option("anchors without an accepted one")
        assert count.inner_text() == "no anchor has any"


def test_pictures_are_enlarged_by_the_keyboard(browser: Browser, report_file: Path) -> None:
    with opened(browser, report_file, width=375) as page:
        gallery_of(page, 2).locator("button.frame").nth(1).focus()
        page.keyboard.press("Enter")
        dialog = page.locator("#enlarged")
        assert "Accepted variation 1" in dialog.inner_text()
        assert "distance to its anchor" in dialog.inner_text()
        boxes = [figure.bounding_box() for figure in dialog.locator("figure").all()]
        assert boxes[0] is not None
        assert boxes[1] is not None
        assert boxes[0]["y"] == boxes[1]["y"]  # side by side, also on a telephone
        assert boxes[0]["width"] > 100
        page.keyboard.press("ArrowRight")
        assert "Refused variation 2" in dialog.inner_text()
        assert "refused because" in dialog.inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        page.keyboard.press("Escape")
        assert not dialog.is_visible()


def test_the_map_shows_each_rounds_points(browser: Browser, report_file: Path) -> None:
    with opened(browser, report_file) as page:

        def points() -> dict[str, int]:
            found: dict[str, int] = page.evaluate(
                """() => Object.fromEntries(document.getElementById("map-plot").data
                .map((trace) => [trace.meta, trace.x.length]))"""
            )
            return found

        expected = {
            "earlier": 0,
            "variation": 3 * ANCHORS,
            "image": 40 - ANCHORS,
            "anchor": ANCHORS,
        }
        assert points() == expected
        last = page.evaluate("document.getElementById('map-plot').data[3].x")
        page.locator("#map-round").select_option("1")
        assert points() == expected
        assert page.evaluate("document.getElementById('map-plot').data[3].x") != last
        page.locator("#map-plot").scroll_into_view_if_needed()
        point = page.locator("#map-plot .scatterlayer .trace").last.locator(".point").first
        box = point.bounding_box()
        assert box is not None
        centre = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(centre[0] - 30, centre[1] - 30)
        page.mouse.move(*centre, steps=5)
        page.locator("#map-shown canvas[data-state=drawn]").wait_for()
        assert "anchor" in page.locator("#map-shown").inner_text()
