from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bradd.commands.pretrain import pretrain
from bradd.component import describe
from bradd.data import folder_images
from bradd.errors import BraddError
from bradd.generate import Readd
from bradd.signature import parse
from samples import SIZE, picture

NONE = np.zeros((1, 4), np.float32)


class Views:
    """A data set of one view of 8 pixels."""

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.zeros(3, 8, 8, dtype=torch.uint8), index


def given(generator: Readd, seeds: list[int]) -> list[bytes]:
    pictures = generator.generate([picture(0)] * len(seeds), NONE.repeat(len(seeds), 0), seeds)
    return [np.asarray(one).tobytes() for one in pictures]


def fitted(folder: Path, memory: Path | None) -> Readd:
    generator = Readd(str(folder))
    generator.fit(Views(), NONE, 0, memory)  # type: ignore[arg-type]
    return generator


def test_every_image_is_given_once_and_whole(folder: Path) -> None:
    images = folder_images(folder)
    expected = {np.asarray(images.load(index)).tobytes() for index in range(40)}
    found = given(Readd(str(folder)), list(range(100, 140)))
    assert set(found) == expected
    assert len(found) == 40


def test_a_list_of_files_will_do(folder: Path, tmp_path: Path) -> None:
    names = sorted(folder.rglob("*.png"))[:3]
    (tmp_path / "list.txt").write_text("\n".join(map(str, names)))
    found = given(Readd(str(tmp_path / "list.txt")), [1, 2, 3])
    assert len(set(found)) == 3


def test_the_same_seed_gives_the_same_image_in_any_batch(folder: Path) -> None:
    one, other = Readd(str(folder)), Readd(str(folder))
    together = given(one, [11, 12, 13])
    assert given(one, [13, 11]) == [together[2], together[0]]
    assert [given(other, [seed])[0] for seed in (11, 12, 13)] == together


def test_what_was_given_is_remembered_in_the_rounds_folder(folder: Path, tmp_path: Path) -> None:
    memory = tmp_path / "generator"
    memory.mkdir()
    seeds = list(range(0, 200, 8))  # many of them want the same image
    first = given(fitted(folder, memory), seeds)
    assert len(set(first)) == len(first)
    again = fitted(folder, memory)  # of a process that was killed, or of the next round
    assert again.left() == 40 - len(seeds)
    assert given(again, seeds) == first
    assert not set(given(again, [1000, 1008, 1016])) & set(first)


def test_they_have_the_size_of_other_variations(folder: Path) -> None:
    (one,) = fitted(folder, None).generate([picture(0)], NONE, [5])
    assert one.size == (8, 8)
    (whole,) = Readd(str(folder)).generate([picture(0)], NONE, [5])
    assert whole.size == (SIZE, SIZE)


def test_too_few_images_are_named(folder: Path) -> None:
    generator = Readd(str(folder))
    given(generator, list(range(40)))
    with pytest.raises(BraddError, match="has 40 images, and all have been given"):
        given(generator, [40])


def test_no_such_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BraddError, match="nowhere"):
        Readd(str(tmp_path / "nowhere")).left()


def test_a_damaged_memory_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "taken.json").write_text("[1")
    with pytest.raises(BraddError, match=r"taken\.json cannot be read"):
        fitted(folder, tmp_path)
    (tmp_path / "taken.json").write_text(json.dumps([1]))
    with pytest.raises(BraddError, match=r"taken\.json cannot be read"):
        fitted(folder, tmp_path)


def test_it_is_found_by_its_name() -> None:
    generator = parse(pretrain, ["--generator=Readd", "--generator.images=removed"])["generator"]
    assert describe(generator) == "Readd(images=removed)"


def test_it_is_a_control(folder: Path) -> None:
    generator = Readd(str(folder))
    assert (generator.judged, generator.external_data) == (False, False)
    assert generator.revision() == folder_images(folder).fingerprint()
