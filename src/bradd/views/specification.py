"""What the random views of a method are: the numbers of its recipe, and one draw from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bradd.errors import BraddError
from bradd.views.parameters import JITTER_ORDER, JitterOperation, Parameter

__all__ = ["Box", "Draw", "SimCLRViews"]

# Boxes tried before the central one is taken, as in torchvision and Inception.
CROP_ATTEMPTS = 10
# Up to this side, in pixels, a view counts as small: CIFAR is 32, Tiny ImageNet 64.
SMALL_IMAGE = 64


class Box(NamedTuple):
    """A rectangle inside an image, in pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Draw:
    """All that is random about one view.

    Attributes:
        box: What the crop shows of the image.
        parameters: The photometric part, float32 `[P]`, laid out as `Parameter` says.
    """

    box: Box
    parameters: NDArray[np.float32]


@dataclass(frozen=True)
class SimCLRViews:
    """The random views of SimCLR (Chen et al., 2020), as SDCLR (Jiang et al., 2021) sets them.

    The colour jitter has half the strength of SimCLR's own on ImageNet.

    Attributes:
        minimum_scale: Smallest share of the image's area that a crop shows.
        maximum_scale: Largest share of the image's area that a crop shows.
        minimum_aspect_ratio: Smallest width / height of a crop.
        maximum_aspect_ratio: Largest width / height of a crop.
        flip: Probability of mirroring left and right.
        jitter: Probability of the colour jitter.
        brightness: Its factor is drawn from 1 - brightness (not below 0) to 1 + brightness.
        contrast: Its factor is drawn from 1 - contrast (not below 0) to 1 + contrast.
        saturation: Its factor is drawn from 1 - saturation (not below 0) to 1 + saturation.
        hue: The hue is turned by up to this share of a full turn either way, 0 to 0.5.
        grey: Probability of removing the colour.
        blur: Probability of the Gaussian blur.
        minimum_blur_sigma: Weakest blur, in pixels of the view.
        maximum_blur_sigma: Strongest blur, in pixels of the view.
        count: Views of each image.

    Raises:
        BraddError: A number is outside its range.
    """

    minimum_scale: float = 0.08
    maximum_scale: float = 1.0
    minimum_aspect_ratio: float = 3 / 4
    maximum_aspect_ratio: float = 4 / 3
    flip: float = 0.5
    jitter: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    grey: float = 0.2
    blur: float = 0.5
    minimum_blur_sigma: float = 0.1
    maximum_blur_sigma: float = 2.0
    count: int = 2

    def __post_init__(self) -> None:
        for name in ("flip", "jitter", "grey", "blur"):
            self._check(name, 0 <= getattr(self, name) <= 1, "a probability, 0 to 1")
        for name in ("brightness", "contrast", "saturation"):
            self._check(name, 0 <= getattr(self, name) < math.inf, "0 or more")
        self._check("hue", 0 <= self.hue <= 0.5, "0 to 0.5")
        self._check("count", self.count >= 1, "1 or more")
        self._check("maximum_scale", 0 < self.maximum_scale <= 1, "above 0 and at most 1")
        for name in ("scale", "aspect_ratio", "blur_sigma"):
            minimum, maximum = f"minimum_{name}", f"maximum_{name}"
            self._check(maximum, 0 < getattr(self, maximum) < math.inf, "above 0")
            in_order = 0 < getattr(self, minimum) <= getattr(self, maximum)
            self._check(minimum, in_order, f"above 0 and at most {maximum}")

    @classmethod
    def for_image_size(cls, size: int) -> SimCLRViews:
        """The recipe for views of `size` x `size` pixels.

        Up to 64 pixels there is no blur, as in SimCLR's CIFAR-10 recipe (Chen et al., 2020,
        appendix B.9), and a crop shows at least a fifth of the image, as is usual on CIFAR
        (Khosla et al., 2020): less of so small an image is only a few pixels. Above, the defaults.
        """
        if size <= SMALL_IMAGE:
            return cls(minimum_scale=0.2, blur=0.0)
        return cls()

    def draw(self, rng: np.random.Generator, width: int, height: int) -> Draw:
        """Draw one view of an image of `width` x `height` pixels.

        The same state of `rng` gives the same crop whatever the photometric settings, so that
        recipes can be compared on equal crops.

        Args:
            rng: All randomness comes from here.
            width: Width of the image in pixels, 1 or more.
            height: Height of the image in pixels, 1 or more.

        Returns:
            The crop and the photometric parameters.
        """
        parameters = self._draw_parameters(rng)
        box = self._draw_box(rng, width, height)
        return Draw(box, parameters)

    def _draw_parameters(self, rng: np.random.Generator) -> NDArray[np.float32]:
        parameters = np.zeros(len(Parameter), dtype=np.float32)
        parameters[Parameter.FLIP] = rng.random() < self.flip
        parameters[JITTER_ORDER] = rng.permutation(len(JitterOperation))
        jittered = rng.random() < self.jitter
        for factor, strength in (
            (Parameter.BRIGHTNESS, self.brightness),
            (Parameter.CONTRAST, self.contrast),
            (Parameter.SATURATION, self.saturation),
        ):
            drawn = rng.uniform(max(0.0, 1 - strength), 1 + strength)
            parameters[factor] = drawn if jittered else 1.0
        shift = rng.uniform(-self.hue, self.hue)
        parameters[Parameter.HUE] = shift if jittered else 0.0
        parameters[Parameter.GREY] = rng.random() < self.grey
        blurred = rng.random() < self.blur
        sigma = rng.uniform(self.minimum_blur_sigma, self.maximum_blur_sigma)
        parameters[Parameter.BLUR_SIGMA] = sigma if blurred else 0.0
        return parameters

    def _draw_box(self, rng: np.random.Generator, width: int, height: int) -> Box:
        """Inception's crop (Szegedy et al., 2015), by torchvision's `RandomResizedCrop`."""
        lowest, highest = self.minimum_aspect_ratio, self.maximum_aspect_ratio
        for _ in range(CROP_ATTEMPTS):
            area = width * height * rng.uniform(self.minimum_scale, self.maximum_scale)
            aspect_ratio = math.exp(rng.uniform(math.log(lowest), math.log(highest)))
            box_width = round(math.sqrt(area * aspect_ratio))
            box_height = round(math.sqrt(area / aspect_ratio))
            if 0 < box_width <= width and 0 < box_height <= height:
                left = int(rng.integers(width - box_width, endpoint=True))
                top = int(rng.integers(height - box_height, endpoint=True))
                return Box(left, top, box_width, box_height)

        # No box fits the image's own aspect ratio: the largest central one whose ratio is allowed.
        box_width = min(width, max(1, round(height * highest)))
        box_height = min(height, max(1, round(width / lowest)))
        left, top = (width - box_width) // 2, (height - box_height) // 2
        return Box(left, top, box_width, box_height)

    def _check(self, name: str, right: bool, expected: str) -> None:
        if not right:
            raise BraddError(f"views: {name} is {getattr(self, name)}; it must be {expected}")
