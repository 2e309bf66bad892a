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
from bradd.select.duplicates import duplicates_of
from bradd.select.guard import pixel_guard, shape_guard
from bradd.select.perceptual_hash import perceptual_hash
from bradd.select.thumbnail import CELLS, thumbnails
from bradd.views.reduction import ImageSource, load_reduced

__all__ = ["Inspection", "inspect_images", "inspect_pool"]

# Side of what is looked at, in pixels. Images are never enlarged for it: between the pixels of an
# enlarged image even noise is smooth. And it does not depend on the encoder, so that the same
# images are suspected whatever embeds them.
SIDE = 64
BATCH = 64  # images between two reports of progress
PICTURES = 24  # of suspected images, kept for each reason

# Of an image: why its pixels are suspected, its hash, its thumbnail, its width and height.
_Look = tuple[str, int, npt.NDArray[np.uint8], tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Inspection:
    """What was seen of N images.

    Attributes:
        reasons: Why each must not be an anchor, `""` if it may, str `[N]`.
        hashes: Perceptual hashes, uint64 `[N]`.
        thumbnails: Small pictures, uint8 `[N, 3, 9, 9]`.
    """

    reasons: npt.NDArray[np.str_]
    hashes: npt.NDArray[np.uint64]
    thumbnails: npt.NDArray[np.uint8]

    def stands_for(
        self, embeddings: npt.NDArray[Any], groupable: npt.NDArray[np.bool_] | None = None
    ) -> npt.NDArray[np.int64]:
        """Which image stands for each and its copies: `duplicates_of` those not suspected.

        Args:
            embeddings: `[N, D]`.
            groupable: Which may be counted as copies, bool `[N]`. Default: all.

        Returns:
            int64 `[N]`; what is suspected or not groupable stands for itself.
        """
        grouped = self.reasons == ""
        if groupable is not None:
            grouped = grouped & groupable
        return duplicates_of(self.hashes, self.thumbnails, embeddings, grouped)


def inspect_images(images: ImageSource, num_workers: int = 0) -> Inspection:
    """Guard every image, hash what it shows and keep a thumbnail.

    Args:
        images: N images that can be decoded.
        num_workers: Processes that decode; 0 decodes in this one.
    """
    count = len(images)
    reasons: npt.NDArray[np.str_] = np.full(count, "", dtype="<U32")
    hashes = np.zeros(count, dtype=np.uint64)
    small = _no_thumbnails(count)
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
                reasons[done], hashes[done], small[done], sizes[done] = look
                done += 1
            progress.reach(done)
    return Inspection(np.where(reasons == "", shape_guard(sizes), reasons), hashes, small)


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
        table = _as_table(seen)
        _make(path.parent)
        with replace_atomically(path) as temporary:
            pq.write_table(table, temporary)
    variations = len(pool) - len(pool.images)
    return Inspection(
        np.concatenate([seen.reasons, np.full(variations, "")]),
        np.concatenate([seen.hashes, np.zeros(variations, np.uint64)]),
        np.concatenate([seen.thumbnails, _no_thumbnails(variations)]),
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


def _no_thumbnails(count: int) -> npt.NDArray[np.uint8]:
    return np.zeros((count, 3, CELLS, CELLS), dtype=np.uint8)


def _as_table(seen: Inspection) -> pa.Table:
    bytes_each = _no_thumbnails(1).nbytes
    data = pa.py_buffer(np.ascontiguousarray(seen.thumbnails))
    small = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(bytes_each), len(seen.thumbnails), [None, data]
    )
    return pa.table({"reason": seen.reasons.tolist(), "hash": seen.hashes, "thumbnail": small})


def _read(path: Path, images: int) -> Inspection:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise BraddError(f"{path} cannot be read ({error}): remove it to have it made anew.") from (
            error
        )
    for column in ("reason", "hash", "thumbnail"):
        if column not in table.column_names:
            raise BraddError(f"{path} has no column {column}: remove it to have it made anew.")
    if len(table) != images:
        raise BraddError(
            f"{path} is about {len(table)} images, but there are {images}: remove it to have it "
            "made anew."
        )
    return Inspection(
        np.array(table["reason"].to_pylist(), dtype=str),
        table["hash"].to_numpy().astype(np.uint64),
        np.frombuffer(b"".join(table["thumbnail"].to_pylist()), np.uint8).reshape(
            _no_thumbnails(images).shape
        ),
    )


def _look(images: ImageSource, index: int) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """What is looked at of an image, uint8 `[3, S, S]`, and the image's full width and height."""
    image, size, _ = load_reduced(images, index, lambda width, height: min(width, height) / SIDE)
    return centre_view(image, min(SIDE, *size)), size


class _Looks:
    """Everything that is looked at of each image."""

    def __init__(self, images: ImageSource) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, indices: list[int]) -> list[_Look]:
        """Those of a batch; views of equal size are judged together, which is much faster."""
        views, sizes = zip(*(_look(self.images, index) for index in indices), strict=True)
        looks: dict[int, _Look] = {}
        for side in {view.shape[-1] for view in views}:
            rows = [row for row, view in enumerate(views) if view.shape[-1] == side]
            together = np.stack([views[row] for row in rows])
            judged = zip(
                pixel_guard(together).tolist(),
                perceptual_hash(together).tolist(),
                thumbnails(together),
                [sizes[row] for row in rows],
                strict=True,
            )
            looks.update(zip(rows, judged, strict=True))
        return [looks[row] for row in range(len(views))]
