"""Images suspected of being broken, on the page of a run."""

from __future__ import annotations

import base64
import io
import re
from html import unescape
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bradd.reporting import write_report
from bradd.reporting.run_files import read_run
from bradd.reporting.suspected import suspected_in_run
from html_page import Page


def suspect(run: Path, reasons: dict[int, str], cycles: tuple[int, ...] = (1, 2)) -> None:
    """Let rounds suspect these images."""
    for cycle in cycles:
        path = run / f"rounds/{cycle:02d}/selection.parquet"
        rows = pq.read_table(path).to_pylist()
        for row in rows:
            row["guard"] = reasons.get(row["index"], "")
        pq.write_table(pa.Table.from_pylist(rows), path)


def keep_picture(run: Path, index: int) -> np.ndarray:
    pixels = np.random.default_rng(index).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    (run / "suspected").mkdir(exist_ok=True)
    Image.fromarray(pixels).save(run / f"suspected/{index:08d}.png")
    return pixels


def section(run: Path) -> str:
    html = write_report(run).read_text(encoding="utf-8")
    assert Page(html).stack == []
    found = re.search(r'<section id="suspected">(.*?)</section>', html, re.DOTALL)
    assert found is not None
    return found[1]


def headings(text: str) -> list[str]:
    return re.findall("<h3>(.*?)</h3>", text)


def test_pictures_stand_below_their_reason_with_name_and_count(run: Path) -> None:
    suspect(run, {3: "noise", 20: "blank", 5: "blank"})
    pixels = {index: keep_picture(run, index) for index in (3, 5, 20)}
    text = section(run)
    assert headings(text) == ["Blank: 2 images", "Noise: 1 image"]
    tiles = re.findall(r'<li class="tile refused">(.*?)</li>', text, re.DOTALL)
    assert "<table" not in text
    for tile, index, reason in zip(tiles, (5, 20, 3), ("blank", "blank", "noise"), strict=True):
        assert f">photos/{index:03d}.jpg<" in tile
        assert f">{reason}<" in tile
        source = re.findall(r'src="data:image/png;base64,(.*?)"', tile)
        embedded = Image.open(io.BytesIO(base64.b64decode(source[0])))
        assert np.array_equal(np.asarray(embedded), pixels[index])


def test_images_without_a_readable_picture_are_listed_by_name(run: Path) -> None:
    suspect(run, {3: "noise", 5: "noise", 8: "noise", 9: "blank"})
    keep_picture(run, 5)
    keep_picture(run, 8)
    (run / "suspected/00000008.png").write_bytes(b"no picture")
    keep_picture(run, 30)  # not suspected any more
    text = section(run)
    assert headings(text) == ["Noise: 3 images", "Blank: 1 image"]
    assert text.count("<img") == 1
    assert re.findall('<td class="path">(.*?)</td>', text) == [
        "photos/003.jpg",
        "photos/008.jpg",
        "photos/009.jpg",
    ]


def test_a_run_without_pictures_lists_names(run: Path) -> None:
    suspect(run, {3: "noise"})
    text = section(run)
    assert "<img" not in text
    assert "photos/003.jpg" in text


def test_what_finds_no_room_is_counted(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bradd.reporting.suspected.PICTURES_SHOWN", 2)
    monkeypatch.setattr("bradd.reporting.suspected.NAMES_SHOWN", 3)
    suspect(run, dict.fromkeys(range(10, 19), "blank"))
    for index in (10, 11):
        keep_picture(run, index)
    text = section(run)
    assert text.count("<img") == 2
    assert re.findall('<td class="path">photos/(.*?).jpg</td>', text) == ["012", "013", "014"]
    assert "4 more stand in the column “guard” of selection.parquet in each round" in text


def test_an_image_suspected_in_several_rounds_counts_once(run: Path) -> None:
    suspect(run, {3: "noise"}, cycles=(1,))
    suspect(run, {3: "noise", 4: "noise"}, cycles=(2,))
    (found,) = suspected_in_run(read_run(run))
    assert (found.count, found.names) == (2, ["photos/003.jpg", "photos/004.jpg"])


def test_images_of_one_name_are_told_apart_by_their_index(run: Path) -> None:
    suspect(run, {3: "noise", 4: "noise"})
    for cycle in (1, 2):
        path = run / f"rounds/{cycle:02d}/selection.parquet"
        rows = [row | {"name": "same.jpg"} for row in pq.read_table(path).to_pylist()]
        pq.write_table(pa.Table.from_pylist(rows), path)
    (found,) = suspected_in_run(read_run(run))
    assert (found.count, found.names) == (2, ["same.jpg"] * 2)


@pytest.mark.parametrize("with_picture", [True, False])
def test_hostile_names_and_reasons_are_text(
    run: Path, hostile_name: str, with_picture: bool
) -> None:
    reason = "<script>\"&' reason"
    suspect(run, {0: reason})
    if with_picture:
        keep_picture(run, 0)
    text = section(run)
    assert "<script" not in text
    assert hostile_name in unescape(text)
    assert unescape(headings(text)[0]) == f"{reason.capitalize()}: 1 image"
    page = Page(text)
    alts = [image["alt"] for image in page.of("img")]
    assert alts == [hostile_name] * with_picture


def test_no_section_where_nothing_is_suspected(run: Path) -> None:
    suspect(run, {})
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert "suspected" not in page.ids
    assert "#suspected" not in [a["href"] for a in page.of("a")]


def test_same_pictures_same_page(run: Path) -> None:
    suspect(run, {3: "noise", 4: "blank"})
    keep_picture(run, 3)
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first
    keep_picture(run, 4)
    assert write_report(run).read_bytes() != first
