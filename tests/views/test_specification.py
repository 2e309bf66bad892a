from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from collections import Counter

import jsonargparse
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare, ks_2samp, kstest
from torchvision.transforms import ColorJitter, RandomResizedCrop

from bradd.errors import BraddError
from bradd.seeds import random_generator
from bradd.views import Draw, SimCLRViews
from bradd.views.parameters import JITTER_ORDER, JitterOperation, Parameter

DRAWS = 2000
# Each comparison has a fixed seed, so it is the same at every run. A right distribution falls below
# this p-value once in a thousand seeds; a wrong one is orders of magnitude below.
SMALLEST_P_VALUE = 1e-3


def draws(
    views: SimCLRViews, width: int = 200, height: int = 100, count: int = DRAWS
) -> list[Draw]:
    return [views.draw(random_generator(0, "test", i), width, height) for i in range(count)]


@pytest.fixture(scope="module")
def parameters() -> np.ndarray:
    """What 2000 draws of the default views give, [2000, P]."""
    return np.stack([draw.parameters for draw in draws(SimCLRViews())])


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
    ours = np.array([draw.box for draw in draws(views, *shape)])
    theirs = torchvision_boxes(views, *shape)
    for our_column, their_column in zip(quantities(ours), quantities(theirs), strict=True):
        assert ks_2samp(our_column, their_column).pvalue > SMALLEST_P_VALUE


def quantities(boxes: np.ndarray) -> tuple[np.ndarray, ...]:
    left, top, width, height = boxes.T
    return left, top, width * height, width / height


@pytest.mark.parametrize("shape", [(1, 1000), (1000, 1), (1, 1), (3, 100), (100, 3)])
def test_central_box_is_torchvisions_where_no_box_fits(shape: tuple[int, int]) -> None:
    views = SimCLRViews(minimum_scale=0.9)
    theirs = {tuple(box) for box in torchvision_boxes(views, *shape, count=50)}
    assert {tuple(draw.box) for draw in draws(views, *shape, count=50)} == theirs
    assert len(theirs) == 1


@given(
    width=st.integers(1, 2000),
    height=st.integers(1, 2000),
    seed=st.integers(0, 2**32),
    aspect_ratios=st.tuples(st.floats(0.01, 100), st.floats(0.01, 100)).map(sorted),
)
def test_boxes_lie_inside_the_image(
    width: int, height: int, seed: int, aspect_ratios: list[float]
) -> None:
    views = SimCLRViews(
        minimum_aspect_ratio=aspect_ratios[0], maximum_aspect_ratio=aspect_ratios[1]
    )
    for shape in ((width, height), (width, 1), (1, height), (1, 1)):
        box = views.draw(np.random.default_rng(seed), *shape).box
        assert box.width >= 1
        assert box.height >= 1
        assert 0 <= box.left <= shape[0] - box.width
        assert 0 <= box.top <= shape[1] - box.height


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
        others = np.delete(jittered, column, axis=1)
        correlations = np.corrcoef(jittered[:, column], others.T)[0, 1:]
        assert np.nanmax(np.abs(correlations)) < 0.1  # drawn independently of everything else


def test_jitter_orders_are_uniform_over_all_permutations(parameters: np.ndarray) -> None:
    orders = Counter(tuple(order) for order in parameters[:, JITTER_ORDER].astype(int))
    assert set(map(frozenset, orders)) == {frozenset(JitterOperation)}
    assert len(orders) == math.factorial(4)
    assert chisquare(list(orders.values())).pvalue > SMALLEST_P_VALUE


def test_probabilities_are_those_of_the_specification(parameters: np.ndarray) -> None:
    for happened, probability in (
        (parameters[:, Parameter.FLIP] == 1, 0.5),
        (parameters[:, Parameter.HUE] != 0, 0.8),
        (parameters[:, Parameter.GREY] == 1, 0.2),
        (parameters[:, Parameter.BLUR_SIGMA] > 0, 0.5),
    ):
        assert binomtest(int(happened.sum()), DRAWS, probability).pvalue > SMALLEST_P_VALUE


