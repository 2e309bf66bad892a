"""Any image file a user may have, as an upright 8-bit RGB image."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from bradd.errors import BraddError

__all__ = [
    "MAX_PIXELS",
    "Reduction",
    "UnreadableImage",
    "decode",
    "readable_extensions",
    "readable_formats",
]

logger = logging.getLogger(__name__)

MAX_PIXELS = 178_956_970
"""Most pixels an image may have: the limit at which Pillow, too, refuses to decode."""

Reduction = Callable[[int, int], int]
"""From the width and height of an upright image in pixels to how many times smaller it may be
decoded: 1, 2, 4 or 8."""

# Pillow names these formats, but decodes them by running another program (Ghostscript, the Windows
# metafile player), or not at all without a handler of the application's own.
_NOT_DECODED_BY_PILLOW = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})

# What undoes each value of EXIF's tag Orientation (EXIF 2.32, section 4.6.4); 1 is upright.
_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImage(BraddError):
    """A file that cannot be decoded as an image.

    Attributes:
        reason: Why, without the file's name.
        name: The file's name.
    """

    def __init__(self, reason: str, name: str = "image") -> None:
        # Both are passed on, so that the error survives the way back from a worker process.
        super().__init__(reason, name)
        self.reason = reason
        self.name = name

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def decode(file: Path | BinaryIO, reduction: Reduction | None = None) -> Image.Image:
    """Decode an image file to upright, 8-bit RGB.

    - Orientation: EXIF's (or XMP's) is applied. EXIF data that cannot be parsed holds none.
    - Transparency: composited over white.
    - 16-bit grey: scaled, so that 65,535 becomes 255. Integers outside of 0 to 65,535 are
      stretched from the image's own minimum and maximum to 0 and 255.
    - Floating-point grey: 0 to 1 is scaled by 255, 0 to 255 is rounded, any other range is
      stretched from the image's own minimum and maximum. Values that are not finite take the
      nearest end of the range, NaN the lower one.
    - Animations: the first frame.

    Args:
        file: A path, or a seekable binary stream, which is read from its start and left open.
        reduction: Says how many times smaller a JPEG may be decoded, which saves most of the time
            that a photo takes; its sides are rounded up. Other formats do not ask, and are decoded
            at their full size. A turned JPEG whose sides cannot be divided evenly is decoded less
            small than allowed.

    Returns:
        An RGB image that no longer refers to the file.

    Raises:
        UnreadableImage: The file is missing, empty, truncated or not an image, its colours cannot
            be converted, or its header claims more than `MAX_PIXELS` pixels (nothing is decoded).
    """
    name = str(file) if isinstance(file, Path) else str(getattr(file, "name", "image"))
    try:
        with file.open("rb") if isinstance(file, Path) else nullcontext(file) as stream:
            return _decode_stream(stream, name, reduction)
    except (MemoryError, UnreadableImage):
        raise  # too little memory is the machine's fault, not the image's
    except Exception as error:
        # Pillow's decoders raise nearly anything on a broken file: OSError, SyntaxError,
        # ValueError, struct.error, EOFError, ... Whatever it is, this file cannot be decoded.
        raise UnreadableImage(_reason(error), name) from error


def readable_formats() -> tuple[str, ...]:
    """Names of the formats that `decode` reads, Pillow plug-ins registered so far included."""
    Image.preinit()  # the common formats first: they are tried in this order
    Image.init()
    return tuple(name for name in Image.ID if name not in _NOT_DECODED_BY_PILLOW)


def readable_extensions() -> frozenset[str]:
    """File extensions of the readable formats, in lower case, with the dot."""
    formats = frozenset(readable_formats())
    return frozenset(ext for ext, name in Image.registered_extensions().items() if name in formats)


def _decode_stream(stream: BinaryIO, name: str, reduction: Reduction | None) -> Image.Image:
    if stream.seek(0, 2) == 0:
        raise UnreadableImage("the file is empty", name)
    with warnings.catch_warnings():
        # Between half of Pillow's limit and the limit Pillow warns; here there is one limit.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(stream, formats=readable_formats()) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadableImage(
                    f"{width} x {height} pixels are more than the limit of {MAX_PIXELS:,} pixels",
                    name,
                )
            if reduction is not None and isinstance(image, JpegImageFile):
                orientation = _orientation(image, name)
                upright = (width, height) if orientation < 5 else (height, width)
                factor = reduction(*upright)
                # What is left over at the right and bottom must stay there.
                while orientation != 1 and (width % factor or height % factor):
                    factor //= 2
                image.draft(None, (max(1, width // factor), max(1, height // factor)))
            image.load()
            rgb = _to_rgb(image)
            to_upright = _TO_UPRIGHT.get(_orientation(image, name))
    return rgb if to_upright is None else rgb.transpose(to_upright)


def _orientation(image: Image.Image, name: str) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception as error:  # as many kinds as for broken images
        logger.debug("%s: its EXIF data is ignored: %s", name, _reason(error))
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_grey_to_8_bit(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        opaque = image.convert("RGBA")
        canvas = Image.new("RGB", image.size, "white")
        canvas.paste(opaque, mask=opaque.getchannel("A"))
        return canvas
    return image.convert("RGB")


def _grey_to_8_bit(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Scale grey values [H, W] of any number type to 0 to 255, as `decode` describes."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        raise ValueError("no pixel has a finite value")
    low, high = float(finite.min()), float(finite.max())
    known_maxima = (1.0, 255.0) if values.dtype.kind == "f" else (65535.0,)
    for maximum in known_maxima:
        if low >= 0 and high <= maximum:
            low, high = 0.0, maximum
            break
    if low == high:
        return np.zeros(values.shape, np.uint8)
    numbers = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
    return np.rint(np.interp(numbers, (low, high), (0, 255))).astype(np.uint8)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # its text holds a memory address
        return "not an image, or of a format that cannot be read"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
