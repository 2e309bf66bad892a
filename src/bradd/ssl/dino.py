"""DINO (Caron et al. 2021, https://arxiv.org/abs/2104.14294)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import torch
from lightly.loss import DINOLoss
from lightly.models.modules import DINOProjectionHead
from torch import Tensor, nn

from bradd.errors import BraddError
from bradd.ssl.checks import require
from bradd.ssl.method import Method, Progress, TrainingFacts
from bradd.ssl.momentum import follow, momentum_copy
from bradd.ssl.precision import at_least_float32
from bradd.ssl.schedules import cosine, linear_warmup
from bradd.views import DINOViews, ViewRecipe

__all__ = ["DINO", "output_size_for"]


class DINO(Method):
    """A student predicts its moving average, the teacher, from other and smaller crops.

    The teacher, which sees the two global views only, is the encoder that is kept.

    Args:
        output_size: Width K of the head's output. Default: by the number of images, 1,024 below
            20,000 up to 65,536 from 1.28 million.
        hidden_size: Width of the head's hidden layers.
        bottleneck_size: Width before the output layer.
        momentum: Of the teacher; rises along a cosine from this to 1. Default: 0.996, in runs of
            under 2,500 steps less, so that the teacher's memory is a tenth of the run.
        student_temperature: Of the student's softmax.
        teacher_temperature: Of the teacher's softmax, after the warm-up.
        warmup_teacher_temperature: The one it starts from.
        warmup_teacher_epochs: Epochs until then. Default: 30, at most a third of the run.
        center_momentum: Of the moving average of the teacher's outputs.
        freeze_last_layer: Epochs during which the output layer stays as it is.
        batch_norm: Batch norm in the head. Default: for all but vision transformers.
    """

    default_views = DINOViews
    encoder = "method.teacher.backbone"

    def __init__(
        self,
        output_size: int | None = None,
        hidden_size: int = 2048,
        bottleneck_size: int = 256,
        momentum: float | None = None,
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.07,
        warmup_teacher_temperature: float = 0.04,
        warmup_teacher_epochs: int | None = None,
        center_momentum: float = 0.9,
        freeze_last_layer: int = 1,
        batch_norm: bool | None = None,
    ) -> None:
        super().__init__()
        require("output_size", output_size, output_size is None or output_size > 1, "above 1")
        require("momentum", momentum, momentum is None or 0 <= momentum <= 1, "0 to 1")
        require("center_momentum", center_momentum, 0 <= center_momentum <= 1, "0 to 1")
        for name, value in (
            ("hidden_size", hidden_size),
            ("bottleneck_size", bottleneck_size),
            ("student_temperature", student_temperature),
            ("teacher_temperature", teacher_temperature),
            ("warmup_teacher_temperature", warmup_teacher_temperature),
        ):
            require(name, value, value > 0, "above 0")
        for name, epochs in (
            ("warmup_teacher_epochs", warmup_teacher_epochs or 0),
            ("freeze_last_layer", freeze_last_layer),
        ):
            require(name, epochs, epochs >= 0, "0 or more")
        self.output_size = output_size
        self.hidden_size = hidden_size
        self.bottleneck_size = bottleneck_size
        self.momentum = momentum
        self.student_temperature = student_temperature
        self.teacher_temperature = teacher_temperature
        self.warmup_teacher_temperature = warmup_teacher_temperature
        self.warmup_teacher_epochs = warmup_teacher_epochs
        self.center_momentum = center_momentum
        self.freeze_last_layer = freeze_last_layer
        self.batch_norm = batch_norm

    def check_views(self, recipes: Sequence[ViewRecipe]) -> None:
        """Two global views of equal size first, then any number of local ones.

        Raises:
            BraddError: They are not.
        """
        sizes = [recipe.size for recipe in recipes]
        if len(sizes) < 2 or sizes[0] != sizes[1]:
            raise BraddError(
                f"views gives views of {', '.join(map(str, sizes))} pixels, but DINO takes 2 "
                "global ones of equal size first, then local ones."
            )

    def build(self, backbone: nn.Module, facts: TrainingFacts) -> None:
        """See `Method.build`."""
        batch_norm = self.batch_norm
        if batch_norm is None:
            batch_norm = not facts.transformer
        output_size = self.output_size or output_size_for(facts.images)
        head_sizes = (facts.embedding_size, self.hidden_size, self.bottleneck_size, output_size)
        with warnings.catch_warnings():
            # lightly's head uses torch's first implementation of weight norm.
            warnings.filterwarnings("ignore", message=".*weight_norm", category=FutureWarning)
            self.head = DINOProjectionHead(*head_sizes, batch_norm, self.freeze_last_layer)
            teacher_head = DINOProjectionHead(*head_sizes, batch_norm)  # it cannot be copied
        teacher_head.load_state_dict(self.head.state_dict())
        self.teacher = nn.ModuleDict(
            {
                "backbone": momentum_copy(backbone),
                "head": teacher_head.requires_grad_(False),
            }
        )
        self.cross_entropy = DINOLoss(
            output_size,
            student_temp=self.student_temperature,
            center_momentum=self.center_momentum,
        )

    def loss(self, backbone: nn.Module, views: list[Tensor], progress: Progress) -> Tensor:
        """See `Method.loss`."""
        student = self.head(torch.cat([backbone(batch) for batch in _by_size(views)]))
        with torch.no_grad():
            teacher = self.teacher["head"](self.teacher["backbone"](torch.cat(views[:2])))
        with torch.autocast(student.device.type, enabled=False):
            loss: Tensor = self.cross_entropy(
                list(at_least_float32(teacher).chunk(2)),
                list(at_least_float32(student).chunk(len(views))),
                self.teacher_temperature_at(progress),
            )
        return loss

    def after_backward(self, progress: Progress) -> None:
        """Keep the output layer as it is at first."""
        self.head.cancel_last_layer_gradients(progress.epoch)

    def after_step(self, backbone: nn.Module, progress: Progress) -> None:
        """Let the teacher follow."""
        start = self.momentum
        if start is None:
            start = max(0.0, min(0.996, 1 - 10 / progress.steps))
        momentum = cosine(progress.step, progress.steps, start, 1.0)
        follow(self.teacher["backbone"], backbone, momentum)
        follow(self.teacher["head"], self.head, momentum)

    def teacher_temperature_at(self, progress: Progress) -> float:
        """The teacher's temperature in an epoch."""
        warmup_epochs = self.warmup_teacher_epochs
        if warmup_epochs is None:
            warmup_epochs = min(30, progress.epochs // 3)
        return linear_warmup(
            progress.epoch,
            warmup_epochs,
            self.warmup_teacher_temperature,
            self.teacher_temperature,
        )


def output_size_for(images: int) -> int:
    """A power of two in proportion to the images: 65,536 for ImageNet's 1.28 million."""
    power = round(math.log2(max(1, images) * 65536 / 1.28e6))
    return int(2 ** min(16, max(10, power)))


def _by_size(views: list[Tensor]) -> list[Tensor]:
    """Views of equal size that follow each other as one batch."""
    batches: list[list[Tensor]] = []
    for view in views:
        if batches and batches[-1][0].shape == view.shape:
            batches[-1].append(view)
        else:
            batches.append([view])
    return [torch.cat(batch) for batch in batches]
