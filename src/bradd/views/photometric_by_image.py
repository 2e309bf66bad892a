"""The photometric part of random views on a processor, image by image.

There memory traffic is the cost: an image of 224 pixels stays in the processor's cache through all
its operations, a batch does not. OpenCV's kernels take interleaved pixels, `[H, W, 3]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import numpy.typing as npt

from bradd.views.blur import blur_radius
from bradd.views.colour import LUMA_WEIGHTS
from bradd.views.parameters import JITTER_ORDER, SOLARISE_FROM, JitterOperation, Parameter

__all__ = ["ImageChanger", "one_thread"]

Pixels = npt.NDArray[np.float32]

# From RGB to brightness, three times: a matrix over the colours.
_TO_GREY = np.tile(np.array(LUMA_WEIGHTS, np.float32), (3, 1))
_UNCHANGED = np.eye(3, dtype=np.float32)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep OpenCV from dealing out an image, which is too little, to cores that workers share."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


class ImageChanger:
    """Flips, jitters, greys, blurs and solarises images of one size, one after the other.

    Its memory is used again for each image: the first touch of new memory costs as much as an
    operation.

    Args:
        height: Of the images in pixels.
        width: Of the images in pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        self._pixels: Pixels = np.empty((height, width, 3), np.float32)
        self._spare: Pixels = np.empty((height, width, 3), np.float32)

    def __call__(self, image: npt.NDArray[np.uint8], parameters: npt.NDArray[np.float32]) -> Pixels:
        """Change one image as `photometric` does.

        Args:
            image: RGB, `[3, H, W]`; left unchanged.
            parameters: What `draw_parameters` drew for it, `[P]`.

        Returns:
            `[H, W, 3]`, from 0 to 255; overwritten by the next call.
        """
        colours = image[:, :, ::-1] if parameters[Parameter.FLIP] else image
        np.copyto(self._pixels, cv2.merge([np.ascontiguousarray(colour) for colour in colours]))
        for operation in parameters[JITTER_ORDER].astype(int).tolist():
            self._jitter(operation, float(parameters[Parameter.BRIGHTNESS + operation]))
        if parameters[Parameter.GREY]:
            self._mix_colours(_TO_GREY)
        if parameters[Parameter.BLUR_SIGMA]:
            self._blur(float(parameters[Parameter.BLUR_SIGMA]))
        if parameters[Parameter.SOLARISE]:
            self._pixels = np.where(self._pixels >= SOLARISE_FROM, 255 - self._pixels, self._pixels)
        return self._pixels

    def _jitter(self, operation: int, number: float) -> None:
        if operation == JitterOperation.HUE:
            if number != 0:
                self._turn_hue(number)
            return
        if number == 1:
            return
        if operation == JitterOperation.SATURATION:
            self._mix_colours(number * _UNCHANGED + (1 - number) * _TO_GREY)
        else:
            shift = 0.0
            if operation == JitterOperation.CONTRAST:
                shift = float(np.dot(cv2.mean(self._pixels)[:3], LUMA_WEIGHTS)) * (1 - number)
            self._pixels *= number
            self._pixels += shift
        if number > 1:  # below, nothing leaves the range
            np.clip(self._pixels, 0, 255, out=self._pixels)

    def _turn_hue(self, turns: float) -> None:
        cv2.cvtColor(self._pixels, cv2.COLOR_RGB2HSV, dst=self._spare)
        # OpenCV takes hues beyond a full turn, but none below 0.
        self._spare[:, :, 0] += 360 * (turns % 1)
        cv2.cvtColor(self._spare, cv2.COLOR_HSV2RGB, dst=self._pixels)

    def _mix_colours(self, matrix: Pixels) -> None:
        cv2.transform(self._pixels, matrix, dst=self._spare)
        self._swap()

    def _blur(self, sigma: float) -> None:
        radius = int(blur_radius(np.array([sigma], np.float32), min(self._pixels.shape[:2]))[0])
        size = (2 * radius + 1, 2 * radius + 1)
        reflect = cv2.BORDER_REFLECT_101
        cv2.GaussianBlur(self._pixels, size, sigma, dst=self._spare, borderType=reflect)
        self._swap()

    def _swap(self) -> None:
        self._pixels, self._spare = self._spare, self._pixels
