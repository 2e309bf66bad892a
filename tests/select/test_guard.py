from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_sample_images

from bradd.select import pixel_guard, shape_guard


def photos() -> np.ndarray:
    """Crops of scikit-learn's two photographs, [N, 3, 32, 32]."""
    crops = [
        image[top : top + 320 : 10, left : left + 320 : 10].transpose(2, 0, 1)
        for image in load_sample_images().images
        for top in (0, 100)
        for left in (0, 160, 300)
    ]
    return np.stack(crops)


def test_photographs_pass() -> None:
    assert pixel_guard(photos()).tolist() == [""] * 12


def test_digits_pass() -> None:
    digits = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    large = digits.repeat(3, axis=1).repeat(3, axis=2)
    images = np.repeat(large[:, None], 3, axis=1)
    assert (pixel_guard(images) != "").sum() == 0


@pytest.mark.parametrize("level", [0, 128, 255])
def test_blank_images_are_named(level: int) -> None:
    blank = np.full((2, 3, 24, 24), level, dtype=np.uint8)
    blank[1, :, 3, 3] ^= 1
    assert pixel_guard(blank).tolist() == ["blank", "blank"]


def test_images_of_one_colour_are_blank() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (200, 3, 1, 1), dtype=np.uint8)
    assert set(pixel_guard(np.broadcast_to(colours, (200, 3, 32, 32)))) == {"blank"}


@pytest.mark.parametrize("side", [28, 64, 224])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["uniform", "gaussian", "black and white"])
def test_all_noise_is_named(kind: str, channels: int, side: int) -> None:
    rng = np.random.default_rng(0)
    shape = (6 if side == 224 else 100, channels, side, side)
    levels = {
        "uniform": rng.integers(0, 256, shape),
        "gaussian": np.clip(
            rng.normal(128, rng.uniform(10, 60, (shape[0], 1, 1, 1)), shape), 0, 255
        ),
        "black and white": (rng.random(shape) < 0.5) * 255,
    }[kind]
    noise = np.broadcast_to(levels.astype(np.uint8), (shape[0], 3, side, side))
    assert set(pixel_guard(noise)) == {"noise"}


def test_nearly_all_pictures_under_salt_and_pepper_are_named() -> None:
    rng = np.random.default_rng(0)
    images = np.repeat(photos(), 20, axis=0)
    struck = rng.random((len(images), 1, 32, 32)) < 0.8
    pepper = np.where(struck, (rng.random(struck.shape) < 0.5) * np.uint8(255), images)
    assert (pixel_guard(pepper) == "noise").mean() >= 0.9


def test_an_image_is_judged_by_itself() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 3, 96, 96), dtype=np.uint8) // np.uint8(2)
    images[::2] += np.arange(96, dtype=np.uint8)  # half of them lie close to the limits
    together = pixel_guard(images, minimum_correlation=0.35)
    alone = [pixel_guard(image[None], minimum_correlation=0.35)[0] for image in images]
    assert together.tolist() == alone
    assert len(set(alone)) == 2
    assert pixel_guard(images[:0]).tolist() == []


def test_correlation_is_pearsons() -> None:
    image = photos()[:1]
    grey = image.astype(float).mean(axis=1)[0]
    pairs = [(grey[:, 1:], grey[:, :-1]), (grey[1:], grey[:-1])]
    oracle = np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs])
    assert pixel_guard(image, minimum_correlation=oracle - 1e-5)[0] == ""
    assert pixel_guard(image, minimum_correlation=oracle + 1e-5)[0] == "noise"


def test_spread_is_the_standard_deviation_of_grey_levels() -> None:
    image = photos()[3:4]
    oracle = image.astype(float).mean(axis=1).std()
    assert pixel_guard(image, minimum_spread=oracle - 1e-6)[0] == ""
    assert pixel_guard(image, minimum_spread=oracle + 1e-6)[0] == "blank"


def test_icons_and_banners_among_photographs_are_named() -> None:
    sizes = np.array([[640, 480]] * 20 + [[31, 40], [640, 16], [728, 90], [90, 728], [1500, 500]])
    assert shape_guard(sizes)[20:].tolist() == [
        "tiny",
        "tiny",
        "extreme aspect",
        "extreme aspect",
        "",
    ]
    assert set(shape_guard(sizes)[:20]) == {""}


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (32, 32), (20, 200), (1, 1)])
def test_a_set_of_like_images_is_not_guarded_whatever_their_size(size: tuple[int, int]) -> None:
    assert set(shape_guard(np.array([size] * 9))) == {""}


def test_what_is_tiny_depends_on_the_other_images() -> None:
    def judge(side: int, others: int) -> str:
        return str(shape_guard(np.array([[side, side]] + [[others, others]] * 4))[0])

    assert [judge(side, 64) for side in (15, 16)] == ["tiny", ""]  # a quarter of the others
    assert [judge(side, 4000) for side in (31, 32)] == ["tiny", ""]  # and no more than 32
    assert shape_guard(np.array([[60, 60]] + [[400, 400]] * 4), minimum_side=64)[0] == "tiny"


def test_sizes_that_are_no_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        shape_guard(np.array([[0, 5]]))
    assert shape_guard(np.empty((0, 2), dtype=np.int32)).tolist() == []
