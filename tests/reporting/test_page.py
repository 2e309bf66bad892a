from __future__ import annotations

import base64
import gzip
import hashlib
import html
import itertools
import json
import os
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bradd.errors import BraddError
from bradd.files import write_atomically
from bradd.reporting import write_report
from bradd.reporting.numbers import ABSENT
from html_page import Page

SECTIONS = {
    "key-numbers": "metrics.csv",
    "evaluations": "results.json",
    "scores": "rounds",
    "rounds": "rounds",
    "suspected": "rounds",
    "training": "metrics.csv",
    "time": "rounds",
    "subset": "manifest.json",
    "unreadable": "unreadable.csv",
    "settings": "config.yaml",
}


def page_of(run: Path) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))


def test_page_is_well_formed_with_unique_ids_and_links_that_lead_somewhere(report: str) -> None:
    page = Page(report)
    assert page.stack == []
    assert len(page.ids) == len(set(page.ids))
    targets = [str(a["href"]) for _, a in page.tags if "href" in a]
    assert len(targets) > 10
    assert {target.removeprefix("#") for target in targets} <= set(page.ids)
    used = re.findall(r"url\(#([^)]+)\)", report)
    assert used
    assert set(used) <= set(page.ids)


def test_page_loads_nothing(report: str) -> None:
    page = Page(report)
    readable = re.sub(r'<script type="text/plain".*?</script>', "", report, flags=re.DOTALL)
    assert not re.search(r"https?:|//cdn|@import", readable)
    assert {"link", "iframe", "object"}.isdisjoint(tag for tag, _ in page.tags)
    assert not any("src" in a for a in page.of("script"))
    sources = [str(a["src"]) for _, a in page.tags if "src" in a]
    sources += page.data("pictures-data")["sources"] + page.data("map-data")["images"]
    assert all(re.match("data:image/(webp|png);base64,", source) for source in sources)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)", readable))
    assert not any(name.startswith("on") for _, a in page.tags for name in a)


def test_only_the_pages_own_scripts_may_run(report: str) -> None:
    """The policy names the hash of each script that runs, and of no other."""
    page = Page(report)
    policy = str(next(a["content"] for a in page.of("meta") if "http-equiv" in a))
    run = page.scripts["None"]
    plotly = gzip.decompress(base64.b64decode(page.scripts["plotly-data"]))
    hashes = [hashlib.sha256(script).digest() for script in (run.encode(), plotly)]
    allowed = [f"'sha256-{base64.b64encode(each).decode()}'" for each in hashes]
    assert policy.startswith("default-src 'none'")
    assert re.findall("'sha256-[^']*'", policy) == allowed
    assert "unsafe-inline" not in policy.split("script-src")[1]
    types = [a.get("type") for a in page.of("script")]
    assert types.count(None) == 1
    assert set(types) == {None, "application/json", "text/plain"}


def test_hostile_names_are_text(run: Path, hostile_name: str) -> None:
    metrics = run / "metrics.csv"
    metrics.write_text(metrics.read_text().replace("learning_rate", '"x ""><script>\\1"'))
    page = page_of(run)
    assert len(page.of("script")) == 6  # pictures, two galleries, map, Plotly and the page's own
    names = [anchor["name"] for anchor in page.data("gallery-data-1")["anchors"]]
    assert hostile_name in names
    assert all("<" not in page.scripts[id] for id in ("gallery-data-1", "map-data"))


def test_draws_refusals_and_provenance_are_told(report: str, run: Path) -> None:
    text = " ".join(" ".join(Page(report).text).split())
    said = "9 of 9 variations accepted; of 12 draws 3 refused:"
    assert text.count(said) == 2
    assert text.count("revision 1 , licence MIT, external data none.") == 2
    assert "75.0 % of 24 generated" in text


def test_what_external_data_are_behind_is_told(run: Path) -> None:
    def told() -> str:
        text = " ".join(" ".join(page_of(run).text).split())
        return text.split("External data ")[1][:60]

    assert told().startswith("none generators saw these images only")
    table = pq.read_table(run / "ledger.parquet").to_pylist()
    refused = [row | {"external_data": not row["accepted"]} for row in table]
    pq.write_table(pa.Table.from_pylist(refused), run / "ledger.parquet")
    assert told().startswith("none")  # training never saw them
    accepted = [row | {"external_data": True} for row in table]
    pq.write_table(pa.Table.from_pylist(accepted), run / "ledger.parquet")
    assert told().startswith("yes behind flow")
    pq.write_table(pa.Table.from_pylist(table), run / "ledger.parquet")
    with (run / "config.yaml").open("a") as file:
        file.write("weights: timm\n")
    assert told().startswith("yes behind the weights that training started from")


