from __future__ import annotations

import itertools
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as reference

from bradd.views import MoCoV3Views, SimCLRViews, Views
from bradd.views.draw import draw_numbers, draw_parameters
from bradd.views.parameters import JITTER_ORDER, JitterOperation, Parameter
from bradd.views.photometric import IMAGENET_MEAN, IMAGENET_STD, normalise, photometric

JITTER = {
    JitterOperation.BRIGHTNESS: (Parameter.BRIGHTNESS, reference.adjust_brightness),
    JitterOperation.CONTRAST: (Parameter.CONTRAST, reference.adjust_contrast),
    JitterOperation.SATURATION: (Parameter.SATURATION, reference.adjust_saturation),
    JitterOperation.HUE: (Parameter.HUE, reference.adjust_hue),
}


def make_images(count: int, size: int = 32) -> Tensor:
    """Half noise, half smooth colour, with pure grey, black and white images among them."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, size, size), generator=generator)
    coarse = torch.rand(count, 3, 4, 4, generator=generator) * 255
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    images[::2] = smooth.long()[::2]
    images[0], images[1] = 0, 255
    images[2] = images[2, :1]
    return images.to(torch.uint8)


def make_parameters(count: int, views: Views | None = None) -> np.ndarray:
    """Of the last view of a method, `[count, P]`."""
    recipes = (views or SimCLRViews()).recipes(32)
    numbers = draw_numbers(0, [(0, index) for index in range(count)], len(recipes))
    return draw_parameters(recipes, numbers)[-1]


def neutral(count: int) -> np.ndarray:
    return make_parameters(count, SimCLRViews(flip=0, jitter=0, grey=0, blur=0))


def to_unit_interval(normalised: Tensor) -> Tensor:
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    return normalised * std.view(3, 1, 1) + mean.view(3, 1, 1)


def by_torchvision(image: Tensor, parameters: np.ndarray, kernel_size: int) -> Tensor:
    """One view in [0, 1], operation by operation, from one uint8 image `[3, H, W]`."""
    view: Tensor = reference.to_dtype(image, torch.float32, scale=True)
    if parameters[Parameter.FLIP]:
        view = reference.horizontal_flip(view)
    for operation in parameters[JITTER_ORDER].tolist():
        column, adjust = JITTER[JitterOperation(int(operation))]
        view = adjust(view, float(parameters[column]))
    if parameters[Parameter.GREY]:
        view = reference.rgb_to_grayscale(view, num_output_channels=3)
    sigma = float(parameters[Parameter.BLUR_SIGMA])
    if sigma > 0:
        view = reference.gaussian_blur(view, [kernel_size, kernel_size], [sigma, sigma])
    if parameters[Parameter.SOLARISE]:
        view = reference.solarize(view, 128 / 255)
    return view


def assert_agrees(images: Tensor, parameters: np.ndarray, kernel_size: int = 3) -> Tensor:
    ours = to_unit_interval(photometric(images, parameters))
    pairs = zip(images, parameters, strict=True)
    theirs = torch.stack([by_torchvision(*pair, kernel_size) for pair in pairs])
    error = (ours - theirs).abs()
    assert error.mean() < 1e-5  # 1/255 would do; they agree far better
    return error


@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.4, 3.0])
@pytest.mark.parametrize("column", [Parameter.BRIGHTNESS, Parameter.CONTRAST, Parameter.SATURATION])
def test_each_factor_is_torchvisions(column: Parameter, factor: float) -> None:
    parameters = neutral(8)
    parameters[:, column] = factor
    assert_agrees(make_images(8), parameters)


@pytest.mark.parametrize("shift", [-0.5, -0.1, -0.01, 0.0, 0.1, 0.3, 0.5])
def test_hue_is_torchvisions(shift: float) -> None:
    parameters = neutral(8)
    parameters[:, Parameter.HUE] = shift
    assert_agrees(make_images(8), parameters)


def test_hue_of_every_primary_and_tie_is_torchvisions() -> None:
    levels = torch.tensor(list(itertools.product((0, 1, 128, 255), repeat=3)), dtype=torch.uint8)
    image = levels.T.reshape(1, 3, 8, 8)
    parameters = neutral(1)
    parameters[:, Parameter.HUE] = 0.07
    assert_agrees(image, parameters)


@pytest.mark.parametrize("column", [Parameter.FLIP, Parameter.GREY, Parameter.SOLARISE])
def test_flip_grey_and_solarisation_are_torchvisions(column: Parameter) -> None:
    parameters = neutral(8)
    parameters[::3, column] = 1
    assert_agrees(make_images(8), parameters)


@pytest.mark.parametrize(("size", "kernel_size"), [(224, 23), (96, 9), (40, 5), (32, 3), (8, 3)])
def test_blur_is_torchvisions(size: int, kernel_size: int) -> None:
    parameters = neutral(4)
    parameters[:, Parameter.BLUR_SIGMA] = [0.1, 0.0, 0.7, 2.0]
    assert_agrees(make_images(4, size), parameters, kernel_size)


def test_blur_takes_images_of_a_single_pixel() -> None:
    images = make_images(3, 1)
    parameters = neutral(3)
    parameters[:, Parameter.BLUR_SIGMA] = 1.0
    torch.testing.assert_close(photometric(images, parameters), normalise(images))


@pytest.mark.parametrize("order", itertools.permutations(JitterOperation))
def test_every_jitter_order_is_torchvisions(order: tuple[JitterOperation, ...]) -> None:
    parameters = make_parameters(6, SimCLRViews(jitter=1))
    parameters[:, JITTER_ORDER] = order
    assert_agrees(make_images(6), parameters)


@pytest.mark.parametrize(("size", "kernel_size"), [(32, 3), (80, 9)])
@pytest.mark.parametrize("views", [SimCLRViews(), MoCoV3Views(second_blur=0.5)])
def test_drawn_views_are_torchvisions(views: Views, size: int, kernel_size: int) -> None:
    """Large images are changed one by one, small ones together."""
    assert_agrees(make_images(64, size), make_parameters(64, views), kernel_size)


@pytest.mark.parametrize("size", [32, 80])
def test_pixels_are_the_views_rounded(size: int) -> None:
    images, parameters = make_images(64, size), make_parameters(64, MoCoV3Views())
    pixels = photometric(images, parameters, normalised=False)
    assert pixels.dtype == torch.uint8
    exact = to_unit_interval(photometric(images, parameters)) * 255
    assert (pixels - exact).abs().max() < 0.501


def test_opencv_keeps_its_number_of_threads() -> None:
    threads = cv2.getNumThreads()
    photometric(make_images(4, 80), make_parameters(4))
    assert cv2.getNumThreads() == threads


def test_the_cut_off_tails_of_a_blur_hold_less_than_a_ten_thousandth() -> None:
    """torchvision's kernel goes on to its full width."""
    parameters = neutral(16)
    parameters[:, Parameter.BLUR_SIGMA] = np.linspace(0.1, 2.0, 16)
    assert assert_agrees(make_images(16, 224), parameters, 23).max() < 1e-4


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [1, 17, 32, 224])
def test_a_view_does_not_depend_on_its_batch(
    size: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = MoCoV3Views(second_blur=0.5)
    images, parameters = make_images(48, size), make_parameters(48, views)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)  # so many go together
    together = photometric(images, parameters)
    alone = [photometric(images[i : i + 1], parameters[i : i + 1]) for i in range(48)]
    assert torch.equal(together, torch.cat(alone))
    order = torch.randperm(48, generator=torch.Generator().manual_seed(0))
    shuffled = photometric(images[order], parameters[order.numpy()])
    assert torch.equal(shuffled, together[order])


