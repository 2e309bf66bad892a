"""Drawing views: from recipes and evenly distributed numbers to boxes and parameters.

Everything is done for all views of a batch at once, and for each view by its own row of numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from bradd.seeds import uniform_numbers
from bradd.views.parameters import JITTER_ORDER, JitterOperation, Parameter
from bradd.views.specification import ViewRecipe

__all__ = ["NUMBERS", "draw_boxes", "draw_numbers", "draw_parameters"]

Floats = npt.NDArray[np.float64]

# Boxes tried before the central one is taken, as in torchvision and Inception.
CROP_ATTEMPTS = 10
JITTER_ORDERS = np.array(list(permutations(JitterOperation)), np.float32)  # [24, 4]

# Where in a view's row of numbers what is drawn from which.
_FLIP, _ORDER, _JITTER, _BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(7)
_GREY, _BLUR, _BLUR_SIGMA, _SOLARISE, _LEFT, _TOP = range(7, 13)
_AREA = slice(13, 13 + CROP_ATTEMPTS)
_ASPECT_RATIO = slice(_AREA.stop, _AREA.stop + CROP_ATTEMPTS)
NUMBERS = _ASPECT_RATIO.stop
"""How many numbers a view is drawn from, U."""


def draw_numbers(seed: int, keys: Sequence[tuple[int, int]], views: int) -> Floats:
    """The numbers that a batch's views are drawn from, by (seed, epoch, index, view number).

    Args:
        seed: The run's seed.
        keys: Epoch and index of each image, B of them.
        views: Views of each image, V.

    Returns:
        Evenly distributed over (0, 1), `[V, B, U]`.
    """
    epochs, indices = np.array(keys, np.int64).reshape(-1, 2).T
    numbers = np.empty((views, len(indices), NUMBERS))
    for epoch in np.unique(epochs).tolist():  # one, nearly always
        rows = epochs == epoch
        for view in range(views):
            numbers[view, rows] = uniform_numbers(
                seed, "views", epoch, view, indices=indices[rows], count=NUMBERS
            )
    return numbers


def draw_parameters(recipes: Sequence[ViewRecipe], numbers: Floats) -> npt.NDArray[np.float32]:
    """Draw the photometric part of views.

    Args:
        recipes: One for each view, V.
        numbers: `[V, B, U]`, see `draw_numbers`.

    Returns:
        `[V, B, P]`, laid out as `Parameter` says.
    """

    def setting(name: str) -> Floats:
        return np.array([getattr(recipe, name) for recipe in recipes], np.float64)[:, None]

    parameters = np.zeros((*numbers.shape[:2], len(Parameter)), np.float32)
    parameters[..., Parameter.FLIP] = numbers[..., _FLIP] < setting("flip")
    orders = (numbers[..., _ORDER] * len(JITTER_ORDERS)).astype(np.int64)
    parameters[..., JITTER_ORDER] = JITTER_ORDERS[orders]
    jittered = numbers[..., _JITTER] < setting("jitter")
    for place, number, name in (
        (Parameter.BRIGHTNESS, _BRIGHTNESS, "brightness"),
        (Parameter.CONTRAST, _CONTRAST, "contrast"),
        (Parameter.SATURATION, _SATURATION, "saturation"),
    ):
        strength = setting(name)
        factor = _between(np.maximum(0, 1 - strength), 1 + strength, numbers[..., number])
        parameters[..., place] = np.where(jittered, factor, 1)
    hue = setting("hue")
    parameters[..., Parameter.HUE] = np.where(jittered, _between(-hue, hue, numbers[..., _HUE]), 0)
    parameters[..., Parameter.GREY] = numbers[..., _GREY] < setting("grey")
    sigma = _between(
        setting("minimum_blur_sigma"), setting("maximum_blur_sigma"), numbers[..., _BLUR_SIGMA]
    )
    parameters[..., Parameter.BLUR_SIGMA] = np.where(
        numbers[..., _BLUR] < setting("blur"), sigma, 0
    )
    parameters[..., Parameter.SOLARISE] = numbers[..., _SOLARISE] < setting("solarise")
    return parameters


def draw_boxes(
    recipes: Sequence[ViewRecipe], numbers: Floats, widths: npt.ArrayLike, heights: npt.ArrayLike
) -> Floats:
    """Draw what views show of their images: Inception's crop (Szegedy et al., 2015).

    As torchvision's `RandomResizedCrop`: ten boxes of random area and aspect ratio are tried; if
    none fits, the largest central one is taken whose aspect ratio is allowed.

    Args:
        recipes: One for each view, V.
        numbers: `[V, B, U]`, see `draw_numbers`.
        widths: Of the images in pixels, 1 or more, `[B]`, or `[V, B]` where views differ.
        heights: Of the images in pixels, likewise.

    Returns:
        Left, top, width and height in whole pixels, `[V, B, 4]`.
    """
    bounds = attrgetter(
        "minimum_scale", "maximum_scale", "minimum_aspect_ratio", "maximum_aspect_ratio"
    )
    settings = np.array([bounds(recipe) for recipe in recipes], np.float64)[..., None]  # [V, 4, 1]
    smallest, largest, narrowest, widest = settings.transpose(1, 0, 2)  # each [V, 1]
    width = np.asarray(widths, np.float64)[..., None]  # [B, 1] or [V, B, 1]
    height = np.asarray(heights, np.float64)[..., None]

    # Each [V, B, attempts].
    area = width * height * _between(smallest[..., None], largest[..., None], numbers[..., _AREA])
    aspect_ratio = np.exp(
        _between(
            np.log(narrowest)[..., None], np.log(widest)[..., None], numbers[..., _ASPECT_RATIO]
        )
    )
    tried_width = np.rint(np.sqrt(area * aspect_ratio))
    tried_height = np.rint(np.sqrt(area / aspect_ratio))
    fits = (
        (tried_width > 0) & (tried_width <= width) & (tried_height > 0) & (tried_height <= height)
    )
    first = fits.argmax(axis=2)[..., None]
    found = fits.any(axis=2)

    width, height = width[..., 0], height[..., 0]
    central_width = np.minimum(width, np.maximum(1, np.rint(height * widest)))
    central_height = np.minimum(height, np.maximum(1, np.rint(width / narrowest)))
    box_width = np.where(found, np.take_along_axis(tried_width, first, 2)[..., 0], central_width)
    box_height = np.where(found, np.take_along_axis(tried_height, first, 2)[..., 0], central_height)
    left = np.where(found, numbers[..., _LEFT] * (width - box_width + 1), (width - box_width) / 2)
    top = np.where(found, numbers[..., _TOP] * (height - box_height + 1), (height - box_height) / 2)
    return np.stack([np.floor(left), np.floor(top), box_width, box_height], axis=-1)


def _between(low: Floats, high: Floats, number: Floats) -> Floats:
    """From evenly distributed over (0, 1) to evenly distributed over (low, high)."""
    return low + (high - low) * number
