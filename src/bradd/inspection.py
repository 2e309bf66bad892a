"""Looking at every image once for what keeps it from being an anchor: broken, or a copy."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch.utils.data import DataLoader

from bradd.console import stage
from bradd.data.resize import centre_view
from bradd.errors import BraddError
from bradd.files import replace_atomically, write_atomically, write_errors
from bradd.pool import Pool
from bradd.select.guard import pixel_guard, shape_guard
from bradd.select.perceptual_hash import perceptual_hash
from bradd.views.reduction import ImageSource, load_reduced

__all__ = ["Inspection", "inspect_images", "inspect_pool"]

# Side of what is looked at, in pixels. Images are never enlarged for it: between the pixels of an
# enlarged image even noise is smooth. And it does not depend on the encoder, so that the same
# images are suspected whatever embeds them.
SIDE = 64
BATCH = 64  # images between two reports of progress
PICTURES = 24  # of suspected images, kept for each reason


@dataclass(frozen=True, eq=False)
class Inspection:
    """What was seen of N images.

    Attributes:
        reasons: Why each must not be an anchor, `""` if it may, str `[N]`.
        hashes: Perceptual hashes, uint64 `[N]`.
    """

    reasons: npt.NDArray[np.str_]
    hashes: npt.NDArray[np.uint64]


def inspect_images(images: ImageSource, num_workers: int = 0) -> Inspection:
    """Guard every image and hash what it shows.

    Args:
        images: N images that can be decoded.
        num_workers: Processes that decode; 0 decodes in this one.
    """
    count = len(images)
    reasons: npt.NDArray[np.str_] = np.full(count, "", dtype="<U32")
    hashes = np.zeros(count, dtype=np.uint64)
    sizes = np.ones((count, 2), dtype=np.int64)
    loader: DataLoader[Any] = DataLoader(
        cast(Any, _Looks(images)),
        batch_size=BATCH,
        num_workers=min(num_workers, -(-count // BATCH)),
        collate_fn=list,
        generator=torch.Generator(),  # otherwise it draws a number from torch's global one
    )
    done = 0
    with stage(f"look for broken images and copies among {count}", count) as progress:
        for batch in loader:
            for look in batch:
                reasons[done], hashes[done], sizes[done] = look
                done += 1
            progress.reach(done)
    return Inspection(np.where(reasons == "", shape_guard(sizes), reasons), hashes)


def inspect_pool(pool: Pool, num_workers: int = 0) -> Inspection:
    """`inspect_images` for the images of a pool; variations are no suspects and no copies.

    Images stay what they are, so what was seen is kept in the pool's folder for the next round, and
    pictures of the first suspected images of each reason in its `suspected`, for the page.

    Raises:
        BraddError: What was kept cannot be read, or the disk is full or cannot be written to.
    """
    path = pool.ledger.folder / "inspection.parquet"
    if path.exists():
        seen = _read(path, len(pool.images))
    else:
        seen = inspect_images(pool.images, num_workers)
        # Before the table: where that exists, so do they, though a run was killed in between.
        _write_pictures(path.parent / "suspected", pool.images, seen.reasons)
        table = pa.table({"reason": seen.reasons.tolist(), "hash": seen.hashes})
        _make(path.parent)
        with replace_atomically(path) as temporary:
            pq.write_table(table, temporary)
    variations = len(pool) - len(pool.images)
    return Inspection(
        np.concatenate([seen.reasons, np.full(variations, "")]),
        np.concatenate([seen.hashes, np.zeros(variations, np.uint64)]),
    )


def _write_pictures(folder: Path, images: ImageSource, reasons: npt.NDArray[np.str_]) -> None:
    """Keep what was looked at of the first suspected images of each reason."""
    for reason in np.unique(reasons[reasons != ""]):
        _make(folder)
        for index in np.flatnonzero(reasons == reason)[:PICTURES].tolist():
            view, _ = _look(images, index)
            picture = io.BytesIO()
            Image.fromarray(view.transpose(1, 2, 0)).save(picture, "PNG")
            write_atomically(folder / f"{index:08d}.png", picture.getvalue())


def _make(folder: Path) -> None:
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _read(path: Path, images: int) -> Inspection:
    try:
        table = pq.read_table(path, columns=["reason", "hash"])
    except (OSError, pa.ArrowException) as error:
        raise BraddError(f"{path} cannot be read ({error}): remove it to have it made anew.") from (
            error
        )
    if len(table) != images:
        raise BraddError(
            f"{path} is about {len(table)} images, but there are {images}: remove it to have it "
            "made anew."
        )
    return Inspection(
        np.array(table["reason"].to_pylist(), dtype=str),
        table["hash"].to_numpy().astype(np.uint64),
    )


def _look(images: ImageSource, index: int) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """What is looked at of an image, uint8 `[3, S, S]`, and the image's full width and height."""
    image, size, _ = load_reduced(images, index, lambda width, height: min(width, height) / SIDE)
    return centre_view(image, min(SIDE, *size)), size


class _Looks:
    """For each image why its pixels are suspected, its hash, and its width and height."""

    def __init__(self, images: ImageSource) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, indices: list[int]) -> list[tuple[str, int, tuple[int, int]]]:
        """Those of a batch; views of equal size are judged together, which is much faster."""
        views, sizes = zip(*(_look(self.images, index) for index in indices), strict=True)
        reasons, hashes = [""] * len(views), [0] * len(views)
        for side in {view.shape[-1] for view in views}:
            rows = [row for row, view in enumerate(views) if view.shape[-1] == side]
            together = np.stack([views[row] for row in rows])
            judged = zip(rows, pixel_guard(together), perceptual_hash(together), strict=True)
            for row, reason, image_hash in judged:
                reasons[row], hashes[row] = str(reason), int(image_hash)
        return list(zip(reasons, hashes, sizes, strict=True))
