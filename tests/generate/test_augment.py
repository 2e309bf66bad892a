from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from bradd.commands.pretrain import pretrain
from bradd.component import describe
from bradd.errors import BraddError
from bradd.generate import Augment, Generator
from bradd.signature import parse
from samples import picture

ANCHORS = [picture(number, 40) for number in range(5)]
EMBEDDINGS = np.zeros((5, 4), np.float32)


class Views:
    """A data set of one view of 24 pixels."""

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.zeros(3, 24, 24, dtype=torch.uint8), index


def made(generator: Generator, which: list[int], seeds: list[int]) -> list[np.ndarray]:
    pictures = generator.generate([ANCHORS[i] for i in which], EMBEDDINGS[which], seeds)
    assert all(one.mode == "RGB" for one in pictures)
    return [np.asarray(one) for one in pictures]


def test_a_picture_depends_on_its_anchor_and_seed_alone() -> None:
    together = made(Augment(), [0, 1, 2, 0], [7, 8, 9, 10])
    assert np.array_equal(made(Augment(), [2], [9])[0], together[2])
    assert np.array_equal(made(Augment(), [1, 0], [8, 7])[1], together[0])
    assert not np.array_equal(together[0], together[3])


def test_nothing_is_drawn_from_the_global_generator() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    made(Augment(), [0], [1])
    assert torch.equal(torch.rand(1), expected)


def test_pictures_have_the_size_of_the_images_it_was_fitted_on() -> None:
    generator = Augment()
    assert made(generator, [0], [1])[0].shape == (40, 40, 3)
    generator.fit(Views(), EMBEDDINGS, 0)  # type: ignore[arg-type]
    assert made(generator, [0], [1])[0].shape == (24, 24, 3)


def test_without_operations_crop_and_mirror_pictures_are_the_anchors() -> None:
    nothing = Augment(operations=0, minimum_scale=1, flip=0)
    for number, one in enumerate(made(nothing, [0, 1], [1, 2])):
        assert np.array_equal(one, np.asarray(ANCHORS[number]))
    mirrored = made(Augment(operations=0, minimum_scale=1, flip=1), [0], [1])[0]
    assert np.array_equal(mirrored, np.asarray(ANCHORS[0])[:, ::-1])


def test_stronger_changes_more() -> None:
    def change(magnitude: int) -> float:
        generator = Augment(operations=3, magnitude=magnitude, minimum_scale=1, flip=0)
        pictures = made(generator, [0] * 40, list(range(40)))
        own = np.asarray(ANCHORS[0]).astype(float)
        return float(np.mean([np.abs(one - own).mean() for one in pictures]))

    assert change(2) < change(6) < change(10)


def test_it_is_found_by_its_name() -> None:
    given = ["--generator", "augment", "--generator.magnitude", "5"]
    generator = parse(pretrain, given)["generator"]
    assert describe(generator) == "Augment(operations=2, magnitude=5, minimum_scale=0.5, flip=0.5)"


def test_it_is_a_control() -> None:
    assert (Augment.judged, Augment().external_data, Augment().revision()) == (False, False, "")
    assert isinstance(Augment().generate([Image.new("RGB", (9, 30))], EMBEDDINGS[:1], [1]), list)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("operations", -1), ("magnitude", 11), ("minimum_scale", 0.0), ("flip", 1.5)],
)
def test_impossible_settings_are_named(setting: str, value: float) -> None:
    with pytest.raises(BraddError, match=f"generator.{setting} is {value}"):
        Augment(**{setting: value})  # type: ignore[arg-type]
