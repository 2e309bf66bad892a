"""From a batch of pixels and numbers to finished views, on the pixels' own device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bradd.views.crop import crop_batch
from bradd.views.dataset import ViewBatch
from bradd.views.photometric import photometric

__all__ = ["make_views"]


@torch.no_grad()
def make_views(batch: ViewBatch) -> list[Tensor]:
    """Make the views of a batch; a view depends on its own image and numbers alone.

    On a GPU the host does not wait for it anywhere.

    Args:
        batch: Of `ViewDataset` or `CachedViewDataset`; its tensors may have been moved.

    Returns:
        One tensor a view, normalised, float32 `[B, 3, S_v, S_v]`, on the batch's device.
    """
    if "views" in batch:
        views = batch["views"]
    else:
        views = [
            crop_batch(batch["images"], boxes, size)
            for boxes, size in zip(batch["boxes"], batch["sizes"], strict=True)
        ]
    finished: dict[int, Tensor] = {}
    for size in {view.shape[-1] for view in views}:  # views of equal size go through together
        same = [number for number, view in enumerate(views) if view.shape[-1] == size]
        together = photometric(
            torch.cat([views[number] for number in same]),
            np.concatenate([batch["parameters"][number] for number in same]),
        )
        finished.update(zip(same, together.chunk(len(same)), strict=True))
    return [finished[number] for number in range(len(views))]
