"""What training draws from: the images and the accepted variations of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from torch.utils.data import Dataset, Sampler, get_worker_info

from bradd import distributed
from bradd.data import Images, decode, open_images
from bradd.data.decode import Reduction
from bradd.errors import BraddError
from bradd.files import write_atomically, write_errors
from bradd.ledger import Ledger
from bradd.seeds import random_generator

__all__ = ["EpochLength", "Pool", "PoolSampler"]

EpochLength = Literal["matched", "grown"]


class Pool(Dataset[tuple[Any, int]]):
    """Images and their accepted variations as one data set that grows.

    Images come first and keep their index for ever; variations follow in the order they were
    committed. Worker processes that outlive a round (`persistent_workers=True`) notice new
    variations by themselves.

    Args:
        data: A folder (searched recursively), a text file of paths, a named data set, or an
            `Images` object.
        folder: Where the ledger and the variations are kept.
        transform: Applied to each 8-bit RGB PIL image. Default: none, the PIL image itself.

    Raises:
        BraddError: No images, or `folder` belongs to a pool of other images.
    """

    def __init__(
        self,
        data: str | Path | Images,
        folder: str | Path,
        transform: Callable[[Image.Image], Any] | None = None,
    ) -> None:
        self.images = open_images(data)
        self.ledger = Ledger(folder)
        self.transform = transform
        # Where training begins: workers draw ahead before a resumed trainer sets the epoch.
        self.first_epoch = 0
        self._variations: list[Path] = []
        self._originals: list[int] = []  # the real image that each variation goes back to
        self._check_folder()
        self.show_rounds(max(self.ledger.committed(), default=0))

    def __len__(self) -> int:
        return len(self.images) + len(self._variations)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = self.load(index)
        return (image if self.transform is None else self.transform(image)), index

    def load(self, index: int, reduction: Reduction | None = None) -> Image.Image:
        """The image or variation at `index`, 8-bit RGB at its own size.

        Args:
            index: Of the image or variation.
            reduction: Says how many times smaller it may be decoded; see `bradd.data.decode`.
        """
        if index < len(self.images):
            return self.images.load(index, reduction)
        return decode(self._variation(index), reduction)

    def name(self, index: int) -> str:
        """The image's name, or the variation's file relative to the ledger's folder."""
        if index < len(self.images):
            return _printable(self.images.name(index))
        return self._variation(index).relative_to(self.ledger.folder).as_posix()

    def show_rounds(self, cycle: int) -> None:
        """Let the pool hold the accepted variations of the committed rounds 1 to `cycle`."""
        rows = [
            row
            for committed in self.ledger.committed()
            if committed <= cycle
            for row in self.ledger.variations(committed)
            if row.accepted
        ]
        self._variations = [self.ledger.folder / row.file for row in rows]
        self._originals = []
        for row in rows:
            self._originals.append(self.original(row.anchor))

    def original(self, index: int) -> int:
        """The real image that the image or variation at `index` goes back to."""
        return index if index < len(self.images) else self._originals[index - len(self.images)]

    def families(self) -> dict[int, list[int]]:
        """Each image that has variations, with all that go back to it: itself first, then these."""
        found: dict[int, list[int]] = {}
        for number, image in enumerate(self._originals):
            found.setdefault(image, [image]).append(len(self.images) + number)
        return found

    def sampler(
        self,
        seed: int,
        batch_size: int,
        epoch_length: EpochLength = "matched",
        real_share: float = 0.0,
    ) -> PoolSampler:
        """A sampler over this pool for a DataLoader of the same (global) `batch_size`."""
        return PoolSampler(self, seed, batch_size, epoch_length, real_share)

    def _variation(self, index: int) -> Path:
        position = index - len(self.images)
        if position >= len(self._variations) and get_worker_info() is not None:
            # Drawn by a sampler that knows of a round committed after this copy was made.
            self.show_rounds(max(self.ledger.committed(), default=0))
        return self._variations[position]

    def _check_folder(self) -> None:
        """Refuse a folder whose variations belong to other images; remember this pool's."""
        path = self.ledger.folder / "pool.json"
        mine = {"images": len(self.images), "fingerprint": self.images.fingerprint()}
        if not path.exists():
            if distributed.rank() == 0:
                with write_errors(path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, json.dumps(mine, indent=2))
            return
        if json.loads(path.read_text(encoding="utf-8")) != mine:
            raise BraddError(
                f"{self.ledger.folder} holds variations of other images than the {len(self.images)}"
                " given (files were added, removed or changed since). Restore the images, or "
                "choose a new folder."
            )


