"""Datasets of views, for the workers of a `torch.utils.data.DataLoader`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from bradd.views.specification import ViewRecipe, Views

__all__ = [
    "CachedViewDataset",
    "CentreViewDataset",
    "ImageSource",
    "Partners",
    "ViewBatch",
    "ViewDataset",
    "as_is",
]

T = TypeVar("T")

Partners = Callable[[Sequence[tuple[int, int]]], npt.NDArray[np.int64]]
"""From keys (epoch, index) to the images that every second view shows instead, `[B]`."""


class ViewBatch(TypedDict):
    """The views of a batch as numbers and pixels, ready for `bradd.views.render.make_views`.

    What is drawn stays in NumPy arrays, and so on the host when a batch is moved to a device.
    The pixels are either `views`, cropped already, or `images` with `boxes` and `sizes`.
    """

    index: Tensor  # of the images, int64 [B]
    # Of the photometric part, [V, B, P]; absent where it has been done.
    parameters: NotRequired[npt.NDArray[np.float32]]
    views: NotRequired[list[Tensor]]  # V times uint8 [B, 3, S_v, S_v]
    images: NotRequired[Tensor]  # uint8 [B, 3, H, W], or [N, 3, H, W] where there are rows
    rows: NotRequired[Tensor]  # which of the images each view shows, int64 [V, B]
    boxes: NotRequired[npt.NDArray[np.float32]]  # left, top, width, height in pixels, [V, B, 4]
    sizes: NotRequired[list[int]]  # the side S_v of each view


def as_is(batch: T) -> T:
    """A `collate_fn` for datasets that hand over whole batches, as those here do."""
    return batch


class _RandomViews(Dataset[Any]):
    """What random views are drawn by, wherever their images come from."""

    def __init__(self, views: Views, size: int, seed: int, partners: Partners | None) -> None:
        _check_size(size)
        self.recipes = views.recipes(size)
        self.seed = seed
        self.partners = partners

    def _shown(self, keys: Sequence[tuple[int, int]]) -> npt.NDArray[np.int64]:
        """Which image each view shows, `[V, B]`."""
        shown = np.tile(np.array([index for _, index in keys], np.int64), (len(self.recipes), 1))
        if self.partners is not None:
            shown[1::2] = self.partners(keys)
        return shown


class ViewDataset(_RandomViews):
    """Random views of images, each a function of (seed, epoch, index, view number) alone.

    Its keys are pairs (epoch, index), so that a sampler says which epoch's views to make and
    nothing has to be told to workers that are already running. It hands over whole batches
    (`__getitems__`): give the loader `collate_fn=as_is`.

    Args:
        images: Where the images come from.
        views: The method's views.
        size: Side S of the (global) views in pixels.
        seed: The run's seed.
        partners: What every second view shows. Default: the same image as the others.

    Raises:
        BraddError: The size is not positive.
    """

    def __init__(
        self,
        images: ImageSource,
        views: Views,
        size: int,
        seed: int,
        partners: Partners | None = None,
    ) -> None:
        super().__init__(views, size, seed, partners)
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> ViewBatch:
        """The views of a batch of images, cropped, for `keys` of (epoch, index)."""
        numbers = draw_numbers(self.seed, keys, len(self.recipes))
        views = [
            torch.empty(len(keys), 3, recipe.size, recipe.size, dtype=torch.uint8)
            for recipe in self.recipes
        ]
        shown = self._shown(keys)
        for row in range(len(keys)):
            for index in dict.fromkeys(shown[:, row].tolist()):  # one, unless there are partners
                of_index = np.flatnonzero(shown[:, row] == index).tolist()
                recipes = [self.recipes[number] for number in of_index]
                image, boxes = self._load(index, recipes, numbers[of_index, row : row + 1])
                for number, recipe, box in zip(of_index, recipes, boxes, strict=True):
                    views[number][row] = torch.from_numpy(crop(image, box, recipe.size))
        return ViewBatch(
            index=_indices(keys), parameters=draw_parameters(self.recipes, numbers), views=views
        )

    def _load(
        self, index: int, recipes: Sequence[ViewRecipe], numbers: npt.NDArray[np.float64]
    ) -> tuple[Image.Image, list[Box]]:
        """Decode an image no larger than its views need, and say what they show of it."""

        def boxes(width: int, height: int) -> npt.NDArray[np.float64]:
            return draw_boxes(recipes, numbers, [width], [height])[:, 0]  # [V, 4]

        def pixels(width: int, height: int) -> float:
            shown = boxes(width, height)[:, 2:].min(axis=1)
            return float((shown / [recipe.size for recipe in recipes]).min())

        image, full_size, factor = load_reduced(self.images, index, pixels)
        return image, [Box(*row) for row in (boxes(*full_size) / factor).tolist()]


class CachedViewDataset(_RandomViews):
    """The views of `ViewDataset` for images held in memory: they are cropped on the device.

    Args:
        cache: The images.
        views: The method's views.
        size: Side S of the (global) views in pixels.
        seed: The run's seed.
        partners: What every second view shows. Default: the same image as the others.

    Raises:
        BraddError: The size is not positive.
    """

    def __init__(
        self,
        cache: ImageCache,
        views: Views,
        size: int,
        seed: int,
        partners: Partners | None = None,
    ) -> None:
        super().__init__(views, size, seed, partners)
        self.cache = cache

    def __len__(self) -> int:
        return len(self.cache)

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> ViewBatch:
        """A batch of whole images and what views to make of them, for `keys` of (epoch, index)."""
        index = _indices(keys)
        shown = self._shown(keys)
        # Without partners all views show the same images, which are kept in the batch's order.
        needed = index.numpy() if self.partners is None else np.unique(shown)
        images, sizes = self.cache.get(needed)
        numbers = draw_numbers(self.seed, keys, len(self.recipes))
        rows = None if self.partners is None else np.searchsorted(needed, shown)
        of_view = sizes if rows is None else sizes[rows]  # [B, 2] or [V, B, 2]
        boxes = draw_boxes(self.recipes, numbers, of_view[..., 0], of_view[..., 1])
        height, width = images.shape[2:]
        # What the cache squeezed is cut out as squeezed.
        scale = np.array([width, height]) / of_view
        batch = ViewBatch(
            index=index,
            parameters=draw_parameters(self.recipes, numbers),
            images=torch.from_numpy(images),
            boxes=(boxes * np.concatenate([scale, scale], axis=-1)).astype(np.float32),
            sizes=[recipe.size for recipe in self.recipes],
        )
        if rows is not None:
            batch["rows"] = torch.from_numpy(rows)
        return batch


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
