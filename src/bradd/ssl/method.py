"""What every self-supervised method promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

__all__ = ["Method"]


class Method(nn.Module, ABC):
    """A method is its settings, the heads it trains besides the backbone, and one short step.

    Attributes:
        views: How many views of each image it takes.
    """

    views: ClassVar[int] = 2

    def __init__(self) -> None:
        super().__init__()  # without nn.Module's *args and **kwargs, which are no settings

    @abstractmethod
    def build(self, embedding_size: int) -> None:
        """Make the heads.

        Args:
            embedding_size: D, the width of the backbone's output.
        """

    @abstractmethod
    def loss(self, backbone: nn.Module, views: list[Tensor]) -> Tensor:
        """The loss of one batch.

        Args:
            backbone: From images `[B, 3, S, S]` to embeddings `[B, D]`.
            views: One tensor a view, each normalised, `[B, 3, S, S]`.

        Returns:
            A scalar in float32.
        """
