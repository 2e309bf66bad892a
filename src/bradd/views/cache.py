"""Images held in memory, ready to be cropped on the device."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from bradd.errors import BraddError
from bradd.memory import available_memory
from bradd.views.reduction import ImageSource, load_reduced

__all__ = ["ImageCache", "cache_shape", "check_memory", "memory_needed"]

Pixels = npt.NDArray[np.uint8]
Sizes = npt.NDArray[np.int64]

# Images decoded before they are stored: enough to keep all threads busy.
_AT_ONCE = 256


def memory_needed(count: int, side: int) -> int:
    """Bytes that `count` images of `side` x `side` pixels take in a cache."""
    return 3 * side * side * count


def cache_shape(sizes: npt.NDArray[np.integer[Any]], side: int, least: int) -> tuple[int, int]:
    """The one shape in which images are kept.

    Args:
        sizes: Width and height of each image, `[N, 2]`.
        side: Largest side to keep, in pixels.
        least: Smallest side to keep, so that variations, which have the size of the views, lose
            nothing.

    Returns:
        Width and height: the images' own if they all have one between `least` and `side`, else
        `side` for both.
    """
    own = sizes[0]
    if (sizes == own).all() and least <= own.min() and own.max() <= side:
        return int(own[0]), int(own[1])
    return side, side


class ImageCache:
    """All images as one array, each resized to one shape.

    It is filled by `fill`, or by what is asked for first. Images that `images` gains at its end
    later are added when they are asked for, also in worker processes. An image's own width and
    height are remembered, so that crops can be drawn in its own geometry.

    Args:
        images: The images.
        shape: Width and height in pixels to keep them in, see `cache_shape`.
        threads: How many decode at once.
    """

    def __init__(self, images: ImageSource, shape: tuple[int, int], threads: int = 1) -> None:
        self._images = images
        self._shape = shape
        self._threads = threads
        self._blocks: list[Pixels] = []  # each [n, 3, H, W]; one for each time that it grew
        self._sizes: Sizes = np.empty((0, 2), np.int64)  # the images' own width and height, [N, 2]

    def __len__(self) -> int:
        return len(self._images)

    def fill(self, progress: Callable[[int], None] | None = None) -> None:
        """Decode all images that are not in the cache yet.

        Args:
            progress: Called with the number of images just decoded, again and again.

        Raises:
            BraddError: They need more memory than there is.
            UnreadableImage: An image cannot be decoded.
        """
        self._extend(len(self._images), progress)

    def get(self, indices: npt.NDArray[np.int64]) -> tuple[Pixels, Sizes]:
        """Some of the images.

        Args:
            indices: `[B]`.

        Returns:
            The pixels, uint8 `[B, 3, H, W]`, and the images' own width and height, `[B, 2]`.

        Raises:
            BraddError: They need more memory than there is.
            UnreadableImage: An image cannot be decoded.
        """
        needed = int(indices.max(initial=-1)) + 1
        if needed > len(self._sizes):
            self._extend(max(needed, len(self._images)))
        if len(self._blocks) == 1:
            return self._blocks[0][indices], self._sizes[indices]
        pixels = np.empty((len(indices), *self._blocks[0].shape[1:]), np.uint8)
        start = 0
        for block in self._blocks:
            here = (start <= indices) & (indices < start + len(block))
            pixels[here] = block[indices[here] - start]
            start += len(block)
        return pixels, self._sizes[indices]

    def _extend(self, count: int, progress: Callable[[int], None] | None = None) -> None:
        """Decode the images up to `count`."""
        present = len(self._sizes)
        if count <= present:
            return
        block = self._allocate(count - present)
        sizes: list[tuple[int, int]] = []
        with ThreadPoolExecutor(max(1, self._threads)) as pool:
            for start in range(present, count, _AT_ONCE):
                stop = min(start + _AT_ONCE, count)
                for pixels, size in pool.map(self._load, range(start, stop)):
                    block[len(sizes)] = pixels
                    sizes.append(size)
                if progress is not None:
                    progress(stop - start)
        self._blocks.append(block)
        self._sizes = np.concatenate([self._sizes, np.array(sizes, np.int64)])

    def _load(self, index: int) -> tuple[Pixels, tuple[int, int]]:
        """One image in the cache's shape, and its own width and height."""
        shape = self._shape

        def pixels(width: int, height: int) -> float:
            return min(width / shape[0], height / shape[1])

        image, size, factor = load_reduced(self._images, index, pixels)
        return _resized(image, shape, size, factor), size

    def _allocate(self, count: int) -> Pixels:
        width, height = self._shape
        check_memory(count, self._shape)
        return np.empty((count, 3, height, width), np.uint8)


def check_memory(count: int, shape: tuple[int, int]) -> None:
    """Refuse a cache of `count` images of a width and height for which memory does not suffice.

    Raises:
        BraddError: It does not.
    """
    needed, available = 3 * count * shape[0] * shape[1], available_memory()
    if needed > available:
        raise BraddError(
            f"cache: {count} images of {shape[0]} x {shape[1]} pixels need "
            f"{needed / 2**30:.1f} GiB of memory, {available / 2**30:.1f} GiB are free. Free some, "
            "or start a run with a smaller cache, or 0 for none."
        )


def _resized(
    image: Image.Image, shape: tuple[int, int], full_size: tuple[int, int], factor: int = 1
) -> Pixels:
    """An image, decoded `factor` times smaller than `full_size`, as `shape`: width and height."""
    if image.size != shape:
        whole = (0, 0, full_size[0] / factor, full_size[1] / factor)
        image = image.resize(shape, Image.Resampling.BILINEAR, box=whole)
    return np.asarray(image).transpose(2, 0, 1)
