"""Pictures embedded in a page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

__all__ = ["THUMBNAIL_SIZE", "Picture", "embed", "embedded", "open_picture"]

SHOWN_SIZE = 96  # of a picture on the page, in CSS pixels
THUMBNAIL_SIZE = 112  # of what is embedded, in pixels: a little more, for dense screens
TINY = 64  # pictures up to this side are enlarged pixel by pixel
LOSSLESS = 32  # up to this side PNG is the smaller, exact choice


@dataclass(frozen=True)
class Picture:
    """An embedded picture: a data URI and its size on the page in CSS pixels."""

    source: str
    width: int
    height: int
    pixelated: bool


def open_picture(path: Path) -> Image.Image | None:
    """The picture as L or RGB, or `None` if there is none or it cannot be decoded."""
    try:
        with Image.open(path) as image:
            return image.convert("L" if image.mode in ("1", "L") else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def embed(path: Path) -> Picture | None:
    """Embed a picture; `None` if it is missing or unreadable."""
    image = open_picture(path)
    return None if image is None else embedded(image)


def embedded(image: Image.Image) -> Picture:
    """Embed a picture, L or RGB: as it is if tiny, as a thumbnail if larger."""
    image = image.copy()
    image.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE), Image.Resampling.LANCZOS)
    side = max(image.size)
    # Whole halves, so that on a dense screen every pixel of a tiny picture is a square of one size.
    factor = (2 * SHOWN_SIZE // side) / 2 if side <= TINY else SHOWN_SIZE / side
    buffer = io.BytesIO()
    if side <= LOSSLESS:
        kind = "png"
        image.save(buffer, "PNG", optimize=True)
    else:
        kind = "webp"
        image.save(buffer, "WEBP", quality=75, method=4)
    return Picture(
        source=f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}",
        width=max(1, round(image.width * factor)),
        height=max(1, round(image.height * factor)),
        pixelated=side <= TINY,
    )
