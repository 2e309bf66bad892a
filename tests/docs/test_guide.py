"""What the guide and the README show runs as it stands there, but for numbers that take long."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from bradd import Ledger, Pool
from bradd.cli import main
from bradd.evaluation.results import read_results
from bradd.fingerprint import state_fingerprint
from bradd.ssl.backbone import Backbone, create_backbone, save_backbone
from samples import labelled_photos, picture

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs/guide"

FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)

NARROW = Backbone("resnet18", 24, {"channels": [8, 8, 16, 16]}, stem_stride=1)
SMALL_ROUND = "--n_anchors 3 --n_variations 2 --num_workers 0"
SMALL_RUN = (
    "--cycles 2 --epochs_per_cycle 1 --batch_size 8 --backbone resnet18 "
    f"--backbone_kwargs '{{\"channels\": [4, 4, 8, 8]}}' {SMALL_ROUND}"
)
QUICK_FIT = "RepresentationDiffusion(steps=2, warm_steps=2, channels=(8,))"
SMALL_FIT = "--generator.steps 2 --generator.warm_steps 2 --generator.channels [8]"


@dataclass(frozen=True)
class Block:
    """A fenced block; one with a title is a file of that name."""

    language: str
    title: str
    text: str


def blocks(page: Path, changes: dict[str, str]) -> list[Block]:
    """A page's blocks, with some of its text replaced; what is to be replaced must be there."""
    text = page.read_text(encoding="utf-8")
    for shown, run in changes.items():
        assert shown in text, f"{page.name} does not say {shown!r} any more"
        text = text.replace(shown, run)
    return [Block(*found) for found in FENCE.findall(text)]


