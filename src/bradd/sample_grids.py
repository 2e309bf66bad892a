"""Pictures of what a run trains on, for its loggers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import islice

import lightning as L
import torch
from PIL import Image
from torch import Tensor

from bradd.ledger import Ledger
from bradd.ledger_table import Variation
from bradd.loggers import log_picture
from bradd.pool import Pool
from bradd.views.photometric import IMAGENET_MEAN, IMAGENET_STD
from bradd.views.render import make_views

__all__ = ["SampleGrids", "anchor_grid", "view_grid"]

ROWS = 8  # of a grid
VARIATIONS = 5  # at most, of an anchor
CELL = 64  # smaller pictures are enlarged to about this side, in pixels
GAP = 2


class SampleGrids(L.Callback):
    """Logs the views of a first batch when training starts, and anchors after each round.

    Views are a function of seed, epoch and image, and anchors lie on disk, so that looking at them
    changes nothing of the run. It must stand after `Rebalance`.

    Args:
        pool: What is trained on.
        every_n_epochs: Epochs of a cycle.
    """

    def __init__(self, pool: Pool, every_n_epochs: int) -> None:
        self._pool = pool
        self._every_n_epochs = every_n_epochs
        self._views_shown = False

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin anew."""
        self._views_shown = False

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the views once, and anchors beside their variations after a round."""
        if not self._views_shown:
            self._views_shown = True
            loader = trainer.train_dataloader
            keys = list(islice(loader.sampler, min(ROWS, loader.batch_size)))
            self._log(trainer, "views", view_grid(make_views(loader.dataset.__getitems__(keys))))
        cycle, epoch = divmod(trainer.current_epoch, self._every_n_epochs)
        if epoch == 0 and cycle in self._pool.ledger.committed():
            grid = anchor_grid(self._pool.ledger, cycle)
            if grid is not None:
                self._log(trainer, "anchors", grid)

    def _log(self, trainer: L.Trainer, name: str, picture: Image.Image) -> None:
        for logger in trainer.loggers:
            log_picture(logger, name, picture, trainer.global_step)


def view_grid(views: Sequence[Tensor]) -> Image.Image:
    """A picture with a row for each image and a column for each view.

    Args:
        views: One tensor a view, normalised, float32 `[B, 3, S_v, S_v]`.
    """
    mean, std = (torch.tensor(each)[:, None, None] for each in (IMAGENET_MEAN, IMAGENET_STD))
    columns = [
        ((view.cpu() * std + mean) * 255).round().clamp(0, 255).to(torch.uint8) for view in views
    ]
    return _grid(
        [
            [Image.fromarray(view.permute(1, 2, 0).numpy()) for view in row]
            for row in zip(*columns, strict=True)
        ]
    )


def anchor_grid(ledger: Ledger, cycle: int) -> Image.Image | None:
    """A picture in which each row is an anchor and its accepted variations.

    Args:
        ledger: Of the run.
        cycle: One of its rounds.

    Returns:
        The anchors with the highest scores; None if nothing was accepted.
    """
    of_anchor: defaultdict[int, list[Variation]] = defaultdict(list)
    for row in ledger.variations(cycle):
        if row.accepted:
            of_anchor[row.anchor].append(row)
    ranking = sorted(of_anchor.values(), key=lambda rows: (-rows[0].anchor_score, rows[0].anchor))
    anchors = ledger.round_folder(cycle) / "anchors"
    files = [
        [
            anchors / f"{rows[0].anchor:08d}.png",
            *(ledger.folder / row.file for row in rows[:VARIATIONS]),
        ]
        for rows in ranking[:ROWS]
    ]
    if not files:
        return None
    return _grid([[Image.open(file).convert("RGB") for file in row] for row in files])


def _grid(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """All pictures in cells as large as the largest; small ones enlarged by a whole factor."""
    side = max(max(picture.size) for row in rows for picture in row)
    factor = max(1, CELL // side)
    step = side * factor + GAP
    columns = max(map(len, rows))
    grid = Image.new("RGB", (columns * step - GAP, len(rows) * step - GAP), "white")
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            size = (picture.width * factor, picture.height * factor)
            cell = picture.resize(size, Image.Resampling.NEAREST)
            left, top = ((step - GAP - each) // 2 for each in size)
            grid.paste(cell, (j * step + left, i * step + top))
    return grid
