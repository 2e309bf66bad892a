"""What the random views of a method are: all their numbers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self

from bradd.data.sizes import SMALL_IMAGE
from bradd.errors import BraddError

__all__ = ["DINOViews", "MoCoV3Views", "SimCLRViews", "ViewRecipe", "Views"]

# Smallest side of a local view for small images: less is no more than a few strokes of colour.
SMALLEST_LOCAL_SIDE = 16


@dataclass(frozen=True)
class ViewRecipe:
    """One view of an image: its side in pixels, and how it is drawn.

    The names are those of `SimCLRViews`; `solarise` is the probability of inverting what is
    brighter than half.
    """

    size: int
    minimum_scale: float
    maximum_scale: float
    minimum_aspect_ratio: float
    maximum_aspect_ratio: float
    flip: float
    jitter: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    grey: float
    blur: float
    minimum_blur_sigma: float
    maximum_blur_sigma: float
    solarise: float = 0.0


class Views(ABC):
    """A method's random views; a subclass is a frozen dataclass of all their numbers."""

    @abstractmethod
    def recipes(self, image_size: int) -> list[ViewRecipe]:
        """One recipe for each view of an image.

        Args:
            image_size: Side of the (global) views in pixels.
        """

    @classmethod
    @abstractmethod
    def for_image_size(cls, size: int) -> Self:
        """What suits views of `size` x `size` pixels."""


