"""`bradd balance` from folder to tables, pictures and page, and what it refuses."""

from __future__ import annotations

import csv
import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import timm
import torch
from torchvision.datasets import ImageFolder

from bradd.cli import main
from bradd.commands.balance import balance
from bradd.errors import BraddError
from bradd.generate import Augment
from bradd.ranking import Ranking, rank
from bradd.ranking_folder import write_ranking
from bradd.select import Band, KNNDistance, Rare
from bradd.signature import parse
from planted import COPIES, PICTURES, SUSPECTED, plant

FILES = {"scores.parquet", "anchors.csv", "unreadable.csv", "balance.json", "report.html"}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="module")
def settings(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    torch.manual_seed(0)
    weights = tmp_path_factory.mktemp("weights") / "test_vit.pth"
    torch.save(timm.create_model("test_vit").state_dict(), weights)
    return {
        "data": str(planted),
        "encoder": "timm:test_vit",
        "weights": str(weights),
        "n_anchors": 6,
        "num_workers": 0,
        "max_unreadable": 0.1,
        "dry_run": True,
    }


@pytest.fixture(scope="module")
def out(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return balance(out=tmp_path_factory.mktemp("out") / "ranked", **settings)


@pytest.fixture(scope="module")
def ranking(settings: dict[str, Any]) -> Ranking:
    given = {name: settings[name] for name in ("encoder", "weights", "n_anchors", "max_unreadable")}
    return rank(settings["data"], **given)


def refused(**arguments: Any) -> str:
    with pytest.raises(BraddError) as caught:
        balance(**{"dry_run": True, **arguments})
    return str(caught.value)


def test_the_table_has_a_row_for_every_readable_image(out: Path, ranking: Ranking) -> None:
    table = pq.read_table(out / "scores.parquet").to_pydict()
    assert {path.name for path in out.iterdir()} == FILES
    assert table["index"] == list(range(len(ranking)))
    assert table["name"] == ranking.names
    np.testing.assert_allclose(table["score"], ranking.scores, atol=1e-5)
    assert [rank or 0 for rank in table["rank"]] == ranking.ranks.tolist()
    assert np.flatnonzero(table["selected"]).tolist() == sorted(ranking.anchors)
    guarded = {name: why for name, why in zip(table["name"], table["guard"], strict=True) if why}
    assert guarded == SUSPECTED
    for copy, original in COPIES.items():
        one, other = (table["stands_for"][table["name"].index(name)] for name in (copy, original))
        assert one == other
    candidates = [row for row, possible in enumerate(table["candidate"]) if possible]
    assert len(candidates) == PICTURES + 1
    assert {table["rank"][row] for row in candidates} == set(range(1, PICTURES + 2))


def test_anchors_have_order_rank_name_score_and_path(
    out: Path, ranking: Ranking, planted: Path
) -> None:
    with (out / "anchors.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for column in ("order", "rank"):
        assert [row[column] for row in rows] == [str(place) for place in range(1, 7)]
    assert [row["name"] for row in rows] == [ranking.names[row] for row in ranking.anchors]
    assert [row["path"] for row in rows] == [str(planted / row["name"]) for row in rows]
    assert all(float(a["score"]) >= float(b["score"]) for a, b in itertools.pairwise(rows))
    with (out / "unreadable.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["cut.png", "text.jpg"]


def test_a_rank_means_the_same_in_both_tables(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(200, 4))
    found = rank(embeddings=values, selector=Band(), n_anchors=5)
    write_ranking(found, tmp_path)
    scores = pq.read_table(tmp_path / "scores.parquet").to_pydict()
    with (tmp_path / "anchors.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["order", "rank", "name", "score", "path"]
    assert [int(row["order"]) for row in rows] == [1, 2, 3, 4, 5]
    ranks = [scores["rank"][scores["name"].index(row["name"])] for row in rows]
    assert [int(row["rank"]) for row in rows] == ranks
    assert ranks != sorted(ranks)


def test_what_was_done_is_written_down(out: Path, ranking: Ranking, planted: Path) -> None:
    facts = json.loads((out / "balance.json").read_text())
    assert facts["data"] == str(planted)
    assert facts["encoder"]["name"] == "timm:test_vit"
    assert facts["encoder"]["fingerprint"] == ranking.facts["encoder"]["fingerprint"]
    assert facts["selector"]["settings"]["init_args"] == {
        "neighbourhood": None,
        "draws": 3,
    }
    assert facts["selector"]["neighbourhood"] == "groups of fewer than 5 images count as rare"
    assert facts["counts"] == {
        "images": PICTURES + 7,
        "unreadable": 2,
        "suspected": 3,
        "reasons": {"blank": 1, "noise": 1, "extreme aspect": 1},
        "copies": 3,
        "candidates": PICTURES + 1,
        "anchors": 6,
    }
    assert set(facts["seconds"]) == {"check", "guard", "embed", "select"}
    assert {"bradd", "torch", "timm"} <= set(facts["versions"])


def test_the_same_command_gives_the_same_bytes(
    out: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    again = balance(out=tmp_path / "again", **settings)
    for name in ("scores.parquet", "anchors.csv", "unreadable.csv"):
        assert (again / name).read_bytes() == (out / name).read_bytes()


def test_a_folder_that_holds_something_is_left_alone(
    out: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert f"{out} holds a ranking already" in refused(**settings | {"out": out})
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (tmp_path / "notes.txt").write_text("mine")
    assert "holds notes.txt already" in refused(**settings | {"out": tmp_path})
    (tmp_path / "config.yaml").write_text("seed: 0")
    assert "holds a run" in refused(**settings | {"out": tmp_path, "overwrite": True})
    assert "cannot hold a ranking" in refused(**settings | {"out": tmp_path / "notes.txt"})


def test_overwrite_replaces_a_ranking_and_nothing_else(
    out: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    copy = shutil.copytree(out, tmp_path / "copy")
    (copy / "notes.txt").write_text("mine")
    balance(out=copy, **settings | {"overwrite": True, "n_anchors": 2})
    assert json.loads((copy / "balance.json").read_text())["counts"]["anchors"] == 2
    assert {path.name for path in copy.iterdir()} == FILES | {"notes.txt"}


def test_overwrite_leaves_what_is_no_ranking(tmp_path: Path) -> None:
    found = rank(embeddings=np.random.default_rng(0).normal(size=(40, 4)))
    mine = {name: f"my {name}" for name in ("report.html", "scores.parquet", "notes.txt")}
    for name, text in mine.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(BraddError, match=r"holds scores.parquet, report.html but no balance.json"):
        write_ranking(found, tmp_path, overwrite=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == mine
    for name in ("report.html", "scores.parquet"):
        (tmp_path / name).unlink()
    write_ranking(found, tmp_path, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"notes.txt"}


def test_a_full_disk_leaves_no_ranking_that_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rank(embeddings=np.random.default_rng(0).normal(size=(40, 4)))
    write_ranking(found, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(path: Path, content: str | bytes) -> None:
        raise BraddError("The disk is full")

    monkeypatch.setattr("bradd.ranking_folder.write_atomically", full)
    with pytest.raises(BraddError, match="disk is full"):
        write_ranking(found, tmp_path, overwrite=True)
    del before["balance.json"]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("inside", [".", "ranked", "ranked/now"])
def test_a_ranking_is_not_written_among_the_images(
    planted: Path, settings: dict[str, Any], inside: str
) -> None:
    before = sorted(planted.rglob("*"))
    message = refused(**settings | {"out": planted / inside, "overwrite": True})
    assert "lies inside data" in message
    assert sorted(planted.rglob("*")) == before


def test_what_cannot_be_is_said_before_any_image_is_read(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("images were read")

    monkeypatch.setattr("bradd.ranking.subject.scan", read)
    given = settings | {"out": tmp_path / "new"}
    by_file = {"encoder": None, "weights": None, "embeddings": tmp_path / "e.npy"}
    assert "An encoder is needed" in refused(**given | by_file | {"dry_run": False})
    assert "resume goes without dry_run" in refused(**given | {"resume": True})
    assert "--out FOLDER" in refused(**given | {"out": None})
    assert "--data FOLDER" in refused(**given | {"data": None})
    assert "Say what embeds" in refused(**given | {"encoder": None, "weights": None})
    assert "Did you mean test_vit" in refused(**given | {"encoder": "timm:test_vitt"})
    assert "but there are 69 images" in refused(**given | {"n_anchors": 1000})
    np.save(tmp_path / "e.npy", np.zeros((3, 2)))
    assert "has 3 rows, but there are 69 images" in refused(**given | by_file)
    assert "no such file" in refused(**given | by_file | {"embeddings": "none.npy"})
    assert "neither a file or folder" in refused(**given | {"data": str(tmp_path / "none")})
    assert "cannot hold a ranking" in refused(**given | {"out": tmp_path / "e.npy" / "new"})
    assert "cannot hold a ranking" in refused(**given | {"out": tmp_path / ("n" * 300)})
    assert [path.name for path in tmp_path.iterdir()] == ["e.npy"]


def test_embeddings_alone_are_ranked_from_a_file(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(50, 4))
    np.save(tmp_path / "e.npy", values)
    out = balance(out=tmp_path / "out", embeddings=tmp_path / "e.npy", n_anchors=4, dry_run=True)
    table = pq.read_table(out / "scores.parquet").to_pydict()
    assert table["score"] == KNNDistance().score(values).tolist()
    page = (out / "report.html").read_text()
    assert "<img" not in page
    assert "there are no pixels to guard" in page


def test_the_command_line_reads_every_setting(tmp_path: Path) -> None:
    arguments = "--data photos --encoder timm:x --out o --selector rare --guard false --dry_run"
    given = parse(balance, [*arguments.split(), "--selector.neighbourhood=7"])
    assert given["dry_run"] is True
    assert given["guard"] is False
    assert isinstance(given["selector"], Rare)
    assert given["selector"].neighbourhood == 7


def test_names_that_are_no_utf_8_are_ranked(tmp_path: Path) -> None:
    photos = plant(tmp_path / "photos")
    strange = os.fsdecode(b"caf\xe9.png")
    (photos / "00.png").rename(photos / strange)
    values = np.random.default_rng(0).normal(size=(PICTURES + 9, 4))
    np.save(tmp_path / "e.npy", values)
    out = balance(
        photos,
        tmp_path / "out",
        embeddings=tmp_path / "e.npy",
        max_unreadable=0.1,
        n_anchors=PICTURES,
        num_workers=0,
        dry_run=True,
    )
    assert "caf\\xe9.png" in pq.read_table(out / "scores.parquet")["name"].to_pylist()


def test_from_the_terminal(
    settings: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bradd.cli.COMMANDS", {"balance": ""})
    arguments = [f"--{name}={value}" for name, value in settings.items() if name != "dry_run"]
    assert main(["balance", *arguments, f"--out={tmp_path / 'out'}", "--dry_run"]) == 0
    shown = capsys.readouterr().out
    assert "suspected broken: 3, copies: 3, unreadable: 2" in shown
    assert f"Look at {tmp_path / 'out' / 'report.html'}" in shown


@pytest.fixture(scope="module")
def balanced(
    planted: Path, settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What a balance of photos in subfolders writes, with the control as generator."""
    root = tmp_path_factory.mktemp("nested") / "photos"
    for number, path in enumerate(sorted(planted.iterdir())):
        folder = root / ("even" if number % 2 == 0 else "odd/deep")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    shutil.copy(planted / "00.png", root / "alone.png")
    return balance(
        **settings | {"data": str(root), "dry_run": False, "n_anchors": 12},
        out=root.parent / "balanced",
        generator=Augment(),
        n_variations=2,
    )


def test_accepted_variations_lie_in_their_anchors_subfolders(balanced: Path) -> None:
    with (balanced / "balanced" / "metadata.csv").open(newline="") as file:
        listed = {row["file_name"]: row for row in csv.DictReader(file)}
    found = {
        path.relative_to(balanced / "balanced").as_posix(): path
        for path in (balanced / "balanced").rglob("*.png")
    }
    assert found.keys() == listed.keys()
    rows = pq.read_table(balanced / "ledger.parquet").to_pylist()
    assert len(rows) == len(found) == 24
    for row in rows:
        anchor = Path(row["anchor_name"])
        (name,) = [
            name
            for name, one in listed.items()
            if one["anchor"] == str(anchor) and one["seed"] == str(row["seed"])
        ]
        assert Path(name).parent == (anchor.parent if anchor.parent.name else Path("variations"))
        assert found[name].read_bytes() == (balanced / row["file"]).read_bytes()


def test_any_image_folder_loader_reads_the_variations(balanced: Path) -> None:
    images = ImageFolder(str(balanced / "balanced"))
    assert len(images) == 24
    assert set(images.classes) <= {"even", "odd", "variations"}


def test_the_anchors_are_those_of_a_dry_run(
    balanced: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    data = {"data": str(balanced.parent / "photos"), "n_anchors": 12}
    dry = balance(**settings | data, out=tmp_path / "dry")
    with (dry / "anchors.csv").open(newline="") as file:
        wanted = {row["name"] for row in csv.DictReader(file)}
    ledger = pq.read_table(balanced / "ledger.parquet")
    assert set(ledger["anchor_name"].to_pylist()) == wanted


def test_a_balance_that_was_stopped_goes_on(
    balanced: Path, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings | {"data": str(balanced.parent / "photos"), "dry_run": False, "n_anchors": 12}
    calls = 0
    generate = Augment.generate

    def stop(self: Augment, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return generate(self, *arguments)

    monkeypatch.setattr(Augment, "generate", stop)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        balance(**given, out=out, generator=Augment(), n_variations=2)
    assert not (out / "balanced").exists()
    balance(out=out, resume=True)
    assert calls == 3  # the first group of anchors was kept
    assert pq.read_table(out / "ledger.parquet") == pq.read_table(balanced / "ledger.parquet")
    with pytest.raises(BraddError, match="seed was 0"):
        balance(out=out, resume=True, seed=1)
    with pytest.raises(BraddError, match="holds a run already"):
        balance(**given, out=out)
    assert "Accepted" in (out / "report.html").read_text()
