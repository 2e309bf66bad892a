"""Images held in memory, ready to be cropped on the device."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from PIL import Image

from bradd.errors import BraddError
from bradd.memory import available_memory
from bradd.views.reduction import ImageSource, load_reduced

__all__ = ["ImageCache", "memory_needed"]

Pixels = npt.NDArray[np.uint8]
Sizes = npt.NDArray[np.int64]

# Images decoded before they are stored: enough to keep all threads busy.
_AT_ONCE = 256


def memory_needed(count: int, side: int) -> int:
    """Bytes that `count` images of `side` x `side` pixels take in a cache."""
    return 3 * side * side * count


class ImageCache:
    """All images as one array of equal squares, or of their own shape if that is one and small.

    It is filled by `fill`, or by what is asked for first. Images that `images` gains at its end
    later are added when they are asked for, also in worker processes.

    Args:
        images: The images.
        side: Side of the squares in pixels. Images that all have one size up to this are kept as
            they are; else all are resized to squares. Their own width and height is remembered,
            so that crops can be drawn in the images' own geometry. None: all images are as large
            as the first, and kept as they are.
        threads: How many decode at once.
    """

    def __init__(self, images: ImageSource, side: int | None = None, threads: int = 1) -> None:
        self._images = images
        self._side = side
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
        height, width = self._shape()
        block = self._allocate(count - present, height, width)
        sizes: list[tuple[int, int]] = []
        with ThreadPoolExecutor(max(1, self._threads)) as pool:
            for start in range(present, count, _AT_ONCE):
                stop = min(start + _AT_ONCE, count)
                for image, size, factor in pool.map(self._load, range(start, stop)):
                    if image.size != (width, height) and self._may_become_squares(height, width):
                        # Not all of one size after all: squares, also of those already here.
                        block = self._squares(block, len(sizes))
                        height, width = block.shape[2:]
                    block[len(sizes)] = _resized(image, (width, height), size, factor)
                    sizes.append(size)
                if progress is not None:
                    progress(stop - start)
        self._blocks.append(block)
        self._sizes = np.concatenate([self._sizes, np.array(sizes, np.int64)])

    def _shape(self) -> tuple[int, int]:
        """Height and width of all images in the cache."""
        if self._blocks:
            height, width = self._blocks[0].shape[2:]
            return height, width
        width, height = self._load(0)[1]  # its full size
        if self._side is not None and max(width, height) > self._side:
            return self._side, self._side
        return height, width

    def _may_become_squares(self, height: int, width: int) -> bool:
        """Whether the images' own shape was taken for that of all, and nothing holds to it yet."""
        return self._side is not None and not self._blocks and (height, width) != (self._side,) * 2

    def _squares(self, block: Pixels, filled: int) -> Pixels:
        assert self._side is not None
        squares = self._allocate(len(block), self._side, self._side)
        for row in range(filled):
            image = Image.fromarray(block[row].transpose(1, 2, 0))
            squares[row] = _resized(image, (self._side, self._side), image.size)
        return squares

    def _load(self, index: int) -> tuple[Image.Image, tuple[int, int], int]:
        def pixels(width: int, height: int) -> float:
            return min(width, height) / self._side if self._side else 1

        return load_reduced(self._images, index, pixels)

    def _allocate(self, count: int, height: int, width: int) -> Pixels:
        needed, available = count * 3 * height * width, available_memory()
        if needed > available:
            raise BraddError(
                f"cache: {count} images of {width} x {height} pixels need "
                f"{needed / 2**30:.1f} GiB of memory, {available / 2**30:.1f} GiB are free. Turn "
                "the cache off, or choose a smaller side."
            )
        return np.empty((count, 3, height, width), np.uint8)


def _resized(
    image: Image.Image, shape: tuple[int, int], full_size: tuple[int, int], factor: int = 1
) -> Pixels:
    """An image, decoded `factor` times smaller than `full_size`, as `shape`: width and height."""
    if image.size != shape:
        whole = (0, 0, full_size[0] / factor, full_size[1] / factor)
        image = image.resize(shape, Image.Resampling.BILINEAR, box=whole)
    return np.asarray(image).transpose(2, 0, 1)
