from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from bradd.errors import BraddError
from bradd.generate import Duplicate, RepresentationDiffusion


class Pictures(Dataset[tuple[Tensor, int]]):
    """Two kinds of picture, dark and light ramps, [N, 3, S, S]."""

    def __init__(self, n: int = 24, size: int = 16) -> None:
        rng = np.random.default_rng(0)
        ramp = np.linspace(0, 60, size)[None, None, :, None]
        level = np.where(np.arange(n) % 2, 40, 180)[:, None, None, None]
        noise = rng.integers(0, 8, (n, 3, size, size))
        self.pixels = (level + ramp + noise).astype(np.uint8)
        kind = np.eye(4, dtype=np.float32)[np.arange(n) % 2]
        self.embeddings = kind + rng.normal(size=(n, 4)).astype(np.float32) * 0.01

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.from_numpy(self.pixels[index]), index

    def images(self) -> list[Image.Image]:
        return [Image.fromarray(pixels.transpose(1, 2, 0)) for pixels in self.pixels]


def fitted(pictures: Pictures, seed: int = 0, **settings: object) -> RepresentationDiffusion:
    settings = {"steps": 30, "batch_size": 8, "channels": (8, 16), **settings}
    generator = RepresentationDiffusion(**settings)  # type: ignore[arg-type]
    generator.fit(pictures, pictures.embeddings, seed)
    return generator


def test_a_variation_is_the_same_alone_and_in_a_batch() -> None:
    pictures = Pictures()
    generator = fitted(pictures)
    anchors, seeds = pictures.images()[:7], list(range(100, 107))
    together = generator.generate(anchors, pictures.embeddings[:7], seeds)
    for row in range(7):
        alone = generator.generate(
            anchors[row : row + 1], pictures.embeddings[row : row + 1], seeds[row : row + 1]
        )
        difference = np.abs(np.asarray(together[row], int) - np.asarray(alone[0], int))
        assert difference.max() <= 1


def test_seeds_make_different_variations_and_the_same_seed_the_same() -> None:
    pictures = Pictures()
    generator = fitted(pictures)
    anchor, embedding = pictures.images()[0], pictures.embeddings[[0, 0, 0]]
    first, second, again = generator.generate([anchor] * 3, embedding, [1, 2, 1])
    assert np.abs(np.asarray(first, int) - np.asarray(again, int)).max() <= 1
    assert np.abs(np.asarray(first, int) - np.asarray(second, int)).mean() > 1


def test_fit_is_a_function_of_seed_and_data_and_leaves_global_randomness_alone() -> None:
    pictures = Pictures()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    revision = fitted(pictures).revision()
    assert torch.equal(torch.rand(3), expected)
    assert fitted(pictures).revision() == revision
    assert fitted(pictures, seed=1).revision() != revision


def test_the_embedding_decides_what_is_made() -> None:
    """From pure noise, so that only the embedding can say which of the two kinds is wanted."""
    pictures = Pictures(size=8)
    generator = fitted(pictures, steps=400, strength=1.0, learning_rate=4e-3)
    anchor = Image.new("RGB", (8, 8))
    kinds = pictures.embeddings[[0, 0, 0, 0, 1, 1, 1, 1]]
    made = generator.generate([anchor] * 8, kinds, list(range(8)))
    levels = np.array([np.asarray(picture).mean() for picture in made])
    assert levels[:4].mean() > levels[4:].mean() + 60


def test_large_pictures_are_smooth_where_the_images_are() -> None:
    """The start noise must go, although a 64-pixel image has more numbers than the U-Net holds."""
    pictures = Pictures(n=16, size=64)
    generator = fitted(pictures, steps=120, channels=(16, 16), learning_rate=4e-3)
    made = generator.generate(pictures.images()[:4], pictures.embeddings[:4], [0, 1, 2, 3])

    def roughness(images: list[Image.Image]) -> float:
        steps = [np.abs(np.diff(np.asarray(image, float), axis=1)).mean() for image in images]
        return float(np.mean(steps))

    assert roughness(made) < 4 * roughness(pictures.images())