def test_accessible_structure(report: str) -> None:
    page = Page(report)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    assert all(a.get("alt") for a in page.of("img"))
    assert all(a.get("aria-label") for a in page.of("svg"))
    regions = [a for a in page.of("div") if a.get("class", "").startswith("scroll")]  # type: ignore[union-attr]
    assert len(regions) == len(page.of("table"))


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_have_aa_contrast(report: str, theme: int) -> None:
    """WCAG 2.2, success criterion 1.4.3: at least 4.5 for text."""
    blocks = re.findall(r":root \{(.*?)\}", report, flags=re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", blocks[theme]))
    pairs = [(f, b) for f in ("ink", "muted", "series-1") for b in ("page", "card")]
    pairs += [("series-2", "card"), ("refused", "card"), ("ink", "warning")]
    for front, back in pairs:
        light, dark = sorted((luminance(colours[front]), luminance(colours[back])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (front, back)


def test_complete_run_has_every_section_and_its_figures(report: str) -> None:
    page = Page(report)
    assert set(SECTIONS) <= set(page.ids)
    text = " ".join(" ".join(page.text).split())
    for expected in (
        "61.2 % ± 1.5",
        "64.8 % ± 1.5",
        "71.2 %",
        "33.5 %",
        "12,345",
        "1 h 02 min",
        "One colour only: 1 image",
        "photos/007.jpg",
        "broken.jpg",
        "bradd.select.KNNDistance",
        "selector.k",
        "few: under 20 images",
        "A note of round 2.",
        "75.0 % of 24 generated",
    ):
        assert expected in text
    assert text.count("the generator hardly follows its anchors") == 1  # round 1 alone


def set_facts(run: Path, cycle: int, **facts: object) -> None:
    path = run / f"rounds/{cycle:02d}/round.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def test_copies_and_signal_of_a_round_are_said_in_words(run: Path) -> None:
    set_facts(run, 1, copies=1, signal=None)
    strength = {"share_of_variance": 0.625, "stability": 0.75}
    set_facts(run, 2, copies=1234, signal=strength)
    rounds = rounds_of(write_report(run).read_text(encoding="utf-8"))
    assert "1 image is a copy or near copy of others" in rounds[1]
    assert "Signal: not measured" in rounds[1]
    assert "1,234 images are copies or near copies of others" in rounds[2]
    assert "75.0 % of their anchors in common, and 62.5 % of the variance" in rounds[2]
    assert copies_in_table(run) == ["1", "1,234"]


def test_a_round_without_copies_says_so_in_the_table_alone(run: Path) -> None:
    set_facts(run, 1, copies=0)
    assert copies_in_table(run) == ["0", ABSENT]
    assert "near copies" not in rounds_of(write_report(run).read_text(encoding="utf-8"))[1]


def test_rounds_of_before_copies_and_signal_were_kept_say_nothing_of_them(
    report: str, run: Path
) -> None:
    assert not {"copies", "signal"} & set(json.loads((run / "rounds/01/round.json").read_text()))
    for text in rounds_of(report).values():
        assert "Signal" not in text
        assert " cop" not in text
    assert copies_in_table(run) == [ABSENT, ABSENT]


def rounds_of(html: str) -> dict[int, str]:
    """What stands below the title of each round."""
    sections = re.findall(
        r'<section class="round" id="round-(\d+)">(.*?)</section>', html, re.DOTALL
    )
    return {int(cycle): re.sub(r"data:[^\"]*", "", text) for cycle, text in sections}


def copies_in_table(run: Path) -> list[str]:
    html = write_report(run).read_text(encoding="utf-8")
    table = re.search(r'aria-label="Rounds".*?</table>', html, re.DOTALL)
    assert table is not None
    head, *rows = re.findall(r"<tr>(.*?)</tr>", table[0], re.DOTALL)
    column = re.findall(r"<th [^>]*>(.*?)</th>", head).index("Copies")
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)[column] for row in rows]


@pytest.mark.parametrize(
    "absent",
    [
        {"rounds", "ledger.parquet"},
        {"metrics.csv", "unreadable.csv"},
        {"results.json", "manifest.json", "config.yaml"},
    ],
    ids=["rounds", "training", "results"],
)
def test_a_section_without_its_files_is_left_out(run: Path, absent: set[str]) -> None:
    for name in absent:
        shutil.rmtree(run / name) if name == "rounds" else (run / name).unlink()
    gone = {section for section, file in SECTIONS.items() if file in absent} - {"key-numbers"}
    page = page_of(run)
    assert gone.isdisjoint(page.ids)
    assert set(SECTIONS) - gone <= set(page.ids)


def test_young_run(young_run: Path) -> None:
    page = page_of(young_run)
    assert {"key-numbers", "training", "settings"} == set(page.ids) & set(SECTIONS)
    assert len(page.of("svg")) == 5
    labels = [str(a["aria-label"]) for a in page.of("svg")]
    assert any("4.5 at epoch 0, 4.25 at epoch 1" in label for label in labels)
    assert not page.of("img")


def test_a_missing_picture_has_no_tile(run: Path) -> None:
    next((run / "rounds/01/variations").iterdir()).unlink()
    next((run / "rounds/02/variations").iterdir()).write_bytes(b"no picture")
    tiles = page_of(run).data("pictures-data")["tiles"]
    assert len(tiles) == 2 * 3 * 5
    assert tiles.count(None) == 2


def test_the_map_has_every_anchor_and_accepted_variation(run: Path) -> None:
    maps = page_of(run).data("map-data")
    assert len(maps["images"]) == 40
    rows = pq.read_table(run / "ledger.parquet").to_pylist()
    for one in maps["rounds"]:
        table = pq.read_table(run / f"rounds/{one['cycle']:02d}/selection.parquet").to_pydict()
        chosen = [index for index in table["index"] if table["selected"][index]]
        assert sorted(one["anchors"]["index"]) == chosen
        assert one["images"]["of"] == [index for index in range(40) if index not in chosen]
        for index, x, y in zip(one["anchors"]["index"], *one["anchors"]["at"], strict=True):
            assert x == pytest.approx(table["map_x"][index], rel=1e-3)
            assert y == pytest.approx(table["map_y"][index], rel=1e-3)
        accepted = [row for row in rows if row["cycle"] == one["cycle"] and row["accepted"]]
        drawn = [[row["anchor"], row["number"], row["attempt"]] for row in accepted]
        assert one["variations"]["draw"] == drawn
        assert one["variations"]["at"] == [[0.25] * 9, [-0.5] * 9]


def test_runs_of_before_there_was_a_map_have_a_page_without(run: Path) -> None:
    for cycle in (1, 2):
        path = run / f"rounds/{cycle:02d}/selection.parquet"
        pq.write_table(pq.read_table(path).drop_columns(["map_x", "map_y", "group"]), path)
    table = pq.read_table(run / "ledger.parquet").drop_columns(["map_x", "map_y"])
    pq.write_table(table, run / "ledger.parquet")
    page = page_of(run)
    assert "map" not in page.ids
    assert "plotly-data" not in page.scripts
    assert page.data("gallery-data-2")["anchors"]


def test_clusters_or_folders_are_told_with_their_share_of_the_anchors(run: Path) -> None:
    def rows_of(text: str) -> list[list[str]]:
        table = re.findall(r'aria-label="Groups of round 1".*?</table>', text, re.DOTALL)[0]
        return [
            re.sub("<[^>]*>", " ", row).split() for row in re.findall("<tr>.*?</tr>", table)[1:]
        ]

    path = run / "rounds/01/selection.parquet"
    table = pq.read_table(path)
    chosen = [i for i, selected in enumerate(table["selected"].to_pylist()) if selected]
    alone = pa.array([f"{i}.png" for i in range(40)])
    pq.write_table(table.set_column(1, "name", alone), path)
    text = write_report(run).read_text()
    assert all(a.get("alt") for a in Page(text).of("img"))
    assert len(Page(text).of("img")) >= 3 * 6
    clusters = rows_of(text)
    assert len(clusters) == 3
    for row in clusters:
        number = int(row[1]) - 1
        assert int(row[2]) == sum(i // 14 == number for i in range(40))
        assert int(row[5]) == sum(i // 14 == number for i in chosen)
    names = [f"{'even' if i % 2 == 0 else 'odd'}/{i}.png" for i in range(40)]
    pq.write_table(table.set_column(1, "name", pa.array(names)), path)
    folders = {row[0]: row for row in rows_of(write_report(run).read_text())}
    assert set(folders) == {"even", "odd"}
    assert int(folders["even"][1]) == 20
    assert int(folders["even"][4]) == sum(i % 2 == 0 for i in chosen)


def test_same_run_same_page(report: str, run: Path) -> None:
    assert write_report(run).read_text(encoding="utf-8") == report


def test_a_failed_write_leaves_the_old_page(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run / "report.html").write_text("the old page")
    before = set(run.iterdir())

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(BraddError, match=r"disk is full: .*report\.html"):
        write_report(run)
    assert (run / "report.html").read_text() == "the old page"
    assert set(run.iterdir()) == before


def test_content_is_on_the_disk_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    replace, fsync = os.replace, os.fsync

    def spy_fsync(descriptor: int) -> None:
        calls.append("fsync")
        fsync(descriptor)

    def spy_replace(source: Path, target: Path) -> None:
        calls.append("replace")
        assert source.read_bytes() == b"whole"
        replace(source, target)

    monkeypatch.setattr("os.fsync", spy_fsync)
    monkeypatch.setattr("os.replace", spy_replace)
    write_atomically(tmp_path / "file", b"whole")
    assert calls == ["fsync", "replace", "fsync"]  # of the file, of the folder
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_title_is_the_escaped_name_of_the_folder(young_run: Path) -> None:
    folder = young_run.rename(young_run.with_name("a&b"))
    assert f"<h1>{html.escape('a&b')}</h1>" in write_report(folder).read_text()