def run_page(page: Path, changes: dict[str, str]) -> dict[str, object]:
    """Do what the page says, from top to bottom, in this folder; the names its Python leaves."""
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page, changes):
        if block.title:
            Path(block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            with modules_here(found=True):
                exec(compile(block.text, page.name, "exec"), names)
        elif block.language == "bash":
            for line in block.text.replace("\\\n", " ").splitlines():
                run_line(line)
        else:
            raise AssertionError(f"{page.name}: nothing runs a {block.language} block")
    return names


def run_line(line: str) -> None:
    """One line for a shell: a command of bradd, or a Python file."""
    words = shlex.split(line, comments=True)
    here = words[:1] == ["PYTHONPATH=."]
    command, *arguments = words[here:]
    if command == "python":
        with modules_here(found=True):
            runpy.run_path(arguments[0], run_name="__main__")
        return
    assert command == "bradd", f"nothing runs {line!r}"
    with modules_here(found=here):
        assert main(arguments) == 0, line


@contextmanager
def modules_here(found: bool) -> Iterator[None]:
    """Modules in this folder are found, as by `python FILE`, or not, as by an installed command."""
    before = list(sys.path)
    elsewhere = [path for path in before if path not in ("", os.getcwd())]
    sys.path[:] = [os.getcwd(), *elsewhere] if found else elsewhere
    try:
        yield
    finally:
        sys.path[:] = before
        for name, module in list(sys.modules.items()):
            if Path(getattr(module, "__file__", None) or "/").parent == Path.cwd():
                del sys.modules[name]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages name: photos, labelled ones, and a finished run."""
    for number in range(40):
        path = tmp_path / "photos" / ("a" if number % 3 else "b") / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number, 24).save(path)
    labelled_photos(tmp_path / "labelled-photos")
    torch.manual_seed(0)
    run = tmp_path / "runs/photos"
    run.mkdir(parents=True)
    save_backbone(create_backbone(NARROW), NARROW, run / "backbone.safetensors", {})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def accepted(folder: Path, cycle: int = 1) -> int:
    return sum(row.accepted for row in Ledger(folder).variations(cycle))


def test_a_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "runs/photos/backbone.safetensors").unlink()  # the page makes its own run
    names = run_page(
        GUIDE / "own-folder.md",
        {
            "--data photos --out runs/photos\n": (
                f"--data photos --out runs/photos {SMALL_RUN} {SMALL_FIT}\n"
            ),
            "--out runs/short --cycles 2 --epochs_per_cycle 3": (
                f"--out runs/short {SMALL_RUN} {SMALL_FIT}"
            ),
            "cycles: 3\nepochs_per_cycle: 100\nn_anchors: 200": (
                "cycles: 2\nepochs_per_cycle: 1\nn_anchors: 3"
            ),
            "bradd pretrain --config photos.yaml --out runs/moco": (
                f"bradd pretrain --config photos.yaml --out runs/moco {SMALL_RUN} "
                "--generator Duplicate"
            ),
        },
    )
    assert "round 1: " in capsys.readouterr().out
    assert np.shape(names["embeddings"]) == (40, 8)  # type: ignore[arg-type]
    for run in ("photos", "short", "moco"):
        assert (here / "runs" / run / "report.html").is_file()
    assert (here / "runs/photos/results.json").is_file()
    assert "KNNDistance(k=10)" in (here / "runs/moco/rounds/01/round.json").read_text()


SMALL_LOOP = {
    "batch_size = 128": "batch_size = 8",
    "num_workers=4": "num_workers=0",
    "n_anchors=100": "n_anchors=3",
    "input_size=64": "input_size=32",
    "image_size=64": "image_size=32",
    "--image_size 64": "--image_size 32",
    "VICRegProjectionHead(512, 2048, 2048)": "VICRegProjectionHead(512, 32, 32)",
    "every_n_epochs=20": "every_n_epochs=1",
    "max_epochs=100": "max_epochs=2",
    "cycles, epochs_per_cycle, batch_size = 3, 20, 128": (
        "cycles, epochs_per_cycle, batch_size = 2, 1, 8"
    ),
    "RepresentationDiffusion()": QUICK_FIT,
}


def test_a_loop_that_is_gone_on_with(here: Path) -> None:
    names = run_page(GUIDE / "own-loop.md", SMALL_LOOP)
    (result,) = read_results(here / "runs/plain/results.json")
    backbone = names["backbone"]
    assert isinstance(backbone, nn.Module)
    assert result["encoder_fingerprint"] == state_fingerprint(backbone.state_dict())
    assert Ledger(here / "runs/plain").committed() == [1]
    assert isinstance(names["pool"], Pool)
    assert len(names["pool"]) == 40 + accepted(here / "runs/plain")
    vicreg = here / "runs/vicreg"
    assert Ledger(vicreg).committed() == [1]
    before = torch.load(vicreg / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert before == 2 * 5
    script = here / "train.py"
    script.write_text(script.read_text().replace("max_epochs=2", "max_epochs=3"))
    run_line("python train.py")
    assert Ledger(vicreg).committed() == [1, 2]
    after = torch.load(vicreg / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert after == before + 5


def test_an_encoder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_page(
        GUIDE / "own-encoder.md",
        {
            "timm:vit_small_patch16_224.dino": "run:runs/photos",  # would be downloaded
            "--n-variations 5": f"{SMALL_ROUND} {SMALL_FIT}",
            "n_anchors=100": "n_anchors=3",
            "RepresentationDiffusion()": QUICK_FIT,
        },
    )
    assert "variations accepted" in capsys.readouterr().out
    for folder in ("ranked", "ranked-by-colour", "ranked-by-embeddings"):
        assert pq.read_table(here / folder / "scores.parquet").num_rows == 40
    made = len(list((here / "balanced/balanced").rglob("*.png")))
    assert made == accepted(here / "balanced")
    assert Ledger(here / "runs/curated").committed() == [1]


def test_a_generator(here: Path) -> None:
    run_page(
        GUIDE / "own-generator.md",
        {
            "--out relit": f"--out relit {SMALL_ROUND}",
            "--out runs/eigenpictures": f"--out runs/eigenpictures {SMALL_RUN}",
            "n_anchors=100": "n_anchors=3",
        },
    )
    (relit, *_) = Ledger(here / "relit").variations(1)
    assert relit.generator.startswith("Function(function=my_models:relit")
    assert (relit.licence, relit.external_data) == ("none needed", False)
    rows = Ledger(here / "runs/eigenpictures").variations(1)
    assert rows[0].generator == "Eigenpictures(components=32, strength=0.3)"
    assert len({row.sha256 for row in rows}) == len(rows)
    assert np.mean([row.nearer_own for row in Ledger(here / "runs/moved").variations(1)]) > 0.6


def test_a_selector(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_page(
        GUIDE / "own-selector.md",
        {"--out runs/explored": f"--out runs/explored --generator Duplicate {SMALL_RUN}"},
    )
    printed = capsys.readouterr().out
    assert "anchors by Mahalanobis" in printed
    assert "anchors by WithExploration" in printed
    assert pq.read_table(here / "far/scores.parquet").num_rows == 40
    assert "WithExploration(share=0.2)" in (here / "runs/explored/rounds/01/round.json").read_text()


def test_the_readme(here: Path) -> None:
    """Its Python blocks; what its commands do has tests of its own."""
    changes = {
        "batch_size = 128": "batch_size = 8",
        "n_anchors=100": "n_anchors=3",
        "RepresentationDiffusion()": QUICK_FIT,
        "timm:vit_small_patch16_224.dino": "run:runs/photos",  # would be downloaded
    }
    python = [block for block in blocks(ROOT / "README.md", changes) if block.language == "python"]
    assert len(python) == 3
    for block in python:
        exec(compile(block.text, "README.md", "exec"), {"__name__": "__main__"})
    assert Ledger(here / "runs/own-loop").committed() == [1]
    assert pq.read_table(here / "ranked/scores.parquet").num_rows == 40
    assert Ledger(here / "runs/curated").committed() == [1]