def test_low_strength_stays_nearer_to_the_anchor() -> None:
    pictures = Pictures()
    anchors = pictures.images()[:8]

    def distance(strength: float) -> float:
        made = fitted(pictures, strength=strength).generate(
            anchors, pictures.embeddings[:8], list(range(8))
        )
        pairs = zip(made, anchors, strict=True)
        return float(
            np.mean([np.abs(np.asarray(a, float) - np.asarray(b)).mean() for a, b in pairs])
        )

    assert distance(0.1) < distance(0.9)


def test_closer_pictures_are_nearer_one_by_one() -> None:
    """Each picture has its own strength, whatever the others in the batch have."""
    pictures = Pictures()
    generator = fitted(pictures, strength=0.6)
    anchors, seeds = pictures.images()[:3], [5, 5, 5]
    embeddings = pictures.embeddings[:3]
    plain = generator.generate(anchors, embeddings, seeds)
    mixed = generator.generate_closer(anchors, embeddings, seeds, [0, 3, -3])

    def distance(made: list[Image.Image], row: int) -> float:
        return float(np.abs(np.asarray(made[row], float) - np.asarray(anchors[row])).mean())

    assert np.abs(np.asarray(plain[0], int) - np.asarray(mixed[0], int)).max() <= 1
    assert distance(mixed, 1) < distance(plain, 1)
    assert distance(mixed, 2) > distance(plain, 2)
    lowest, lower = (
        generator.generate_closer(anchors[1:2], embeddings[1:2], [5], [steps])[0]
        for steps in (4, 9)
    )
    assert lowest.tobytes() == lower.tobytes()


def test_pictures_may_be_smaller_than_the_images() -> None:
    pictures = Pictures(size=32)
    generator = fitted(pictures, image_size=16)
    anchors = [Image.new("RGB", (48, 40), (200, 30, 30))]
    assert generator.generate(anchors, pictures.embeddings[:1], [0])[0].size == (16, 16)


def test_an_unfinished_sampling_batch_changes_nothing() -> None:
    """More pictures than one batch holds, and not a multiple of it."""
    pictures = Pictures()
    generator = fitted(pictures)
    rows = [row % 24 for row in range(19)]
    anchors = [pictures.images()[row] for row in rows]
    together = generator.generate(anchors, pictures.embeddings[rows], list(range(19)))
    assert len(together) == 19
    for row in (0, 8, 18):
        alone = generator.generate(
            anchors[row : row + 1], pictures.embeddings[rows[row : row + 1]], [row]
        )
        difference = np.abs(np.asarray(together[row], int) - np.asarray(alone[0], int))
        assert difference.max() <= 1


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, (2000, 1000)), ({"steps": 401}, (401, 200)), ({"steps": 9, "warm_steps": 30}, (9, 30))],
)
def test_a_warm_fit_takes_half_the_steps_unless_told(
    settings: dict[str, int], expected: tuple[int, int]
) -> None:
    generator = RepresentationDiffusion(**settings)  # type: ignore[arg-type]
    assert (generator.fit_steps(warm=False), generator.fit_steps(warm=True)) == expected


def test_generating_before_fitting_is_refused() -> None:
    with pytest.raises(BraddError, match=r"only after fit"):
        RepresentationDiffusion().generate([Image.new("RGB", (8, 8))], np.zeros((1, 4)), [0])


@pytest.mark.parametrize(
    "setting",
    [{"steps": 0}, {"strength": 0.0}, {"strength": 1.5}, {"average": 1.0}, {"image_size": 0}],
)
def test_impossible_settings_are_refused_by_name(setting: dict[str, float]) -> None:
    with pytest.raises(BraddError, match=f"generator.{next(iter(setting))}"):
        RepresentationDiffusion(**setting)  # type: ignore[arg-type]


def test_duplicate_gives_the_anchors_again() -> None:
    anchors = Pictures().images()[:3]
    copies = Duplicate().generate(anchors, np.zeros((3, 4)), [0, 1, 2])
    assert [copy.tobytes() for copy in copies] == [anchor.tobytes() for anchor in anchors]
    assert copies[0] is not anchors[0]


def test_fitted_duplicates_have_the_size_that_generators_make() -> None:
    duplicate = Duplicate()
    duplicate.fit(Pictures(size=8), np.zeros((24, 4)), seed=0)
    (copy,) = duplicate.generate(Pictures(size=32).images()[:1], np.zeros((1, 4)), [0])
    assert copy.size == (8, 8)
