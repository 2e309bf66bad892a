from __future__ import annotations

import contextlib
import copy
import importlib
import io
import pickle
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from bradd.data.decode import (
    MAX_PIXELS,
    UnreadableImage,
    decode,
    readable_extensions,
    readable_formats,
)

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> io.BytesIO:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream


def noise(height: int = 40, width: int = 30) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


def png_header(width: int, height: int) -> io.BytesIO:
    """A PNG of a few bytes that claims a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + chunks)


def test_rgb_is_returned_as_it_is() -> None:
    decoded = decode(encoded(noise()))
    assert decoded.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(decoded), np.asarray(noise()))


def test_a_path_and_a_stream_give_the_same(tmp_path: Path) -> None:
    noise().save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png").tobytes() == decode(encoded(noise())).tobytes()


def test_the_stream_stays_open_and_is_read_from_its_start() -> None:
    stream = encoded(noise())  # stands at its end
    decode(stream)
    assert not stream.closed


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(format: str) -> None:
    values = np.array([[0, 128, 129, 257], [300, 32768, 65534, 65535]], np.uint16)
    decoded = np.asarray(decode(encoded(Image.fromarray(values), format)))
    expected = [[0, 0, 1, 1], [1, 128, 255, 255]]  # round(value / 257)
    np.testing.assert_array_equal(decoded, np.repeat(np.array(expected)[..., None], 3, axis=2))


def test_32_bit_integers_are_16_bit_values_or_else_stretched() -> None:
    within = Image.fromarray(np.array([[0, 257, 65535]], np.int32))
    beyond = Image.fromarray(np.array([[-100, 0, 300]], np.int32))
    assert np.asarray(decode(encoded(within, "TIFF")))[0, :, 0].tolist() == [0, 1, 255]
    assert np.asarray(decode(encoded(beyond, "TIFF")))[0, :, 0].tolist() == [0, 64, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.6, 1.0], [0, 153, 255]),
        ([0.0, 0.1, 0.2], [0, 26, 51]),
        ([0.0, 100.4, 255.0], [0, 100, 255]),
        ([-2.0, 0.0, 4.0], [0, 85, 255]),
        ([0.0, np.nan, 1.0], [0, 0, 255]),
        ([-np.inf, 0.6, np.inf], [0, 153, 255]),
        ([-7.0, -7.0, -7.0], [0, 0, 0]),
    ],
)
def test_floating_point_grey(values: list[float], expected: list[int]) -> None:
    image = Image.fromarray(np.array([values], np.float32))
    assert np.asarray(decode(encoded(image, "TIFF")))[0, :, 0].tolist() == expected


def test_floating_point_grey_without_a_finite_value_is_unreadable() -> None:
    image = Image.fromarray(np.full((1, 2), np.nan, np.float32))
    with pytest.raises(UnreadableImage, match="finite"):
        decode(encoded(image, "TIFF"))


def test_palette() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putpixel((1, 0), 1)
    decoded = decode(encoded(image))
    assert [decoded.getpixel((x, 0)) for x in (0, 1)] == [RED, BLUE]


@pytest.mark.parametrize("transparency", [0, b"\x00\xff"], ids=["index", "alpha of each colour"])
def test_transparent_palette_is_laid_over_white(transparency: int | bytes) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putpixel((1, 0), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decoded = decode(encoded(image, transparency=transparency))
    assert [decoded.getpixel((x, 0)) for x in (0, 1)] == [WHITE, BLUE]


def test_transparent_colour_of_an_rgb_image_is_laid_over_white() -> None:
    image = Image.new("RGB", (2, 1), GREEN)
    image.putpixel((0, 0), RED)
    decoded = decode(encoded(image, transparency=RED))
    assert [decoded.getpixel((x, 0)) for x in (0, 1)] == [WHITE, GREEN]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_composited_over_white(mode: str) -> None:
    random = np.random.default_rng(1)
    values = random.integers(0, 256, (8, 8, 4 if mode == "RGBA" else 2), np.uint8)
    decoded = np.asarray(decode(encoded(Image.fromarray(values, mode))), float)
    alpha = values[..., -1:] / 255
    expected = values[..., :-1] * alpha + 255 * (1 - alpha)
    np.testing.assert_allclose(decoded, np.broadcast_to(expected, (8, 8, 3)), atol=1)


def test_cmyk() -> None:
    values = np.zeros((16, 16, 4), np.uint8)
    values[..., 1:3] = 255  # magenta and yellow: red
    decoded = decode(encoded(Image.fromarray(values, "CMYK"), "JPEG", quality=95))
    np.testing.assert_allclose(np.asarray(decoded)[8, 8], RED, atol=8)


@pytest.mark.parametrize("mode", ["1", "L"])
def test_one_channel(mode: str) -> None:
    image = Image.new(mode, (2, 1))
    image.putpixel((1, 0), 255)
    decoded = decode(encoded(image))
    assert [decoded.getpixel((x, 0)) for x in (0, 1)] == [(0, 0, 0), WHITE]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG"])
def test_exif_orientation_is_applied(orientation: int, format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = encoded(noise(), format, exif=exif)
    with Image.open(stream) as image:
        expected = ImageOps.exif_transpose(image).convert("RGB")
    decoded = decode(stream)
    assert decoded.size == ((30, 40) if orientation < 5 else (40, 30))
    np.testing.assert_array_equal(np.asarray(decoded), np.asarray(expected))


def test_16_bit_grey_is_turned_upright_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(np.array([[0, 65535]], np.uint16))
    assert np.asarray(decode(encoded(image, exif=exif)))[:, 0, 0].tolist() == [0, 255]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_exif_that_cannot_be_parsed_holds_no_orientation() -> None:
    decoded = decode(encoded(noise(), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"))
    np.testing.assert_array_equal(np.asarray(decoded), np.asarray(noise()))


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation(format: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN, BLUE)]
    options: dict[str, object] = {"lossless": True} if format == "WEBP" else {}
    stream = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    with Image.open(stream) as image:
        assert getattr(image, "n_frames", 1) == 3
    assert decode(stream).getpixel((2, 2)) == RED


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_truncated_files_are_unreadable(format: str, tmp_path: Path) -> None:
    content = encoded(noise(), format).getvalue()
    file = tmp_path / "cut.img"
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadableImage, match=r"cut\.img: ") as caught:
        decode(file)
    assert caught.value.name == str(file)
    assert caught.value.reason


def test_files_that_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.jpg").write_text("Dear diary, today I took a picture.\n" * 20)
    with pytest.raises(UnreadableImage, match=r"empty\.png: the file is empty"):
        decode(tmp_path / "empty.png")
    with pytest.raises(UnreadableImage, match=r"notes\.jpg: not an image"):
        decode(tmp_path / "notes.jpg")
    with pytest.raises(UnreadableImage, match=r"gone\.jpg: No such file"):
        decode(tmp_path / "gone.jpg")
    with pytest.raises(UnreadableImage, match="directory"):
        decode(tmp_path)


def test_the_reason_is_the_same_each_time() -> None:
    reasons = set()
    for _ in range(2):
        with pytest.raises(UnreadableImage) as caught:
            decode(io.BytesIO(b"no image"))
        reasons.add(caught.value.reason)
    assert len(reasons) == 1


@pytest.mark.parametrize("pillow_limit", ["default", None])
def test_decompression_bomb(pillow_limit: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if pillow_limit is None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(UnreadableImage, match="pixels"):
        decode(png_header(100_000, 100_000))


def test_the_limit_is_pillows_and_its_warning_is_silent() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    assert 2 * Image.MAX_IMAGE_PIXELS == MAX_PIXELS
    # Between Pillow's warning and its error; the few bytes there are fail to decode later.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UnreadableImage) as caught:
            decode(png_header(10_000, 10_000))
    assert "pixels" not in caught.value.reason.replace("bytes not processed", "")


def test_max_pixels_is_the_largest_size_read(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("bradd.data.decode")
    monkeypatch.setattr(module, "MAX_PIXELS", 30 * 40)
    assert decode(encoded(noise(40, 30))).size == (30, 40)
    with pytest.raises(UnreadableImage, match=r"31 x 40 pixels are more than the limit of 1,200"):
        decode(encoded(noise(40, 31)))


def test_pillow_and_the_warning_filters_are_left_as_they_were() -> None:
    from PIL import ImageFile

    filters = copy.copy(warnings.filters)
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    decode(encoded(noise()))
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    assert list(warnings.filters) == list(filters)


def test_no_program_is_started_for_postscript() -> None:
    assert "EPS" not in readable_formats()
    assert ".eps" not in readable_extensions()
    assert {".jpg", ".jpeg", ".png", ".gif", ".webp", ".tif", ".bmp"} <= readable_extensions()
    stream = encoded(Image.new("RGB", (4, 4)), "EPS")
    with pytest.raises(UnreadableImage, match="not an image"):
        decode(stream)


def test_the_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(UnreadableImage("it is torn", "a.jpg")))
    assert (error.name, error.reason, str(error)) == ("a.jpg", "it is torn", "a.jpg: it is torn")


VALID = {
    format: encoded(noise(8, 8), format).getvalue() for format in ("PNG", "JPEG", "GIF", "TIFF")
}


@given(st.sampled_from(sorted(VALID)), st.data())
def test_damaged_bytes_give_an_image_or_the_one_error(format: str, data: st.DataObject) -> None:
    content = bytearray(VALID[format])
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings(), contextlib.suppress(UnreadableImage):
        warnings.simplefilter("ignore")  # Pillow's notes on damaged metadata
        assert decode(io.BytesIO(bytes(content))).mode == "RGB"


def scene(width: int = 160, height: int = 120) -> Image.Image:
    """A smooth picture whose four corners differ."""
    coarse = np.random.default_rng(2).integers(0, 256, (3, 4, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_is_decoded_smaller_as_allowed(factor: int, orientation: int, mode: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = encoded(scene().convert(mode), "JPEG", exif=exif, quality=95)
    asked: list[tuple[int, int]] = []

    def reduction(width: int, height: int) -> int:
        asked.append((width, height))
        return factor

    whole, reduced = decode(stream), decode(stream, reduction)
    assert asked == [whole.size] == [(160, 120) if orientation < 5 else (120, 160)]
    assert reduced.size == (whole.width // factor, whole.height // factor)
    assert reduced.mode == "RGB"
    expected = whole.resize(reduced.size, Image.Resampling.BOX)
    difference = np.abs(np.asarray(reduced, int) - np.asarray(expected, int))
    assert difference.mean() < 3


@given(width=st.integers(1, 70), height=st.integers(1, 70), factor=st.sampled_from([1, 2, 4, 8]))
def test_a_jpeg_is_never_decoded_smaller_than_allowed(width: int, height: int, factor: int) -> None:
    stream = encoded(Image.new("RGB", (width, height)), "JPEG")
    reduced = decode(stream, lambda *_: factor)
    assert reduced.width >= width / factor
    assert reduced.height >= height / factor


def test_what_is_left_over_stays_at_the_right_and_bottom() -> None:
    """So that a place in the full image, divided by the factor, is the place in the reduced one."""
    upright = encoded(scene(161, 123), "JPEG")
    assert decode(upright, lambda *_: 8).size == (21, 16)
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = encoded(scene(164, 124), "JPEG", exif=exif)
    assert decode(turned, lambda *_: 8).size == (41, 31)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "GIF", "WEBP"])
def test_other_formats_are_not_asked(format: str) -> None:
    def reduction(width: int, height: int) -> int:
        raise AssertionError("asked")

    stream = encoded(noise(), format)
    assert decode(stream, reduction).tobytes() == decode(stream).tobytes()
