"""The Lightning module that trains a backbone by a self-supervised method."""

from __future__ import annotations

import math
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from bradd.errors import BraddError
from bradd.seeds import derive_seed
from bradd.ssl.backbone import embedding_size
from bradd.ssl.method import Method
from bradd.ssl.optimizer import build_optimizer, learning_rate_at
from bradd.views.photometric import photometric

__all__ = ["Pretraining"]


class Pretraining(L.LightningModule):
    """Backbone, method, optimiser and schedule; every step a function of (seed, step).

    Args:
        backbone: From images to embeddings.
        method: The self-supervised method; its heads are made here.
        image_size: Side of the views in pixels.
        seed: The run's seed.
        optimizer: `"sgd"` or `"adamw"`.
        learning_rate: The schedule's peak.
        weight_decay: Of weights, not of biases and norms.
        steps: Steps of the whole run.
        warmup_steps: Steps in which the learning rate rises.
    """

    def __init__(
        self,
        backbone: nn.Module,
        method: Method,
        *,
        image_size: int,
        seed: int,
        optimizer: str,
        learning_rate: float,
        weight_decay: float,
        steps: int,
        warmup_steps: int,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.method = method
        method.build(embedding_size(backbone, image_size))
        self.seed = seed
        self.optimizer_name = optimizer
        self.peak_learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.steps = steps
        self.warmup_steps = warmup_steps

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One optimiser over backbone and heads."""
        return build_optimizer(
            self, self.optimizer_name, self.peak_learning_rate, self.weight_decay
        )

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set this step's learning rate and randomness (dropout, where a backbone has it)."""
        step = self.global_step
        torch.manual_seed(derive_seed(self.seed, "step", step))
        learning_rate = learning_rate_at(
            step, self.steps, self.warmup_steps, self.peak_learning_rate
        )
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = learning_rate
        self.log("learning_rate", learning_rate, on_step=False, on_epoch=True)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """One step of the method on a batch of `ViewDataset`."""
        images, parameters = batch["views"], batch["parameters"]  # [B, V, 3, S, S], [B, V, P]
        views = [
            photometric(images[:, view], parameters[:, view]) for view in range(images.shape[1])
        ]
        loss = self.method.loss(self.backbone, views)
        if not math.isfinite(loss.item()):
            raise BraddError(
                f"The loss is {loss.item()} at step {self.global_step}: training has diverged. "
                "Lower learning_rate or raise warmup_epochs."
            )
        self.log("loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(images))
        return loss
