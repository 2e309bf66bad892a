"""How a round is done, and whether it can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bradd.component import describe
from bradd.errors import BraddError
from bradd.generate import Generator, Readd
from bradd.select import Selector

__all__ = ["Candidates", "RoundSettings", "check_round", "usual_anchors"]

Candidates = Literal["images", "pool"]


@dataclass(frozen=True)
class RoundSettings:
    """How a round is done.

    Attributes:
        selector: Chooses the anchors.
        generator: Makes the variations.
        n_anchors: Anchors a round.
        n_variations: Variations of each anchor.
        seed: The run's seed.
        candidates: Whether anchors are real images only (`"images"`), or may be variations of
            earlier rounds too (`"pool"`: the paper's Algorithm 1 read to the letter). Neighbours
            are searched in the whole pool either way.
        guard: Whether images that look broken (blank, noise, tiny, extremely long) are kept from
            being anchors, and copies of an image are counted once.
        anchor_limit: How many rounds may choose the same image; 0: any number.
        acceptance: Whether variations that left their anchor, or copy it or another image, are
            refused (see `bradd.generate.Acceptance`). The distances are recorded either way.
        draws: How often at most each variation is drawn until one is accepted.
        batch_size: Images embedded at once.
        num_workers: Processes that decode.
    """

    selector: Selector
    generator: Generator
    n_anchors: int
    n_variations: int
    seed: int = 0
    candidates: Candidates = "images"
    guard: bool = True
    anchor_limit: int = 2
    acceptance: bool = True
    draws: int = 3
    batch_size: int = 256
    num_workers: int = 0


def check_round(images: int, settings: RoundSettings) -> None:
    """Raise before any long work what would make a round impossible.

    Args:
        images: Number of real images.
        settings: Of the round.

    Raises:
        BraddError: Names the setting and says which values are possible.
    """
    if settings.n_anchors < 2:
        raise BraddError(
            f"n_anchors is {settings.n_anchors}: at least 2 are needed, since a variation is "
            "accepted by comparing its own anchor with another."
        )
    if settings.n_anchors > images:
        raise BraddError(
            f"n_anchors is {settings.n_anchors}, but there are {images} images: choose at most "
            "that many."
        )
    if settings.n_variations < 1:
        raise BraddError(f"n_variations is {settings.n_variations}: it must be at least 1.")
    generator = settings.generator
    wanted = settings.n_anchors * settings.n_variations
    if isinstance(generator, Readd) and generator.left() < wanted:
        raise BraddError(
            f"generator.images, {generator.images}, has {generator.left()} images to give, but a "
            f"round of {settings.n_anchors} anchors with {settings.n_variations} variations each "
            f"takes {wanted}: give more images, or choose fewer."
        )
    if settings.draws < 1:
        raise BraddError(f"draws is {settings.draws}: it must be at least 1.")
    if settings.anchor_limit < 0:
        raise BraddError(f"anchor_limit is {settings.anchor_limit}: it must be 0 or more.")
    if images < settings.selector.minimum_images():
        raise BraddError(
            f"{describe(settings.selector)} needs at least {settings.selector.minimum_images()} "
            f"images; there are {images}. Add images or choose a smaller k."
        )
    most = settings.selector.most_anchors(images)
    if settings.n_anchors > most:
        raise BraddError(
            f"n_anchors is {settings.n_anchors}, but {describe(settings.selector)} chooses at most "
            f"{most} of {images} images: choose fewer anchors, or another selector."
        )


def usual_anchors(images: int) -> int:
    """How many of so many images are selected unless told: the paper's share, 500 of 15,000."""
    return min(500, max(2, images // 30))