def test_blur_sigma_is_uniform(parameters: np.ndarray) -> None:
    sigmas = parameters[:, Parameter.BLUR_SIGMA]
    assert kstest(sigmas[sigmas > 0], "uniform", (0.1, 1.9)).pvalue > SMALLEST_P_VALUE


def test_draws_are_neutral_where_nothing_applies() -> None:
    off = SimCLRViews(flip=0, jitter=0, grey=0, blur=0)
    for draw in draws(off, count=20):
        np.testing.assert_array_equal(draw.parameters[Parameter.FLIP], 0)
        np.testing.assert_array_equal(draw.parameters[Parameter.BRIGHTNESS :], [1, 1, 1, 0, 0, 0])
        assert draw.parameters.dtype == np.float32


def test_strong_jitter_never_gives_a_negative_factor() -> None:
    strong = SimCLRViews(jitter=1, brightness=3, contrast=3, saturation=3)
    factors = np.stack([draw.parameters for draw in draws(strong, count=500)])
    factors = factors[:, Parameter.BRIGHTNESS : Parameter.SATURATION + 1]
    assert factors.min() >= 0
    assert factors.max() > 3


def test_a_draw_is_a_function_of_the_generators_state() -> None:
    views = SimCLRViews()
    first = views.draw(np.random.default_rng(3), 64, 48)
    again = views.draw(np.random.default_rng(3), 64, 48)
    assert first.box == again.box
    np.testing.assert_array_equal(first.parameters, again.parameters)


def test_the_crop_does_not_depend_on_photometric_settings() -> None:
    off = SimCLRViews(flip=0, jitter=0, brightness=0, hue=0, grey=1, blur=0)
    assert [d.box for d in draws(off, count=200)] == [
        d.box for d in draws(SimCLRViews(), count=200)
    ]


def test_small_images_have_larger_crops_and_no_blur() -> None:
    expected = SimCLRViews(minimum_scale=0.2, blur=0)
    assert SimCLRViews.for_image_size(32) == SimCLRViews.for_image_size(64) == expected
    assert SimCLRViews.for_image_size(65) == SimCLRViews.for_image_size(224) == SimCLRViews()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, value) for name in ("flip", "jitter", "grey", "blur") for value in (-0.1, 1.1)),
        *((name, -1.0) for name in ("brightness", "contrast", "saturation")),
        *((name, math.inf) for name in ("brightness", "contrast", "saturation")),
        *(("hue", value) for value in (-0.1, 0.6)),
        *(("minimum_scale", value) for value in (0.0, -0.1, 1.1)),
        *(("maximum_scale", value) for value in (0.0, 1.1)),
        *(("minimum_aspect_ratio", value) for value in (0.0, 2.0)),
        *(("maximum_aspect_ratio", value) for value in (0.0, math.inf)),
        *(("minimum_blur_sigma", value) for value in (0.0, 3.0)),
        *(("maximum_blur_sigma", value) for value in (0.0, math.inf)),
        ("count", 0),
    ],
)
def test_a_wrong_number_is_refused_by_its_name(field: str, value: float) -> None:
    with pytest.raises(BraddError, match=f"views: {field} is {value}"):
        SimCLRViews(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(SimCLRViews)])
def test_not_a_number_is_refused(field: str) -> None:
    with pytest.raises(BraddError, match=f"views: {field} is nan"):
        SimCLRViews(**{field: math.nan})  # type: ignore[arg-type]


def test_jsonargparse_builds_it_from_the_signature() -> None:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--views", type=SimCLRViews, default=SimCLRViews())
    parsed = parser.parse_args(["--views.hue=0.2", "--views.count=3"])
    assert parser.instantiate_classes(parsed).views == SimCLRViews(hue=0.2, count=3)


def test_the_specification_does_not_import_torch() -> None:
    code = "import sys, bradd.views; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
