"""The Lightning trainer of a run: loader, checkpoints, metrics, progress."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from bradd import distributed
from bradd.console import StageProgress, stage
from bradd.files import replace_atomically, write_errors
from bradd.memory import used_memory
from bradd.pool import Pool, PoolSampler
from bradd.siblings import Siblings
from bradd.views import Views
from bradd.views.cache import ImageCache
from bradd.views.dataset import CachedViewDataset, ViewBatch, ViewDataset, as_is
from bradd.views.render import WorkerViews

__all__ = ["EpochMetrics", "SaveLast", "TrainingProgress", "training_loader"]


class _ViewSampler(Sampler[tuple[int, int]]):
    """Keys (epoch, index) for `ViewDataset`, in the pool sampler's order."""

    def __init__(self, sampler: PoolSampler) -> None:
        self.pool = sampler.pool
        self._sampler = sampler
        self.set_epoch = sampler.set_epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self._sampler.epoch
        return ((epoch, index) for index in self._sampler)

    def __len__(self) -> int:
        return len(self._sampler)


def training_loader(
    pool: Pool,
    sampler: PoolSampler,
    views: Views,
    image_size: int,
    num_workers: int,
    cache: tuple[int, int] | None = None,
    siblings: float = 0.0,
) -> DataLoader[ViewBatch]:
    """Batches of random views of the pool, a function of the sampler's seed and epoch.

    Args:
        pool: Images and variations.
        sampler: Of the pool.
        views: The method's views.
        image_size: Side of the largest views in pixels.
        num_workers: Processes that decode and crop, and without a GPU do the rest too.
        cache: Width and height in which images are kept in memory, filled here; None decodes them
            every time.
        siblings: How often every second view of an image shows one of its family, see `Siblings`.

    Raises:
        BraddError: The images do not fit into memory.
    """
    partners = Siblings(pool, sampler.seed, siblings) if siblings > 0 else None
    if cache is not None:
        kept = ImageCache(pool, cache, max(1, num_workers))
        with stage(f"keep {len(pool)} images in memory", len(pool)) as progress:
            kept.fill(progress.advance)
        dataset: Dataset[ViewBatch] = CachedViewDataset(
            kept, views, image_size, sampler.seed, partners
        )
        num_workers = 0  # drawing boxes is all that is left to do
    else:
        cropped = ViewDataset(pool, views, image_size, sampler.seed, partners)
        dataset = cropped if torch.cuda.is_available() else WorkerViews(cropped)
    return DataLoader(
        dataset,
        batch_size=sampler.batch_size // distributed.world_size(),
        sampler=_ViewSampler(sampler),
        num_workers=num_workers,
        collate_fn=as_is,
        drop_last=True,
        pin_memory=torch.cuda.is_available(),
    )


class SaveLast(Checkpoint):
    """Keeps the checkpoint of the last whole epoch, replaced atomically.

    Args:
        path: The checkpoint's file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save; Lightning calls this after all other callbacks."""
        with write_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with replace_atomically(self.path) as temporary:
            trainer.save_checkpoint(temporary)


