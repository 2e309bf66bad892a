"""From a batch of pixels and numbers to finished views, on the pixels' own device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bradd.views.crop import crop_batch
from bradd.views.dataset import ViewBatch
from bradd.views.photometric import normalise, photometric

__all__ = ["WorkerViews", "make_views"]


class _ViewSource(Protocol):
    """`ViewDataset` or `CachedViewDataset`."""

    def __len__(self) -> int: ...

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> ViewBatch: ...


class WorkerViews(Dataset[Any]):
    """The same views, made where the dataset is read: by a loader's workers.

    For training on processors, where all of them make views then and not the main process alone.
    They are rounded to 8 bits on their way to it.

    Args:
        views: A `ViewDataset` or `CachedViewDataset`.
    """

    def __init__(self, views: _ViewSource) -> None:
        self.views = views

    def __len__(self) -> int:
        return len(self.views)

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> ViewBatch:
        """A batch of views that only have to be normalised, for `keys` of (epoch, index)."""
        batch = self.views.__getitems__(keys)
        return ViewBatch(index=batch["index"], views=_changed(batch, normalised=False))


@torch.no_grad()
def make_views(batch: ViewBatch) -> list[Tensor]:
    """Make the views of a batch; a view depends on its own image and numbers alone.

    On a GPU the host does not wait for it anywhere.

    Args:
        batch: Of `ViewDataset`, `CachedViewDataset` or `WorkerViews`; its tensors may have been
            moved.

    Returns:
        One tensor a view, normalised, float32 `[B, 3, S_v, S_v]`, on the batch's device.
    """
    if "parameters" not in batch:
        return [normalise(view) for view in batch["views"]]
    return _changed(batch, normalised=True)


def _cropped(batch: ViewBatch) -> list[Tensor]:
    if "views" in batch:
        return batch["views"]
    images = batch["images"]
    shown = [images[rows] for rows in batch["rows"]] if "rows" in batch else None
    return [
        crop_batch(images if shown is None else shown[number], boxes, size)
        for number, (boxes, size) in enumerate(zip(batch["boxes"], batch["sizes"], strict=True))
    ]


def _changed(batch: ViewBatch, normalised: bool) -> list[Tensor]:
    views, parameters = _cropped(batch), batch["parameters"]
    changed: dict[int, Tensor] = {}
    for size in {view.shape[-1] for view in views}:  # views of equal size go through together
        same = [number for number, view in enumerate(views) if view.shape[-1] == size]
        together = photometric(
            torch.cat([views[number] for number in same]),
            np.concatenate([parameters[number] for number in same]),
            normalised=normalised,
        )
        changed.update(zip(same, together.chunk(len(same)), strict=True))
    return [changed[number] for number in range(len(views))]
