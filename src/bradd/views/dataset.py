"""Datasets of views, made in the workers of a `torch.utils.data.DataLoader`."""

from __future__ import annotations

from typing import Protocol, TypedDict

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from bradd.data.resize import centre_view
from bradd.errors import BraddError
from bradd.seeds import random_generator
from bradd.views.crop import crop
from bradd.views.specification import SimCLRViews

__all__ = ["CentreViewDataset", "ImageSource", "ViewDataset", "Views"]


class ImageSource(Protocol):
    """Images that can be counted and loaded one by one."""

    def __len__(self) -> int:
        """How many images there are."""

    def load(self, index: int) -> Image.Image:
        """Decode one image as RGB."""


class Views(TypedDict):
    """The views of one image, ready for `bradd.views.photometric.photometric`.

    A data loader's default collation puts the batch dimension before those given here.
    """

    views: Tensor  # cropped and resized, uint8 [V, 3, S, S]
    parameters: Tensor  # of the photometric part, float32 [V, P]
    index: int  # of the image


class ViewDataset(Dataset[Views]):
    """Random views of images, each a function of (seed, epoch, index, view number) alone.

    Its keys are pairs (epoch, index), so that a sampler says which epoch's views to make and
    nothing has to be told to workers that are already running.

    Args:
        images: Where the images come from.
        views: The recipe of the views.
        size: Side S of the views in pixels.
        seed: The run's seed.

    Raises:
        BraddError: The size is not positive.
    """

    def __init__(self, images: ImageSource, views: SimCLRViews, size: int, seed: int) -> None:
        _check_size(size)
        self.images = images
        self.views = views
        self.size = size
        self.seed = seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: tuple[int, int]) -> Views:
        """The views of image `index` in epoch `epoch`, for `key = (epoch, index)`."""
        epoch, index = key
        image = self.images.load(index)
        draws = [
            self.views.draw(random_generator(self.seed, "views", epoch, index, view), *image.size)
            for view in range(self.views.count)
        ]
        crops = np.stack([crop(image, draw.box, self.size) for draw in draws])
        parameters = np.stack([draw.parameters for draw in draws])
        return Views(
            views=torch.from_numpy(crops), parameters=torch.from_numpy(parameters), index=index
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
        return torch.tensor(centre_view(self.images.load(index), self.size)), index


def _check_size(size: int) -> None:
    if size < 1:
        raise BraddError(f"size is {size}; views need a side of 1 pixel or more")
