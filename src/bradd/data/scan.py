"""Decoding every image once, before anything is trained on them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from bradd.data.decode import UnreadableImage
from bradd.data.images import Images
from bradd.errors import BraddError
from bradd.files import write_atomically

__all__ = ["Scan", "scan", "write_unreadable"]

_BATCH = 64  # images between two reports of progress
_SHOWN = 5  # how many unreadable images an error message lists


@dataclass(frozen=True, eq=False)
class Scan:
    """What was found out about a collection of images.

    Attributes:
        readable: Sorted indices of the images that can be decoded, `[N]`, int64.
        unreadable: Name and reason of each image that cannot.
        sizes: Width and height in pixels of the readable images, upright, `[N, 2]`, int32.
    """

    readable: npt.NDArray[np.int64]
    unreadable: list[tuple[str, str]]
    sizes: npt.NDArray[np.int32]


def scan(
    images: Images,
    workers: int,
    max_unreadable: float,
    progress: Callable[[int], None] | None = None,
) -> Scan:
    """Decode every image once, in worker processes, and keep none of them.

    Args:
        images: The images.
        workers: Worker processes; 0 decodes in this one.
        max_unreadable: Largest share of unreadable images to go on with, 0 to 1.
        progress: Called every now and then with the number of images decoded so far.

    Returns:
        Which images can be decoded, and their sizes.

    Raises:
        BraddError: There is no readable image, more than `max_unreadable` of them cannot be
            decoded, or an argument is out of range.
    """
    if workers < 0:
        raise BraddError(f"num_workers must be 0 or more, not {workers}")
    if not 0 <= max_unreadable <= 1:
        raise BraddError(f"max_unreadable must lie in 0 to 1, not {max_unreadable}")
    if len(images) == 0:
        raise BraddError("there are no images to read")
    import torch
    from torch.utils.data import DataLoader

    # A DataLoader ends its workers when this process is killed, unlike a process pool, and takes
    # anything with a length and items. At most a few batches of results wait to be collected.
    loader: DataLoader[Any] = DataLoader(
        cast(Any, _Sizes(images)),
        batch_size=_BATCH,
        num_workers=min(workers, -(-len(images) // _BATCH)),
        collate_fn=list,
        generator=torch.Generator(),  # otherwise it draws a number from torch's global one
    )
    sizes = np.zeros((len(images), 2), np.int32)
    reasons: dict[int, str] = {}
    done = 0
    for batch in loader:
        for result in batch:
            if isinstance(result, str):
                reasons[done] = result
            else:
                sizes[done] = result
            done += 1
        if progress is not None:
            progress(done)
    unreadable = [(images.name(index), reason) for index, reason in reasons.items()]
    _check_share(unreadable, len(images), max_unreadable)
    readable = np.setdiff1d(np.arange(len(images)), list(reasons)).astype(np.int64)
    return Scan(readable, unreadable, sizes[readable])


def write_unreadable(path: Path, unreadable: Sequence[tuple[str, str]]) -> None:
    """Write the unreadable images as a CSV file with the columns name and reason."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(("name", "reason"))
    writer.writerows(unreadable)
    write_atomically(path, table.getvalue())


class _Sizes:
    """For each image its width and height, or the reason why it cannot be decoded."""

    def __init__(self, images: Images) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[int, int] | str:
        size: tuple[int, int] | None = None

        def smallest(width: int, height: int) -> int:
            nonlocal size
            size = width, height
            return 8  # a JPEG is read to its end, but few of its pixels are computed

        try:
            image = self.images.load(index, smallest)
        except UnreadableImage as error:
            return error.reason
        return size or image.size


def _check_share(unreadable: list[tuple[str, str]], total: int, max_unreadable: float) -> None:
    share = len(unreadable) / total
    if len(unreadable) < total and share <= max_unreadable:
        return
    shown = "\n".join(f"  {name}: {reason}" for name, reason in unreadable[:_SHOWN])
    more = len(unreadable) - _SHOWN
    if more > 0:
        shown += f"\n  and {more} more"
    if len(unreadable) == total:
        raise BraddError(f"none of the {total} images can be read:\n{shown}")
    raise BraddError(
        f"{len(unreadable)} of {total} images ({share:.2%}) cannot be read, more than "
        f"max_unreadable={max_unreadable:g} allows:\n{shown}\n"
        "Repair or remove them, or raise max_unreadable to go on without them"
    )
