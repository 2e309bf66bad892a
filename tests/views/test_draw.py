from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare, ks_2samp, kstest
from torchvision.transforms import ColorJitter, RandomResizedCrop

from bradd.views import DINOViews, MoCoV3Views, SimCLRViews, Views
from bradd.views.draw import NUMBERS, draw_boxes, draw_numbers, draw_parameters
from bradd.views.parameters import JITTER_ORDER, JitterOperation, Parameter

DRAWS = 2000
# Each comparison has a fixed seed, so it is the same at every run. A right distribution falls below
# this p-value once in a thousand seeds; a wrong one is orders of magnitude below.
SMALLEST_P_VALUE = 1e-3


def numbers(views: int = 1, count: int = DRAWS, seed: int = 0) -> np.ndarray:
    return draw_numbers(seed, [(0, index) for index in range(count)], views)


def boxes(views: Views, width: int, height: int, count: int = DRAWS) -> np.ndarray:
    """Boxes of the first view as (left, top, width, height), [count, 4]."""
    sizes = [np.full(count, width), np.full(count, height)]
    return draw_boxes(views.recipes(32)[:1], numbers(count=count), *sizes)[0]


def parameters_of(views: Views, view: int = 0, count: int = DRAWS) -> np.ndarray:
    recipes = views.recipes(32)
    return draw_parameters(recipes, numbers(len(recipes), count))[view]


@pytest.fixture(scope="module")
def parameters() -> np.ndarray:
    """What 2000 draws of the default views give, [2000, P]."""
    return parameters_of(SimCLRViews())


def torchvision_boxes(
    views: SimCLRViews, width: int, height: int, count: int = DRAWS
) -> np.ndarray:
    """Boxes as (left, top, width, height), [count, 4]."""
    torch.manual_seed(0)
    image = torch.empty(3, height, width)
    scale = [views.minimum_scale, views.maximum_scale]
    ratio = [views.minimum_aspect_ratio, views.maximum_aspect_ratio]
    found = [RandomResizedCrop.get_params(image, scale, ratio) for _ in range(count)]
    return np.array([(left, top, width, height) for top, left, height, width in found])


@pytest.mark.parametrize("shape", [(200, 100), (32, 32), (40, 100)])
def test_boxes_are_distributed_as_torchvisions(shape: tuple[int, int]) -> None:
    views = SimCLRViews()
    ours, theirs = boxes(views, *shape), torchvision_boxes(views, *shape)
    for our_column, their_column in zip(quantities(ours), quantities(theirs), strict=True):
        assert ks_2samp(our_column, their_column).pvalue > SMALLEST_P_VALUE


def quantities(boxes: np.ndarray) -> tuple[np.ndarray, ...]:
    left, top, width, height = boxes.T
    return left, top, width * height, width / height


@pytest.mark.parametrize("shape", [(1, 1000), (1000, 1), (1, 1), (3, 100), (100, 3)])
def test_central_box_is_torchvisions_where_no_box_fits(shape: tuple[int, int]) -> None:
    views = SimCLRViews(minimum_scale=0.9)
    theirs = {tuple(box) for box in torchvision_boxes(views, *shape, count=50).tolist()}
    assert {tuple(box) for box in boxes(views, *shape, count=50).tolist()} == theirs
    assert len(theirs) == 1


@given(
    width=st.integers(1, 2000),
    height=st.integers(1, 2000),
    seed=st.integers(0, 2**32),
    aspect_ratios=st.tuples(st.floats(0.01, 100), st.floats(0.01, 100)).map(sorted),
)
def test_boxes_are_whole_pixels_inside_the_image(
    width: int, height: int, seed: int, aspect_ratios: list[float]
) -> None:
    views = SimCLRViews(
        minimum_aspect_ratio=aspect_ratios[0], maximum_aspect_ratio=aspect_ratios[1]
    )
    widths, heights = np.array([width, width, 1, 1]), np.array([height, 1, height, 1])
    found = draw_boxes(views.recipes(8), numbers(2, 4, seed), widths, heights)
    assert found.shape == (2, 4, 4)
    assert (found == np.round(found)).all()
    left, top, box_width, box_height = found.transpose(2, 0, 1)
    assert (box_width >= 1).all()
    assert (box_height >= 1).all()
    assert ((left >= 0) & (left <= widths - box_width)).all()
    assert ((top >= 0) & (top <= heights - box_height)).all()


def test_a_box_does_not_depend_on_the_rest_of_the_batch() -> None:
    recipes = DINOViews().recipes(32)
    drawn = numbers(len(recipes), 20)
    widths, heights = np.arange(20, 40), np.arange(60, 40, -1)
    together = draw_boxes(recipes, drawn, widths, heights)
    for row in range(20):
        alone = draw_boxes(recipes, drawn[:, row : row + 1], widths[[row]], heights[[row]])
        np.testing.assert_array_equal(alone[:, 0], together[:, row])


