"""Candidates for nearest neighbours on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch

from bradd.select.exact_search import Candidates, product_rounding

__all__ = ["DeviceCandidates"]

# TF32 keeps 11 significant bits of each factor.
TF32_ROUNDING = 2.0**-11
BASE_BLOCK = 2**16
GROUP = 64
PAIRS_PER_BLOCK = 2**15


class DeviceCandidates:
    """Exhaustive search on a torch device, by matrix products of its choice of precision.

    A k-th smallest of a long row costs more than the row's product, so the best of each group of 64
    columns come first, and only the best groups are looked into.

    Args:
        base: float32 `[R, D]`.
        device: Where to search, for example `"cuda"`.
    """

    def __init__(self, base: np.ndarray, device: str | torch.device) -> None:
        self.base = torch.from_numpy(base).to(device)
        self.half_squares = self.base.square().sum(dim=1) / 2

    def __call__(
        self, queries: np.ndarray, found: int, precision: Literal["high", "highest"] = "high"
    ) -> Candidates:
        """See `CandidateSearch`; `"high"` is TF32 where the device has it, `"highest"` float32."""
        moved = torch.from_numpy(queries).to(self.base.device)
        with matmul_precision(precision):
            closeness, places = self._nearest(moved, found)
        outside = moved.square().sum(dim=1) - 2 * closeness[:, -1]
        squared = torch.empty_like(closeness)
        step = max(1, PAIRS_PER_BLOCK // found)
        for start in range(0, len(moved), step):
            part = slice(start, start + step)
            difference = moved[part, None] - self.base[places[part]]
            squared[part] = difference.square_().sum(dim=2)
        rounding = product_rounding(self.base.shape[1])
        if precision == "high":
            rounding += 2 * TF32_ROUNDING
        return Candidates(
            places.cpu().numpy(), squared.cpu().numpy(), outside.cpu().numpy(), rounding
        )

    def _nearest(self, queries: torch.Tensor, found: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The largest ab - |b|² / 2 for each a, in descending order, and where, `[Q, found]`."""
        best = queries.new_full((len(queries), 0), -torch.inf)
        places = torch.empty(best.shape, dtype=torch.int64, device=best.device)
        for start in range(0, len(self.base), BASE_BLOCK):
            block = self.base[start : start + BASE_BLOCK]
            half_squares = self.half_squares[start : start + BASE_BLOCK]
            closeness = torch.addmm(-half_squares, queries, block.T)
            values, columns = largest(closeness, min(found, len(block)))
            best = torch.cat([best, values], dim=1)
            places = torch.cat([places, columns + start], dim=1)
            best, order = best.topk(min(found, best.shape[1]), dim=1)
            places = places.gather(1, order)
        return best, places


def largest(values: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`values.topk(count)`, in two stages: of groups of columns, then within the best of them."""
    rows, columns = values.shape
    groups = -(-columns // GROUP)
    if groups <= 2 * count:
        return values.topk(count, dim=1)
    if columns % GROUP:
        values = torch.nn.functional.pad(values, (0, groups * GROUP - columns), value=-torch.inf)
    grouped = values.view(rows, groups, GROUP)
    chosen = grouped.amax(dim=2).topk(count, dim=1, sorted=False).indices
    members = grouped.gather(1, chosen[:, :, None].expand(-1, -1, GROUP)).flatten(1)
    best, order = members.topk(count, dim=1)
    return best, chosen.gather(1, order // GROUP) * GROUP + order % GROUP


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Multiply float32 matrices at this precision, whatever the program around has set."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