def test_the_same_arguments_give_the_same_bits_and_stay_unchanged() -> None:
    images, parameters = make_images(16), make_parameters(16)
    kept = images.clone(), parameters.copy()
    first = photometric(images, parameters)
    assert torch.equal(first, photometric(images, parameters))
    assert torch.equal(images, kept[0])
    np.testing.assert_array_equal(parameters, kept[1])


def test_autocast_does_not_lower_the_precision() -> None:
    images, parameters = make_images(16), make_parameters(16)
    expected = photometric(images, parameters)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(photometric(images, parameters), expected)


def test_neutral_parameters_only_normalise() -> None:
    images = make_images(8)
    assert torch.equal(photometric(images, neutral(8)), normalise(images))


def test_normalise_is_torchvisions() -> None:
    images = make_images(8)
    scaled = reference.to_dtype(images, torch.float32, scale=True)
    expected = reference.normalize(scaled, list(IMAGENET_MEAN), list(IMAGENET_STD))
    torch.testing.assert_close(normalise(images), expected)


def test_an_empty_batch_stays_empty() -> None:
    empty = torch.empty(0, 3, 8, 8, dtype=torch.uint8)
    assert photometric(empty, np.empty((0, len(Parameter)), np.float32)).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("function", [normalise, lambda x: photometric(x, neutral(2))])
@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 3, 8, 8),
        torch.zeros(3, 8, 8, dtype=torch.uint8),
        torch.zeros(2, 1, 8, 8, dtype=torch.uint8),
    ],
)
def test_wrong_images_are_refused(function: Callable[[Tensor], Tensor], images: Tensor) -> None:
    with pytest.raises(ValueError, match="uint8"):
        function(images)


def test_wrong_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="parameters"):
        photometric(make_images(4), neutral(3))


@pytest.mark.gpu
def test_the_host_does_not_wait_for_the_device() -> None:
    images, parameters = make_images(64).cuda(), make_parameters(64, MoCoV3Views())
    torch.cuda.set_sync_debug_mode("error")
    try:
        photometric(images, parameters)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_a_view_does_not_depend_on_the_device() -> None:
    images, parameters = make_images(64), make_parameters(64)
    on_device = photometric(images.cuda(), parameters).cpu()
    torch.testing.assert_close(on_device, photometric(images, parameters), rtol=0, atol=1e-4)
