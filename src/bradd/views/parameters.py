"""The layout of the numbers that describe one view's photometric part."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["JITTER_ORDER", "SOLARISE_FROM", "JitterOperation", "Parameter"]


class Parameter(IntEnum):
    """A place in the float32 vector `[P]` that a view is drawn as; P is `len(Parameter)`."""

    FLIP = 0  # 1 mirrors left and right, 0 does not
    JITTER_FIRST = 1  # the four jitter operations in the order applied, as JitterOperation
    JITTER_SECOND = 2
    JITTER_THIRD = 3
    JITTER_FOURTH = 4
    BRIGHTNESS = 5  # factors; 1 changes nothing
    CONTRAST = 6
    SATURATION = 7
    HUE = 8  # shift in turns of the colour circle; 0 changes nothing
    GREY = 9  # 1 removes the colour, 0 does not
    BLUR_SIGMA = 10  # in pixels of the finished view; 0 does not blur
    SOLARISE = 11  # 1 inverts what is brighter than half, 0 does not


class JitterOperation(IntEnum):
    """How the order of the colour jitter is coded, as in torchvision's `ColorJitter`."""

    BRIGHTNESS = 0
    CONTRAST = 1
    SATURATION = 2
    HUE = 3


JITTER_ORDER = slice(Parameter.JITTER_FIRST, Parameter.JITTER_FOURTH + 1)

SOLARISE_FROM = 128
"""What is as bright or brighter is inverted by solarising, of 0 to 255; as in torchvision."""
