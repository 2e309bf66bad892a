"""SimCLR (Chen et al. 2020, https://arxiv.org/abs/2002.05709), and TS (Kukleva et al. 2023)."""

from __future__ import annotations

from typing import Literal

import torch
from lightly.models.modules import SimCLRProjectionHead
from torch import Tensor, nn

from bradd.ssl.checks import require
from bradd.ssl.method import Method, Progress, TrainingFacts
from bradd.ssl.nt_xent import nt_xent
from bradd.ssl.schedules import cosine_period

__all__ = ["SimCLR"]

# Half a period in epochs, for runs that are long enough (Kukleva et al. 2023).
HALF_PERIOD = 200


class SimCLR(Method):
    """Two views of an image attract, all other views of the batch repel (NT-Xent).

    Args:
        temperature: Of the softmax; lower weighs hard negatives more.
        projection_size: Width of the projector's output; the projector is an MLP D -> D -> this.
        temperature_schedule: `"constant"`, or `"cosine"`: the temperature swings between the two
            below over the epochs, which helps on long-tailed data (TS: "Temperature Schedules for
            Self-Supervised Contrastive Methods on Long-Tail Data", Kukleva et al. 2023).
        minimum_temperature: Of the cosine schedule.
        maximum_temperature: Of the cosine schedule, with which it begins.
        half_period: Epochs from the highest temperature to the lowest. Default: 200, in runs of
            under 400 epochs half of the run.
    """

    def __init__(
        self,
        temperature: float = 0.5,
        projection_size: int = 128,
        temperature_schedule: Literal["constant", "cosine"] = "constant",
        minimum_temperature: float = 0.1,
        maximum_temperature: float = 1.0,
        half_period: float | None = None,
    ) -> None:
        super().__init__()
        require("temperature", temperature, temperature > 0, "above 0")
        require("projection_size", projection_size, projection_size >= 1, "at least 1")
        choices = ("constant", "cosine")
        require(
            "temperature_schedule",
            temperature_schedule,
            temperature_schedule in choices,
            " or ".join(choices),
        )
        require("minimum_temperature", minimum_temperature, minimum_temperature > 0, "above 0")
        require(
            "maximum_temperature",
            maximum_temperature,
            maximum_temperature >= minimum_temperature,
            "at least minimum_temperature",
        )
        require("half_period", half_period, half_period is None or half_period > 0, "above 0")
        self.temperature = temperature
        self.projection_size = projection_size
        self.temperature_schedule = temperature_schedule
        self.minimum_temperature = minimum_temperature
        self.maximum_temperature = maximum_temperature
        self.half_period = half_period

    def build(self, backbone: nn.Module, facts: TrainingFacts) -> None:
        """See `Method.build`."""
        width = facts.embedding_size
        self.projector = SimCLRProjectionHead(width, width, self.projection_size)

    def loss(self, backbone: nn.Module, views: list[Tensor], progress: Progress) -> Tensor:
        """See `Method.loss`."""
        first, second = self.projector(backbone(torch.cat(views))).chunk(2)
        return nt_xent(first, second, self.temperature_at(progress))

    def temperature_at(self, progress: Progress) -> float:
        """The temperature of an epoch."""
        if self.temperature_schedule == "constant":
            return self.temperature
        half_period = self.half_period or min(HALF_PERIOD, progress.epochs / 2)
        return cosine_period(
            progress.epoch, self.minimum_temperature, self.maximum_temperature, half_period
        )
