"""The example notebook runs from top to bottom on a tiny folder."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from samples import picture

NOTEBOOK = Path(__file__).parents[2] / "examples/own_folder.ipynb"

# In place of the notebook's own, which take long.
PARAMETERS = """
from bradd import RepresentationDiffusion

DATA = "photos"
OUT = "runs/own-folder"
SETTINGS = {
    "image_size": 24,
    "backbone": "resnet18",
    "backbone_kwargs": {"stem_stride": 0},
    "cycles": 2,
    "epochs_per_cycle": 1,
    "batch_size": 8,
    "n_anchors": 4,
    "n_variations": 2,
    "num_workers": 0,
    "generator": RepresentationDiffusion(steps=2, channels=(8,), strength=0.2),
}
"""


@pytest.fixture
def notebook() -> NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_is_stored_without_outputs(notebook: NotebookNode) -> None:
    nbformat.validate(notebook)
    assert [cell.outputs for cell in code_cells(notebook)] == [[] for _ in code_cells(notebook)]


def test_it_runs(notebook: NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        path = tmp_path / "photos" / f"{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        picture(number, 24).save(path)
    (parameters,) = [
        cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())
    ]
    assert {line.split(" = ")[0] for line in parameters.source.splitlines() if " = " in line} == {
        "DATA",
        "OUT",
        "SETTINGS",
    }
    parameters.source = PARAMETERS
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the notebook's process has threads of its own
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()

    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 4  # anchors; most and least under-represented; neighbours
    printed = "".join(output.get("text", "") for output in outputs)
    assert "round 1: " in printed
    assert "40 images, 2 of them anchors by Rare" in printed
