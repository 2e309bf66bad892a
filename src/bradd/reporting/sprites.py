"""Many small pictures in few files, so that a page with thousands of them stays small."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from bradd.reporting.pictures import open_picture

__all__ = ["Sprites", "pack"]

SIDES = (96, 64, 48, 32, 24, 16)  # of a tile in pixels, the largest that fits is taken
QUALITY = 60
BYTES_A_PIXEL = 0.45  # of WebP at that quality, to begin with a side that will do
LOSSLESS_PIXELS = 500_000  # tiny pictures that are few are kept exactly
LOSSLESS_SIDE = 32
COLUMNS, ROWS = 32, 16

Tile = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Sprites:
    """Pictures packed into a few.

    Attributes:
        sources: The packed ones as data URIs.
        tiles: Of each picture: which of the packed ones it is in, left, top, width and height;
            None if its file is missing or unreadable.
    """

    sources: list[str]
    tiles: list[Tile | None]


def pack(files: Sequence[Path], budget: int) -> Sprites:
    """Pack pictures into sprites, smaller the more there are.

    Args:
        files: The pictures' files.
        budget: Bytes that the packed pictures may have together, before base64. Exceeded only if
            the smallest side does not suffice.
    """
    sides = [side for side in SIDES if len(files) * side**2 * BYTES_A_PIXEL <= budget] or SIDES[-1:]
    thumbnails = [_thumbnail(file, sides[0]) for file in files]
    for side in sides:
        for image in thumbnails:
            if image is not None:
                image.thumbnail((side, side), Image.Resampling.LANCZOS)
        packed, tiles = _packed(thumbnails)
        if sum(map(len, packed)) <= budget:
            break
    sources = [f"data:image/webp;base64,{base64.b64encode(one).decode()}" for one in packed]
    return Sprites(sources, tiles)


def _thumbnail(path: Path, side: int) -> Image.Image | None:
    image = open_picture(path)
    if image is None:
        return None
    image = image.convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def _packed(images: Sequence[Image.Image | None]) -> tuple[list[bytes], list[Tile | None]]:
    present = [image for image in images if image is not None]
    cell = max((max(image.size) for image in present), default=1)
    lossless = cell <= LOSSLESS_SIDE and len(present) * cell**2 <= LOSSLESS_PIXELS
    each = COLUMNS * ROWS
    tiles: list[Tile | None] = []
    packed: list[bytes] = []
    for start in range(0, len(images), each):
        batch = images[start : start + each]
        rows = -(-len(batch) // COLUMNS)
        sheet = Image.new("RGB", (min(len(batch), COLUMNS) * cell, rows * cell))
        for place, image in enumerate(batch):
            if image is None:
                tiles.append(None)
                continue
            row, column = divmod(place, COLUMNS)
            sheet.paste(image, (column * cell, row * cell))
            tiles.append((len(packed), column * cell, row * cell, *image.size))
        buffer = io.BytesIO()
        sheet.save(buffer, "WEBP", quality=QUALITY, method=2, lossless=lossless)
        packed.append(buffer.getvalue())
    return packed, tiles
