"""The Lightning module that trains a backbone by a self-supervised method."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from bradd.errors import BraddError
from bradd.seeds import derive_seed
from bradd.ssl.backbone import embedding_size
from bradd.ssl.batch_norm import synchronise_batch_norm
from bradd.ssl.families import is_transformer_module
from bradd.ssl.loss_watch import LossWatch
from bradd.ssl.method import Method, Progress, TrainingFacts
from bradd.ssl.optimizer import build_optimizer, set_schedule
from bradd.ssl.schedules import cosine, learning_rate_at
from bradd.views.dataset import ViewBatch
from bradd.views.render import make_views

__all__ = ["Pretraining"]


class Pretraining(L.LightningModule):
    """Backbone, method, optimiser and schedules; every step a function of (seed, step).

    Args:
        backbone: From images to embeddings.
        method: The self-supervised method; its heads are made here.
        image_size: Side of the largest views in pixels.
        images: How many images are trained on.
        seed: The run's seed.
        optimizer: `"sgd"`, `"adamw"` or `"lars"`.
        learning_rate: The schedule's peak.
        weight_decay: Of weights, not of biases and norms, at the start.
        final_weight_decay: At the end; a cosine lies between.
        steps: Steps of the whole run.
        epochs: Epochs of the whole run.
        warmup_steps: Steps in which the learning rate rises.
        channels_last: Keep images and convolutions in that memory format.
        compile: Compile the backbone with `torch.compile`.
        pretrained: Whether the backbone has trained weights already.
    """

    def __init__(
        self,
        backbone: nn.Module,
        method: Method,
        *,
        image_size: int,
        images: int,
        seed: int,
        optimizer: str,
        learning_rate: float,
        weight_decay: float,
        final_weight_decay: float,
        steps: int,
        epochs: int,
        warmup_steps: int,
        channels_last: bool = False,
        compile: bool = False,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.method = method
        facts = TrainingFacts(
            embedding_size(backbone, image_size),
            image_size,
            images,
            is_transformer_module(backbone),
            pretrained,
        )
        method.build(backbone, facts)
        self.seed = seed
        self.optimizer_name = optimizer
        self.peak_learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.final_weight_decay = final_weight_decay
        self.steps = steps
        self.epochs = epochs
        self.warmup_steps = warmup_steps
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        if compile:
            for part in self.modules():
                if type(part) is type(backbone):  # the backbone, and a teacher's copy of it
                    part.compile()
        self._loss_watch = LossWatch()
        self._progress = Progress(0, steps, 0, epochs)

    def setup(self, stage: str) -> None:
        """Let batch norms see the global batch where several processes train."""
        if self.trainer.world_size > 1:
            synchronise_batch_norm(self, self.trainer.strategy.root_device)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One optimiser over backbone and heads."""
        return build_optimizer(
            self, self.optimizer_name, self.peak_learning_rate, self.weight_decay
        )

    def on_train_epoch_start(self) -> None:
        """Let the method prepare the epoch."""
        self._progress = Progress(self.global_step, self.steps, self.current_epoch, self.epochs)
        self.method.start_epoch(self.backbone, self._progress)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set this step's schedules and randomness (dropout, where a backbone has it)."""
        step = self.global_step
        self._progress = Progress(step, self.steps, self.current_epoch, self.epochs)
        torch.manual_seed(derive_seed(self.seed, "step", step))
        learning_rate = learning_rate_at(
            step, self.steps, self.warmup_steps, self.peak_learning_rate
        )
        weight_decay = cosine(step, self.steps, self.weight_decay, self.final_weight_decay)
        set_schedule(self.optimizers(), learning_rate, weight_decay)  # type: ignore[arg-type]
        # As a tensor on the CPU: a number would be copied to the GPU, and waited for.
        rate = torch.tensor(learning_rate)
        self.log("learning_rate", rate, on_step=False, on_epoch=True, batch_size=1)

    def training_step(self, batch: ViewBatch, batch_idx: int) -> Tensor:
        """One step of the method on a batch of `ViewDataset` or `CachedViewDataset`."""
        views = [view.contiguous(memory_format=self.memory_format) for view in make_views(batch)]
        loss = self.method.loss(self.backbone, views, self._progress)
        self._loss_watch.check(loss.detach(), self._progress.step)
        self.log("loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(views[0]))
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Let the method change the gradients."""
        self.method.after_backward(self._progress)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Let teachers follow."""
        self.method.after_step(self.backbone, self._progress)

    def on_train_epoch_end(self) -> None:
        """Look at all losses and weights, so that no bad checkpoint replaces a good one.

        Raises:
            BraddError: They are not all finite numbers.
        """
        self._loss_watch.flush()
        state = [value for value in self.state_dict().values() if value.is_floating_point()]
        if not get_total_norm(state).isfinite():
            raise BraddError(
                f"The weights are no finite numbers at the end of epoch {self.current_epoch} (step "
                f"{self.global_step}): training has diverged. Try a lower learning_rate, more "
                "warmup_epochs, or precision 32-true. The checkpoint of the epoch before is kept."
            )
