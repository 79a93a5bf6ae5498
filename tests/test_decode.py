"""decode: every kind of image file comes out as the upright RGB that Pillow, converted by hand, gives."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from photopic.data.decode import MAX_PIXELS, ImageError, decode, looks_like_image, probe, verify
from photopic.errors import DataError


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(width: int = 40, height: int = 30) -> Image.Image:
    """Smooth, so that JPEG keeps it nearly unchanged, and different in every corner."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=2).astype(np.uint8))


def png_header(width: int, height: int) -> bytes:
    """A PNG with nothing but a header and the begin of its pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    length, checksum = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + length + chunk + checksum + struct.pack(">I", 9) + b"IDAT"


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF", "WEBP"])
def test_lossless_formats_give_the_pixels_that_were_saved(kind: str) -> None:
    image = photo() if kind != "GIF" else photo().quantize(64)
    data = encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {}))
    pixels = decode(data, "a")
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))


def test_a_jpeg_is_what_pillow_decodes() -> None:
    data = encoded(photo(), "JPEG")
    np.testing.assert_array_equal(decode(data, "a"), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_photos_come_upright_from_every_exif_orientation(orientation: int, kind: str) -> None:
    upright = photo(48, 32)
    stored = upright.transpose(_UNDO[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    data = encoded(stored, kind, exif=exif, **options)
    pixels = decode(data, "a")
    assert pixels.shape == (32, 48, 3)
    assert np.abs(pixels.astype(int) - np.asarray(upright)).max() <= (20 if kind == "JPEG" else 0)
    assert np.abs(pixels.astype(int) - np.asarray(upright)).mean() < 3
    info = verify(data, "a")
    assert (info.width, info.height) == (48, 32)


# What was done to the upright image for the viewer to undo (EXIF 2.32, section 4.6.5): the inverse of
# the operation that ImageOps.exif_transpose applies.
_UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def test_pillow_agrees_about_the_orientations() -> None:
    for orientation, undo in _UNDO.items():
        stored = photo().transpose(undo)
        stored.getexif()[0x0112] = orientation
        assert ImageOps.exif_transpose(stored).tobytes() == photo().tobytes()


def test_a_damaged_exif_block_does_not_lose_the_picture() -> None:
    data = encoded(photo(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(data, "a").shape == (30, 40, 3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("byte_order", ["<u2", ">u2"])
def test_16_bit_grey_keeps_its_contrast(kind: str, byte_order: str) -> None:
    grey = np.linspace(0, 65535, 256 * 16).reshape(64, 64)
    image = Image.fromarray(grey.astype(byte_order))
    data = encoded(image if kind == "TIFF" else Image.fromarray(grey.astype("<u2")), kind)
    pixels = decode(data, "a")
    expected = np.rint(np.floor(grey) / 257).astype(np.uint8)
    for channel in range(3):
        np.testing.assert_array_equal(pixels[:, :, channel], expected)
    assert verify(data, "a").mode.startswith("I;16")


def test_16_bit_pgm_keeps_its_contrast() -> None:
    values = np.array([[0, 257 * 100], [257 * 200, 65535]], ">u2")
    pixels = decode(b"P5\n2 2\n65535\n" + values.tobytes(), "a.pgm")
    np.testing.assert_array_equal(pixels[:, :, 0], [[0, 100], [200, 255]])


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bit_pixels_are_refused_with_the_reason(dtype: type) -> None:
    data = encoded(Image.fromarray(np.ones((4, 4), dtype)), "TIFF")
    for function in (decode, verify):
        with pytest.raises(ImageError, match="32-bit pixels have no fixed range"):
            function(data, "a")


def test_cmyk_is_converted_as_pillow_does() -> None:
    data = encoded(photo().convert("CMYK"), "JPEG")
    np.testing.assert_array_equal(decode(data, "a"), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    assert verify(data, "a").mode == "CMYK"
    assert np.abs(decode(data, "a").astype(int) - np.asarray(photo())).mean() < 6


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_modes_without_transparency_match_pillow(mode: str) -> None:
    image = photo().convert(mode)
    np.testing.assert_array_equal(decode(encoded(image, "PNG"), "a"), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_show_the_background(mode: str) -> None:
    image = photo().convert(mode)
    alpha = np.full((30, 40), 255, np.uint8)
    alpha[:15], alpha[15:20] = 0, 128
    image.putalpha(Image.fromarray(alpha))
    data = encoded(image, "PNG")
    color = np.asarray(image.convert("RGB")).astype(float)
    for background in ((255, 255, 255), (10, 200, 30)):
        pixels = decode(data, "a", background=background)
        share = alpha[:, :, None] / 255
        expected = color * share + np.array(background) * (1 - share)
        assert np.abs(pixels - expected).max() <= 1  # rounding of 8-bit arithmetic
    np.testing.assert_array_equal(decode(data, "a")[:15], 255)


def test_a_transparent_colour_of_a_palette_grey_or_rgb_image_shows_the_background() -> None:
    grey = Image.fromarray(np.array([[10, 20], [30, 40]], np.uint8))
    data = {
        "grey": encoded(grey, "PNG", transparency=20),
        "palette": encoded(grey.quantize(4), "GIF", transparency=grey.quantize(4).getpixel((1, 0))),
        "rgb": encoded(grey.convert("RGB"), "PNG", transparency=(20, 20, 20)),
    }
    for name, content in data.items():
        pixels = decode(content, name, background=(1, 2, 3))
        np.testing.assert_array_equal(pixels[0, 1], (1, 2, 3), err_msg=name)
        np.testing.assert_array_equal(pixels[1, 1], (40, 40, 40), err_msg=name)


def test_a_transparent_16_bit_grey_shows_the_background() -> None:
    values = np.array([[257 * 7, 257 * 9]], np.uint16)
    data = encoded(Image.fromarray(values), "PNG")
    chunk = b"tRNS" + struct.pack(">H", 257 * 9)
    place = data.index(b"IDAT") - 4
    inserted = struct.pack(">I", 2) + chunk + struct.pack(">I", zlib.crc32(chunk))
    pixels = decode(data[:place] + inserted + data[place:], "a", background=(1, 2, 3))
    np.testing.assert_array_equal(pixels, [[[7, 7, 7], [1, 2, 3]]])


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_several_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options: dict[str, Any] = {"save_all": True, "append_images": frames[1:]}
    if kind == "WEBP":
        options["lossless"] = True
    data = encoded(frames[0], kind, **options)
    np.testing.assert_array_equal(decode(data, "a")[0, 0], (255, 0, 0))


def test_one_pixel_is_an_image() -> None:
    pixels = decode(encoded(Image.new("RGB", (1, 1), (3, 4, 5)), "PNG"), "a")
    np.testing.assert_array_equal(pixels, [[[3, 4, 5]]])


def test_an_image_of_too_many_pixels_is_refused_from_its_header() -> None:
    header = png_header(20_000, 20_000)
    for function in (decode, probe, verify):
        with pytest.raises(ImageError, match="20000 × 20000 pixels are more than the 100 million"):
            function(header, "huge.png")
    assert MAX_PIXELS == 100_000_000
    assert probe(png_header(10_000, 10_000), "large.png").width == 10_000


def test_no_warning_of_pillow_about_large_images_comes_through() -> None:
    info = probe(png_header(9_900, 10_000), "large.png")  # above Pillow's own first limit
    assert (info.width, info.height, info.mode, info.format) == (9_900, 10_000, "RGB", "PNG")


@pytest.mark.parametrize("min_side", [10, 16, 50, 99, 200, 400])
def test_a_jpeg_draft_keeps_twice_the_side_that_is_needed(min_side: int) -> None:
    data = encoded(photo(640, 400), "JPEG")
    height, width, _ = decode(data, "a", min_side=min_side).shape
    assert min(height, width) >= min(2 * min_side, 400)
    assert (height, width) in {(400, 640), (200, 320), (100, 160), (50, 80)}
    if 2 * min_side <= 200:
        assert height < 400
    assert min(height, width) < 4 * min_side or min(height, width) == 50


def test_a_draft_shows_the_same_picture() -> None:
    data = encoded(photo(640, 400), "JPEG")
    whole = Image.fromarray(decode(data, "a")).resize((32, 20), Image.Resampling.BOX)
    draft = Image.fromarray(decode(data, "a", min_side=20)).resize((32, 20), Image.Resampling.BOX)
    assert np.abs(np.asarray(whole).astype(int) - np.asarray(draft)).max() <= 3


def test_other_formats_ignore_min_side() -> None:
    assert decode(encoded(photo(640, 400), "PNG"), "a", min_side=10).shape == (400, 640, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9])
def test_truncated_files_are_found_by_decode_and_verify(kind: str, part: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    data = encoded(noise.quantize(256) if kind == "GIF" else noise, kind)
    cut = data[: max(1, int(part * len(data)))]
    for function in (decode, verify):
        with pytest.raises(ImageError, match=r"^photos/a: "):
            function(cut, "photos/a")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_random_damage_gives_an_image_error_or_an_image_and_nothing_else(kind: str) -> None:
    data = encoded(photo().quantize(64) if kind == "GIF" else photo(), kind)
    random = np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(data)
        for place in random.integers(0, min(len(damaged), 400), 3):
            damaged[place] = random.integers(0, 256)
        for function in (decode, verify):
            try:
                function(bytes(damaged), "a")
            except ImageError as error:
                assert str(error).startswith("a: ")  # noqa: PT017


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello, I am text", "not an image in a format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image in a format"),
        (b"\xff\xd8\xff\xe0", "damaged|decoded"),
    ],
)
def test_what_is_no_image_says_so(data: bytes, reason: str) -> None:
    for function in (decode, probe, verify):
        with pytest.raises(DataError, match=reason) as caught:
            function(data, "a.jpg")
        assert str(caught.value) == f"a.jpg: {caught.value.reason}"
        assert "BytesIO" not in str(caught.value)


def test_the_first_bytes_tell_images_from_other_files() -> None:
    for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        assert looks_like_image(encoded(photo(), kind)[:16]), kind
    for other in (b"", b"hello", b"PK\x03\x04", b"%PDF-1.7", b"SQLite format 3\0"):
        assert not looks_like_image(other[:16])


def test_probe_reads_the_header_only() -> None:
    data = encoded(photo(), "JPEG")
    info = probe(data[: len(data) // 2], "a")
    assert (info.width, info.height, info.mode, info.format) == (40, 30, "RGB", "JPEG")