class EpochMetrics(L.Callback):
    """One row an epoch in `metrics.csv`: what was logged, and how fast it went.

    Args:
        path: The CSV file. Rows of epochs that a resumed run does again are replaced.
        batch_size: Images in a global batch.
    """

    def __init__(self, path: Path, batch_size: int) -> None:
        self._path = path
        self._batch_size = batch_size
        self._rows: list[dict[str, Any]] = []
        self._epoch_start = self._last_batch_end = 0.0
        self._waited = 0.0
        self._batches = 0
        self._logged_before: dict[str, Tensor] = {}

    @property
    def data_wait(self) -> float:
        """Share of this epoch's time that training has waited for data, 0 to 1."""
        spent = self._last_batch_end - self._epoch_start
        return self._waited / spent if spent > 0 else 0.0

    @property
    def images_per_second(self) -> float:
        """Images trained on in a second of this epoch, all devices together."""
        spent = self._last_batch_end - self._epoch_start
        return self._batches * self._batch_size / spent if spent > 0 else 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take up the rows of a run that is resumed."""
        if not self._path.exists():
            return
        with self._path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self._rows = [row for row in rows if int(row["epoch"]) < trainer.current_epoch]

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._epoch_start = self._last_batch_end = time.perf_counter()
        self._waited, self._batches = 0.0, 0
        self._logged_before = dict(trainer.callback_metrics)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Count the time since the last batch as waiting."""
        self._waited += time.perf_counter() - self._last_batch_end

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, _: int
    ) -> None:
        """Start waiting."""
        self._last_batch_end = time.perf_counter()
        self._batches += 1

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the row."""
        self._rows.append(
            {
                "epoch": trainer.current_epoch,
                "step": trainer.global_step,
                **self._logged_now(trainer),
                "data_wait": round(self.data_wait, 4),
                "images_per_second": round(self.images_per_second, 1),
                "seconds": round(time.perf_counter() - self._epoch_start, 3),
            }
        )
        if distributed.rank() == 0:
            self._write()

    def _logged_now(self, trainer: L.Trainer) -> dict[str, float]:
        """What was logged in this epoch; the trainer also keeps what earlier ones logged."""
        return {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if value is not self._logged_before.get(name)
        }

    def _write(self) -> None:
        with (
            replace_atomically(self._path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            # Some numbers are not measured in every epoch: their cells are empty.
            columns = list(dict.fromkeys(name for row in self._rows for name in row))
            writer = csv.DictWriter(file, fieldnames=columns)
            writer.writeheader()
            writer.writerows(self._rows)


class TrainingProgress(L.Callback):
    """A progress bar for each cycle, with loss, speed, waiting for data, kNN and memory below it.

    Args:
        metrics: Where the numbers come from; must stand before this in the trainer's callbacks.
        sampler: Of the training loader.
        cycles: Cycles of the run.
        epochs_per_cycle: Epochs of a cycle.
    """

    def __init__(
        self, metrics: EpochMetrics, sampler: PoolSampler, cycles: int, epochs_per_cycle: int
    ) -> None:
        self._metrics = metrics
        self._sampler = sampler
        self._cycles = cycles
        self._epochs_per_cycle = epochs_per_cycle
        self._bar: StageProgress | None = None
        self._loss = math.nan
        self._memory = 0
        self._looked = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the cycle's bar, unless it is open."""
        if self._bar is None and distributed.rank() == 0:
            cycle, epoch = divmod(trainer.current_epoch, self._epochs_per_cycle)
            left = self._epochs_per_cycle - epoch
            title = f"cycle {cycle + 1} of {self._cycles}: train"
            self._bar = stage(title, left * self._sampler.batches())
            self._bar.__enter__()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, _: int
    ) -> None:
        """Advance the bar."""
        if self._bar is not None:
            if time.perf_counter() - self._looked > 1:  # reading the loss waits for the GPU
                self._loss = float(outputs["loss"])
                self._memory = used_memory()
                self._looked = time.perf_counter()
            self._bar.advance(note=self._note(trainer))

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Close the bar at the cycle's end, before a round shows its own."""
        if (trainer.current_epoch + 1) % self._epochs_per_cycle == 0:
            self._close()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Give the terminal back."""
        self._close(type(exception))

    def _note(self, trainer: L.Trainer) -> str:
        knn = trainer.callback_metrics.get("knn")  # the latest: it is measured now and then
        parts = [
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}",
            f"loss {self._loss:.3f}",
            f"{self._metrics.images_per_second:.0f} images/s",
            f"data_wait {100 * self._metrics.data_wait:.0f}%",
            "" if knn is None else f"kNN {float(knn):.1f}%",
            f"{self._memory / 2**30:.1f} GiB",
        ]
        return "  ".join(filter(None, parts))

    def _close(self, exception: type[BaseException] | None = None) -> None:
        if self._bar is not None:
            self._bar.__exit__(exception)
            self._bar = None
