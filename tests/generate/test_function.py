"""Anyone's model plugs in, by a function or by a class of ten lines."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageOps

from bradd.commands.pretrain import pretrain
from bradd.component import describe, settings_of
from bradd.errors import BraddError
from bradd.generate import Function, Generator
from bradd.signature import parse
from various_anchors import no_embeddings, various_anchors

SOURCE = """
from PIL import ImageOps

number = 3

def flip(anchors, embeddings, seeds):
    return [ImageOps.flip(anchor) for anchor in anchors]

def grey(anchors, embeddings, seeds):
    return [anchor.convert("L") for anchor in anchors]

def short(anchors, embeddings, seeds):
    return list(anchors)[:1]
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which Python finds modules, with one module `my_models`."""
    (tmp_path / "my_models.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("my_models", None)


def shown_lines() -> str:
    """The class that the docstring shows."""
    shown = (Function.__doc__ or "").split("All it needs:\n")[1].split("Args:")[0]
    return textwrap.dedent(shown).strip()


def test_the_class_in_the_docstring_has_ten_lines_and_works(models: Path) -> None:
    lines = shown_lines().splitlines()
    assert len([line for line in lines if line and "import" not in line]) <= 10
    (models / "my_models.py").write_text(shown_lines())
    found = parse(pretrain, ["--generator=my_models.Mirrored", "--generator.colours=4"])
    generator = found["generator"]
    assert isinstance(generator, Generator)
    assert describe(generator) == "Mirrored(colours=4)"
    anchors = various_anchors()
    made = generator.generate(anchors, no_embeddings(3), [0, 1, 2])
    for picture, anchor in zip(made, anchors, strict=True):
        expected = np.asarray(ImageOps.mirror(anchor)) & 0b11110000
        assert np.array_equal(np.asarray(picture), expected)


def test_a_function_by_its_import_path(models: Path) -> None:
    found = parse(pretrain, ["--generator=function", "--generator.function=my_models:flip"])
    generator = found["generator"]
    assert isinstance(generator, Function)
    assert settings_of(generator)["init_args"]["function"] == "my_models:flip"
    assert (generator.external_data, generator.licence) == (True, "not stated")
    anchors = various_anchors()
    made = generator.generate(anchors, no_embeddings(3), [0, 1, 2])
    for picture, anchor in zip(made, anchors, strict=True):
        assert picture.tobytes() == ImageOps.flip(anchor).tobytes()


def test_its_revision_follows_the_source(models: Path) -> None:
    before = Function("my_models:flip").revision()
    assert Function("my_models:grey").revision() == before
    (models / "my_models.py").write_text(SOURCE + "\n# changed\n")
    assert Function("my_models:flip").revision() != before


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("my_models.flip", "give its import path, package.module:function"),
        ("my_models:", "give its import path"),
        ("no_such_module:flip", "cannot be imported"),
        ("my_models:flop", "cannot be imported"),
        ("my_models:number", "is not a function but 3"),
    ],
)
def test_a_wrong_path_is_said_at_once(models: Path, path: str, message: str) -> None:
    with pytest.raises(BraddError, match=message):
        Function(path)


@pytest.mark.parametrize(
    ("function", "message"), [("grey", "3 pictures, among them Image"), ("short", "1 pictures")]
)
def test_what_is_no_picture_for_each_seed_is_refused(
    models: Path, function: str, message: str
) -> None:
    generator = Function(f"my_models:{function}")
    with pytest.raises(BraddError, match=message):
        generator.generate(various_anchors(), no_embeddings(3), [0, 1, 2])
