"""What every self-supervised method promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from bradd.errors import BraddError
from bradd.views import SimCLRViews, ViewRecipe, Views

__all__ = ["Method", "Progress", "TrainingFacts"]


@dataclass(frozen=True)
class Progress:
    """Where training stands; schedules are functions of it.

    Attributes:
        step: Optimiser steps done, from 0.
        steps: Steps of the whole run.
        epoch: Epochs done, from 0.
        epochs: Epochs of the whole run.
    """

    step: int
    steps: int
    epoch: int
    epochs: int


@dataclass(frozen=True)
class TrainingFacts:
    """What a method's parts are sized by.

    Attributes:
        embedding_size: D, the width of the backbone's output.
        image_size: Side of the largest views in pixels.
        images: How many images are trained on.
        transformer: Whether the backbone is a vision transformer.
        pretrained: Whether the backbone starts from trained weights.
    """

    embedding_size: int
    image_size: int
    images: int
    transformer: bool = False
    pretrained: bool = False


class Method(nn.Module, ABC):
    """A method is its settings, the heads it trains besides the backbone, and one short step.

    Attributes:
        default_views: The kind of views it was published with.
        encoder: The part of `Pretraining` that embeds images once training is done.
    """

    default_views: ClassVar[type[Views]] = SimCLRViews
    encoder: ClassVar[str] = "backbone"

    def __init__(self) -> None:
        super().__init__()  # without nn.Module's *args and **kwargs, which are no settings

    def check_views(self, recipes: Sequence[ViewRecipe]) -> None:
        """Refuse views that the method cannot use: most take two of equal size.

        Raises:
            BraddError: There are more or fewer, or their sizes differ.
        """
        if len(recipes) != 2 or recipes[0].size != recipes[1].size:
            sizes = ", ".join(str(recipe.size) for recipe in recipes)
            raise BraddError(
                f"views gives {len(recipes)} views of each image (of {sizes} pixels), but "
                f"{type(self).__name__} takes 2 of equal size."
            )

    @abstractmethod
    def build(self, backbone: nn.Module, facts: TrainingFacts) -> None:
        """Make the heads, and copies of the backbone where the method has a teacher.

        Args:
            backbone: From images `[B, 3, S, S]` to embeddings `[B, D]`.
            facts: What the parts are sized by.

        Raises:
            BraddError: The method cannot train such a backbone.
        """

    @abstractmethod
    def loss(self, backbone: nn.Module, views: list[Tensor], progress: Progress) -> Tensor:
        """The loss of one batch.

        Args:
            backbone: The one given to `build`.
            views: One tensor a view, each normalised, `[B, 3, S, S]`.
            progress: Where training stands.

        Returns:
            A scalar in float32.
        """

    def start_epoch(self, backbone: nn.Module, progress: Progress) -> None:
        """Called before each epoch's first step."""

    def after_backward(self, progress: Progress) -> None:
        """Called when a step's gradients are known, before they are clipped and applied."""

    def after_step(self, backbone: nn.Module, progress: Progress) -> None:
        """Called when a step is done."""