def _printable(name: str) -> str:
    """A file name as valid Unicode: bytes that are none are shown by their numbers."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


class PoolSampler(Sampler[int]):
    """Draws from a pool without replacement, in an order that (seed, epoch) alone decides.

    An epoch is `len(pool.images)` samples however much the pool grows (`"matched"`: every
    configuration takes the same number of steps), or the whole pool (`"grown"`: the paper's literal
    reading). Each process of a distributed run draws its share of every global batch. Samples that
    do not fill the last global batch are left out.

    Args:
        pool: The pool.
        seed: The run's seed.
        batch_size: Images in a global batch, over all processes.
        epoch_length: `"matched"` or `"grown"`.
        real_share: How much of an epoch is real images once there are variations, above 0, at most
            1; either kind is then drawn as evenly as can be. 0: as much as of the pool.

    Raises:
        BraddError: A batch larger than the images, or one the processes cannot share evenly; a
            share outside 0 to 1.
    """

    def __init__(
        self,
        pool: Pool,
        seed: int,
        batch_size: int,
        epoch_length: EpochLength = "matched",
        real_share: float = 0.0,
    ) -> None:
        if not 0 <= real_share <= 1:
            raise BraddError(f"real_share is {real_share}: it must be from 0 to 1.")
        if not 1 <= batch_size <= len(pool.images):
            raise BraddError(
                f"batch_size is {batch_size}, but there are {len(pool.images)} images: choose a "
                "batch size from 1 to that."
            )
        if batch_size % distributed.world_size():
            raise BraddError(
                f"batch_size is {batch_size}: it cannot be shared evenly by "
                f"{distributed.world_size()} processes."
            )
        self.pool = pool
        self.seed = seed
        self.batch_size = batch_size
        self.epoch_length = epoch_length
        self.real_share = real_share
        self._epoch: int | None = None

    @property
    def epoch(self) -> int:
        """The epoch to draw: the one set, at first the pool's `first_epoch`."""
        return self.pool.first_epoch if self._epoch is None else self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to draw; Lightning calls this."""
        self._epoch = epoch

    def batches(self) -> int:
        """Global batches in the coming epoch."""
        samples = len(self.pool.images if self.epoch_length == "matched" else self.pool)
        return samples // self.batch_size

    def __iter__(self) -> Iterator[int]:
        random = random_generator(self.seed, "order", self.epoch)
        samples = self.batches() * self.batch_size
        if self.real_share == 0 or len(self.pool) == len(self.pool.images):
            drawn = random.permutation(len(self.pool))[:samples]
        else:
            drawn = self._drawn_by_share(random, samples)
        mine: np.ndarray = drawn[distributed.rank() :: distributed.world_size()]
        return iter(mine.tolist())

    def _drawn_by_share(self, random: np.random.Generator, samples: int) -> np.ndarray:
        images = len(self.pool.images)
        real = round(self.real_share * samples)
        variations = _evenly(random, len(self.pool) - images, samples - real)
        both = np.concatenate([_evenly(random, images, real), images + variations])
        return random.permutation(both)

    def __len__(self) -> int:
        """Samples of this process in an epoch.

        Raises:
            TypeError: With `"grown"` epochs, whose length is not known beforehand.
        """
        if self.epoch_length == "grown":
            raise TypeError("The length of a grown epoch changes as the pool grows.")
        return self.batches() * self.batch_size // distributed.world_size()


def _evenly(random: np.random.Generator, count: int, samples: int) -> np.ndarray:
    """So many draws from `count` things, none more than once oftener than another."""
    rounds = [random.permutation(count) for _ in range(-(-samples // count))]
    return np.concatenate([np.empty(0, np.int64), *rounds])[:samples]