@dataclass(frozen=True)
class _SharedNumbers(Views):
    """What the views of all methods have in common.

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
        minimum_blur_sigma: Weakest blur, in pixels of the view.
        maximum_blur_sigma: Strongest blur, in pixels of the view.

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
    minimum_blur_sigma: float = 0.1
    maximum_blur_sigma: float = 2.0

    def __post_init__(self) -> None:
        self._check_probabilities("flip", "jitter", "grey")
        for name in ("brightness", "contrast", "saturation"):
            self._check(name, 0 <= getattr(self, name) < math.inf, "0 or more")
        self._check("hue", 0 <= self.hue <= 0.5, "0 to 0.5")
        self._check("maximum_scale", 0 < self.maximum_scale <= 1, "above 0 and at most 1")
        for name in ("scale", "aspect_ratio", "blur_sigma"):
            self._check_range(f"minimum_{name}", f"maximum_{name}")

    def _recipe(self, size: int, *, blur: float, solarise: float = 0.0) -> ViewRecipe:
        shared = {name: getattr(self, name) for name in _SharedNumbers.__dataclass_fields__}
        return ViewRecipe(size=size, blur=blur, solarise=solarise, **shared)

    def _check(self, name: str, right: bool, expected: str) -> None:
        if not right:
            raise BraddError(f"views: {name} is {getattr(self, name)}; it must be {expected}")

    def _check_probabilities(self, *names: str) -> None:
        for name in names:
            self._check(name, 0 <= getattr(self, name) <= 1, "a probability, 0 to 1")

    def _check_range(self, minimum: str, maximum: str) -> None:
        self._check(maximum, 0 < getattr(self, maximum) < math.inf, "above 0")
        in_order = 0 < getattr(self, minimum) <= getattr(self, maximum)
        self._check(minimum, in_order, f"above 0 and at most {maximum}")


@dataclass(frozen=True)
class SimCLRViews(_SharedNumbers):
    """The random views of SimCLR (Chen et al., 2020), as SDCLR (Jiang et al., 2021) sets them.

    The colour jitter has half the strength of SimCLR's own on ImageNet.

    Attributes:
        blur: Probability of the Gaussian blur.
        count: Views of each image.
    """

    blur: float = 0.5
    count: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_probabilities("blur")
        self._check("count", self.count >= 1, "1 or more")

    def recipes(self, image_size: int) -> list[ViewRecipe]:
        """`count` times the same."""
        return [self._recipe(image_size, blur=self.blur)] * self.count

    @classmethod
    def for_image_size(cls, size: int) -> Self:
        """The recipe for views of `size` x `size` pixels.

        Up to 64 pixels there is no blur, as in SimCLR's CIFAR-10 recipe (Chen et al., 2020,
        appendix B.9), and a crop shows at least a fifth of the image, as is usual on CIFAR
        (Khosla et al., 2020): less of so small an image is only a few pixels. Above, the defaults.
        """
        return cls(minimum_scale=0.2, blur=0.0) if size <= SMALL_IMAGE else cls()


@dataclass(frozen=True)
class MoCoV3Views(_SharedNumbers):
    """The two random views of MoCo v3 (Chen et al., 2021), which are BYOL's (Grill et al., 2020).

    The smallest scale is that of its vision transformers; its ResNet-50 has 0.2.

    Attributes:
        first_blur: Probability of blurring the first view.
        second_blur: Probability of blurring the second view.
        second_solarise: Probability of inverting what is brighter than half in the second view.
    """

    saturation: float = 0.2
    first_blur: float = 1.0
    second_blur: float = 0.1
    second_solarise: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_probabilities("first_blur", "second_blur", "second_solarise")

    def recipes(self, image_size: int) -> list[ViewRecipe]:
        """The first view and the second."""
        return [
            self._recipe(image_size, blur=self.first_blur),
            self._recipe(image_size, blur=self.second_blur, solarise=self.second_solarise),
        ]

    @classmethod
    def for_image_size(cls, size: int) -> Self:
        """The recipe for views of `size` x `size` pixels.

        Up to 64 pixels there is no blur, as in solo-learn's recipe of MoCo v3 for CIFAR (da Costa
        et al., 2022), and a crop shows at least a fifth of the image; see `SimCLRViews`.
        """
        if size <= SMALL_IMAGE:
            return cls(minimum_scale=0.2, first_blur=0.0, second_blur=0.0)
        return cls()


@dataclass(frozen=True)
class DINOViews(_SharedNumbers):
    """The random views of DINO (Caron et al., 2021): two global ones and many small local ones.

    The scales without `local` in their name are those of the global views. Crops are resized
    bilinearly, where DINO's own code does it bicubically.

    Attributes:
        first_blur: Probability of blurring the first global view.
        second_blur: Probability of blurring the second global view.
        second_solarise: Probability of inverting what is brighter than half in the second one.
        local_count: Local views of each image.
        local_side: Side of a local view as a share of a global one's, rounded to a multiple of 16
            pixels where it is above that; 96 / 224 in the paper.
        minimum_local_scale: Smallest share of the image's area that a local view shows.
        maximum_local_scale: Largest share of the image's area that a local view shows.
        local_blur: Probability of blurring a local view.
    """

    minimum_scale: float = 0.4
    saturation: float = 0.2
    first_blur: float = 1.0
    second_blur: float = 0.1
    second_solarise: float = 0.2
    local_count: int = 8
    local_side: float = 96 / 224
    minimum_local_scale: float = 0.05
    maximum_local_scale: float = 0.4
    local_blur: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_probabilities("first_blur", "second_blur", "second_solarise", "local_blur")
        self._check("local_count", self.local_count >= 0, "0 or more")
        self._check("local_side", 0 < self.local_side <= 1, "above 0 and at most 1")
        in_range = 0 < self.maximum_local_scale <= 1
        self._check("maximum_local_scale", in_range, "above 0 and at most 1")
        self._check_range("minimum_local_scale", "maximum_local_scale")

    def recipes(self, image_size: int) -> list[ViewRecipe]:
        """The two global views, then the local ones."""
        side = image_size * self.local_side
        if side > SMALLEST_LOCAL_SIDE:  # what the usual patches divide: 96 at 224, 64 at 144
            side = SMALLEST_LOCAL_SIDE * round(side / SMALLEST_LOCAL_SIDE)
        local = replace(
            self._recipe(max(1, round(side)), blur=self.local_blur),
            minimum_scale=self.minimum_local_scale,
            maximum_scale=self.maximum_local_scale,
        )
        return [
            self._recipe(image_size, blur=self.first_blur),
            self._recipe(image_size, blur=self.second_blur, solarise=self.second_solarise),
            *[local] * self.local_count,
        ]

    @classmethod
    def for_image_size(cls, size: int) -> Self:
        """The recipe for views of `size` x `size` pixels.

        Up to 64 pixels there are no local views and no blur, as in lightly's CIFAR-10 benchmark of
        DINO (Susmelj et al., 2020). Local views that are asked for have 16 pixels or more.
        """
        if size > SMALL_IMAGE:
            return cls()
        local_side = min(1.0, max(cls.local_side, SMALLEST_LOCAL_SIDE / size))
        return cls(
            first_blur=0.0, second_blur=0.0, local_blur=0.0, local_count=0, local_side=local_side
        )
