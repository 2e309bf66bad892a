"""Datasets of views, for the workers of a `torch.utils.data.DataLoader`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from bradd.data.resize import centre_view
from bradd.errors import BraddError
from bradd.views.cache import ImageCache
from bradd.views.crop import Box, crop
from bradd.views.draw import draw_boxes, draw_numbers, draw_parameters
from bradd.views.reduction import ImageSource, load_reduced
from bradd.views.specification import Views

__all__ = [
    "CachedViewDataset",
    "CentreViewDataset",
    "ImageSource",
    "ViewBatch",
    "ViewDataset",
    "as_is",
]

T = TypeVar("T")


class ViewBatch(TypedDict):
    """The views of a batch as numbers and pixels, ready for `bradd.views.render.make_views`.

    What is drawn stays in NumPy arrays, and so on the host when a batch is moved to a device.
    The pixels are either `views`, cropped already, or `images` with `boxes` and `sizes`.
    """

    index: Tensor  # of the images, int64 [B]
    # Of the photometric part, [V, B, P]; absent where it has been done.
    parameters: NotRequired[npt.NDArray[np.float32]]
    views: NotRequired[list[Tensor]]  # V times uint8 [B, 3, S_v, S_v]
    images: NotRequired[Tensor]  # uint8 [B, 3, H, W]
    boxes: NotRequired[npt.NDArray[np.float32]]  # left, top, width, height in pixels, [V, B, 4]
    sizes: NotRequired[list[int]]  # the side S_v of each view


def as_is(batch: T) -> T:
    """A `collate_fn` for datasets that hand over whole batches, as those here do."""
    return batch


class ViewDataset(Dataset[Any]):
    """Random views of images, each a function of (seed, epoch, index, view number) alone.

    Its keys are pairs (epoch, index), so that a sampler says which epoch's views to make and
    nothing has to be told to workers that are already running. It hands over whole batches
    (`__getitems__`): give the loader `collate_fn=as_is`.

    Args:
        images: Where the images come from.
        views: The method's views.
        size: Side S of the (global) views in pixels.
        seed: The run's seed.

    Raises:
        BraddError: The size is not positive.
    """

    def __init__(self, images: ImageSource, views: Views, size: int, seed: int) -> None:
        _check_size(size)
        self.images = images
        self.recipes = views.recipes(size)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> ViewBatch:
        """The views of a batch of images, cropped, for `keys` of (epoch, index)."""
        numbers = draw_numbers(self.seed, keys, len(self.recipes))
        views = [
            torch.empty(len(keys), 3, recipe.size, recipe.size, dtype=torch.uint8)
            for recipe in self.recipes
        ]
        for row, (_, index) in enumerate(keys):
            image, boxes = self._load(index, numbers[:, row : row + 1])
            for view, recipe, box in zip(views, self.recipes, boxes, strict=True):
                view[row] = torch.from_numpy(crop(image, box, recipe.size))
        return ViewBatch(
            index=_indices(keys), parameters=draw_parameters(self.recipes, numbers), views=views
        )

    def _load(self, index: int, numbers: npt.NDArray[np.float64]) -> tuple[Image.Image, list[Box]]:
        """Decode an image no larger than its views need, and say what they show of it."""

        def boxes(width: int, height: int) -> npt.NDArray[np.float64]:
            return draw_boxes(self.recipes, numbers, [width], [height])[:, 0]  # [V, 4]

        def pixels(width: int, height: int) -> float:
            shown = boxes(width, height)[:, 2:].min(axis=1)
            return float((shown / [recipe.size for recipe in self.recipes]).min())

        image, full_size, factor = load_reduced(self.images, index, pixels)
        return image, [Box(*row) for row in (boxes(*full_size) / factor).tolist()]


class CachedViewDataset(Dataset[Any]):
    """The views of `ViewDataset` for images held in memory: they are cropped on the device.

    Args:
        cache: The images.
        views: The method's views.
        size: Side S of the (global) views in pixels.
        seed: The run's seed.

    Raises:
        BraddError: The size is not positive.
    """

    def __init__(self, cache: ImageCache, views: Views, size: int, seed: int) -> None:
        _check_size(size)
        self.cache = cache
        self.recipes = views.recipes(size)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.cache)

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> ViewBatch:
        """A batch of whole images and what views to make of them, for `keys` of (epoch, index)."""
        index = _indices(keys)
        images, sizes = self.cache.get(index.numpy())
        numbers = draw_numbers(self.seed, keys, len(self.recipes))
        boxes = draw_boxes(self.recipes, numbers, sizes[:, 0], sizes[:, 1])
        height, width = images.shape[2:]
        scale = np.array([width, height]) / sizes  # what the cache squeezed is cut out as squeezed
        return ViewBatch(
            index=index,
            parameters=draw_parameters(self.recipes, numbers),
            images=torch.from_numpy(images),
            boxes=(boxes * np.tile(scale, 2)).astype(np.float32),
            sizes=[recipe.size for recipe in self.recipes],
        )


class CentreViewDataset(Dataset[tuple[Tensor, int]]):
    """The central square of each image, for embedding and evaluation: nothing is random.

    Args:
        images: Where the images come from.
        size: Side S of the views in pixels.

    Raises:
        BraddError: The size is not positive.
    """

    def __init__(self, images: ImageSource, size: int) -> None:
        _check_size(size)
        self.images = images
        self.size = size

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """The view, uint8 `[3, S, S]`, and its index."""
        image, _, _ = load_reduced(
            self.images, index, lambda width, height: min(width, height) / self.size
        )
        return torch.tensor(centre_view(image, self.size)), index


def _indices(keys: Sequence[tuple[int, int]]) -> Tensor:
    return torch.tensor([index for _, index in keys], dtype=torch.int64)


def _check_size(size: int) -> None:
    if size < 1:
        raise BraddError(f"size is {size}; views need a side of 1 pixel or more")