def test_jitter_factors_are_distributed_as_torchvisions(parameters: np.ndarray) -> None:
    torch.manual_seed(0)
    strengths = ((0.6, 1.4), (0.6, 1.4), (0.6, 1.4), (-0.1, 0.1))
    theirs = np.array(
        [[float(x) for x in ColorJitter.get_params(*strengths)[1:]] for _ in range(DRAWS)]
    )
    jittered = parameters[parameters[:, Parameter.HUE] != 0]
    for place, column in enumerate(
        (Parameter.BRIGHTNESS, Parameter.CONTRAST, Parameter.SATURATION, Parameter.HUE)
    ):
        assert ks_2samp(jittered[:, column], theirs[:, place]).pvalue > SMALLEST_P_VALUE
        others = np.delete(jittered, [column, Parameter.SOLARISE], axis=1)
        correlations = np.corrcoef(jittered[:, column], others.T)[0, 1:]
        assert np.nanmax(np.abs(correlations)) < 0.1  # drawn independently of everything else


def test_jitter_orders_are_uniform_over_all_permutations(parameters: np.ndarray) -> None:
    orders = Counter(tuple(order) for order in parameters[:, JITTER_ORDER].astype(int).tolist())
    assert set(map(frozenset, orders)) == {frozenset(JitterOperation)}
    assert len(orders) == math.factorial(4)
    assert chisquare(list(orders.values())).pvalue > SMALLEST_P_VALUE


def assert_happens(happened: np.ndarray, probability: float) -> None:
    assert binomtest(int(happened.sum()), DRAWS, probability).pvalue > SMALLEST_P_VALUE


def test_probabilities_are_those_of_the_specification(parameters: np.ndarray) -> None:
    assert_happens(parameters[:, Parameter.FLIP] == 1, 0.5)
    assert_happens(parameters[:, Parameter.HUE] != 0, 0.8)
    assert_happens(parameters[:, Parameter.GREY] == 1, 0.2)
    assert_happens(parameters[:, Parameter.BLUR_SIGMA] > 0, 0.5)
    assert_happens(parameters[:, Parameter.SOLARISE] == 1, 0)


@pytest.mark.parametrize("views", [MoCoV3Views(), DINOViews()])
def test_the_views_of_a_method_have_their_own_probabilities(views: Views) -> None:
    for view, (blur, solarise) in enumerate([(1.0, 0.0), (0.1, 0.2)]):
        drawn = parameters_of(views, view)
        assert_happens(drawn[:, Parameter.BLUR_SIGMA] > 0, blur)
        assert_happens(drawn[:, Parameter.SOLARISE] == 1, solarise)


def test_local_views_show_less() -> None:
    recipes = DINOViews().recipes(224)
    widths = heights = np.full(DRAWS, 1000)
    found = draw_boxes(recipes, numbers(len(recipes)), widths, heights)
    areas = found[..., 2] * found[..., 3] / 1e6
    assert areas[:2].min() > 0.39
    assert areas[2:].max() < 0.41
    for area, low, width in [*((a, 0.4, 0.6) for a in areas[:2]), (areas[2], 0.05, 0.35)]:
        # Large boxes of an extreme shape do not fit; all others are as likely.
        chosen = area[area < 0.7]
        assert kstest(chosen, "uniform", (low, min(width, 0.7 - low))).pvalue > SMALLEST_P_VALUE


def test_blur_sigma_is_uniform(parameters: np.ndarray) -> None:
    sigmas = parameters[:, Parameter.BLUR_SIGMA]
    assert kstest(sigmas[sigmas > 0], "uniform", (0.1, 1.9)).pvalue > SMALLEST_P_VALUE


def test_draws_are_neutral_where_nothing_applies() -> None:
    drawn = parameters_of(SimCLRViews(flip=0, jitter=0, grey=0, blur=0))
    np.testing.assert_array_equal(drawn[:, Parameter.FLIP], 0)
    neutral = np.broadcast_to([1, 1, 1, 0, 0, 0, 0], (DRAWS, 7))
    np.testing.assert_array_equal(drawn[:, Parameter.BRIGHTNESS :], neutral)
    assert drawn.dtype == np.float32


def test_strong_jitter_never_gives_a_negative_factor() -> None:
    strong = SimCLRViews(jitter=1, brightness=3, contrast=3, saturation=3)
    factors = parameters_of(strong)[:, Parameter.BRIGHTNESS : Parameter.SATURATION + 1]
    assert factors.min() >= 0
    assert factors.max() > 3


def test_numbers_are_a_function_of_seed_epoch_index_and_view() -> None:
    keys = [(3, 5), (0, 5), (3, 1), (0, 2**40)]
    drawn = draw_numbers(1, keys, views=3)
    assert drawn.shape == (3, 4, NUMBERS)
    assert len(np.unique(drawn[:, :, 0])) == 12
    for place, key in enumerate(keys):
        np.testing.assert_array_equal(draw_numbers(1, [key], views=3)[:, 0], drawn[:, place])
        np.testing.assert_array_equal(draw_numbers(1, [key], views=2)[:, 0], drawn[:2, place])
        assert (draw_numbers(2, [key], views=3)[:, 0] != drawn[:, place]).all()


def test_the_crop_does_not_depend_on_photometric_settings() -> None:
    off = SimCLRViews(flip=0, jitter=0, brightness=0, hue=0, grey=1, blur=0)
    np.testing.assert_array_equal(boxes(off, 200, 100), boxes(SimCLRViews(), 200, 100))
