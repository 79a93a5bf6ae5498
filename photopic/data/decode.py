"""From the bytes of an image file to upright RGB pixels. Pillow is the reference decoder everywhere.

What is settled here, once, for every path an image can take:

- photos are turned upright by their EXIF orientation;
- of animations and multi-page files the first frame is taken;
- 16-bit grey is scaled by 257, so that it keeps its contrast (Pillow's own conversion saturates it);
- transparent pixels show one background, white unless another is asked for;
- an image above MAX_PIXELS is refused from its header, before any pixel is decoded.
"""

from __future__ import annotations

import importlib
import io
import struct
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, JpegImagePlugin

from photopic.errors import DataError

MAX_PIXELS = 100_000_000
"""Largest image that is decoded, in pixels (as 10,000 × 10,000); it needs 300 MB as RGB."""

WHITE = (255, 255, 255)

IMAGE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".gif", ".bmp", ".dib"),
        *(".tif", ".tiff", ".webp", ".avif", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm"),
        *(".heic", ".heif", ".jxl", ".psd", ".tga", ".svg"),  # not read, so they are listed, not passed over
    )
)
"""Names of files that claim to be an image; any other file is asked by its first bytes."""

# Pillow's plugins for these formats, and no others: some of the rest start programs or guess.
_PLUGINS = {
    "JPEG": "JpegImagePlugin",
    "PNG": "PngImagePlugin",
    "GIF": "GifImagePlugin",
    "BMP": "BmpImagePlugin",
    "TIFF": "TiffImagePlugin",
    "WEBP": "WebPImagePlugin",
    "AVIF": "AvifImagePlugin",
    "JPEG2000": "Jpeg2KImagePlugin",
    "PPM": "PpmImagePlugin",
}
_PREFIX_BYTES = 16  # what Pillow's own accept functions look at
_ORIENTATION, _SHORT = 0x0112, 3  # EXIF's tag and type; values 5 to 8 exchange width and height
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """Pillow's JPEG without the search for a resolution in the EXIF block, which warns of damage in it."""

    def _read_dpi_from_exif(self) -> None:
        """Pixels per inch mean nothing here."""


class ImageError(DataError):
    """One image that cannot be used: `name` is the file, `reason` a short text without the name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


@dataclass(frozen=True)
class ImageInfo:
    """What a header says: width and height in pixels of the upright image, Pillow's mode, file format."""

    width: int
    height: int
    mode: str
    format: str


def decode(
    data: bytes,
    name: str,
    *,
    background: tuple[int, int, int] = WHITE,
    min_side: int | None = None,
) -> NDArray[np.uint8]:
    """The image as (H, W, 3) uint8 RGB, upright, first frame.

    background: RGB 0..255 under transparent pixels.
    min_side: pixels; a JPEG may come at 1/2, 1/4 or 1/8 of its size as long as its shorter side stays at
        least twice this, so that resizing it to min_side loses nothing that can be seen. None: full size.
    Raises ImageError (a DataError) naming `name` and what is wrong.
    """
    image = _open(data, name)
    _refuse_unscaled(image, name)
    if min_side is not None and image.format == "JPEG":
        _draft(image, 2 * min_side)
    try:
        image.load()
        return _to_rgb(_upright(image), background)
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        raise ImageError(name, f"cannot be decoded ({_reason(error)})") from None


def to_rgb(image: Image.Image, name: str, *, background: tuple[int, int, int] = WHITE) -> NDArray[np.uint8]:
    """An image that Pillow has opened or made, as `decode` would give its file. Raises ImageError."""
    _refuse_size(image, name)
    _refuse_unscaled(image, name)
    try:
        image.load()
        return _to_rgb(_upright(image), background)
    except Exception as error:  # see decode
        raise ImageError(name, f"cannot be decoded ({_reason(error)})") from None


def probe(data: bytes, name: str) -> ImageInfo:
    """Size, mode and format from the header alone. Raises ImageError if there is none that we read."""
    return _info(_open(data, name))


def verify(data: bytes, name: str) -> ImageInfo:
    """Like `probe`, after reading the file to its end, so that a truncated one is found.

    Cheap where the format allows: a JPEG is decoded at 1/8 of its size, of a PNG the checksums are read.
    Raises ImageError if the file is damaged, truncated or of a kind that `decode` refuses.
    """
    image = _open(data, name)
    info = _info(image)
    _refuse_unscaled(image, name)
    try:
        if image.format == "JPEG":
            _draft(image, 1)
            image.load()
        elif image.format == "PNG":
            image.verify()
        else:
            image.load()
    except Exception as error:  # see decode
        raise ImageError(name, f"cannot be decoded ({_reason(error)})") from None
    return info


def looks_like_image(prefix: bytes) -> bool:
    """Whether the first 16 bytes of a file are those of a format we read."""
    return any(accept(prefix) is True for _, accept in _openers().values())


@cache
def _openers() -> dict[str, tuple[Any, Any]]:
    """Format name → (constructor of the opened image, test of the first bytes)."""
    openers = {}
    for name, plugin in _PLUGINS.items():
        try:
            importlib.import_module(f"PIL.{plugin}")
        except ImportError:  # a Pillow before 11.3 has no AVIF
            continue
        if name in Image.OPEN:
            openers[name] = Image.OPEN[name]
    # Without the factory in between too, which turns some JPEGs into multi-picture objects.
    openers["JPEG"] = (_Jpeg, openers["JPEG"][1])
    return openers


def _open(data: bytes, name: str) -> ImageFile.ImageFile:
    """The image with its header read.

    The plugins are called directly: Image.open warns of large images through process-wide state, and we
    have a limit of our own.
    """
    if not data:
        raise ImageError(name, "the file is empty")
    prefix = data[:_PREFIX_BYTES]
    for opener, accept in _openers().values():
        if accept(prefix) is not True:
            continue
        try:
            image: ImageFile.ImageFile = opener(io.BytesIO(data), "")
        except Exception as error:  # see decode
            raise ImageError(name, f"its header is damaged ({_reason(error)})") from None
        _refuse_size(image, name)
        return image
    raise ImageError(name, f"not an image in a format that photopic reads ({', '.join(_openers())})")


def _refuse_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        limit = MAX_PIXELS // 1_000_000
        raise ImageError(name, f"{width} × {height} pixels are more than the {limit} million that are read")
    if width < 1 or height < 1:
        raise ImageError(name, f"{width} × {height} pixels: there is nothing in it")


def _refuse_unscaled(image: Image.Image, name: str) -> None:
    """32-bit integers and floats have no fixed white, so no honest way to 8 bits."""
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        raise ImageError(name, "32-bit pixels have no fixed range; save it with 8 or 16 bits")
    if image.mode == "LAB":
        raise ImageError(name, "the colour space LAB is not read; save it as RGB")


def _info(image: ImageFile.ImageFile) -> ImageInfo:
    width, height = image.size
    if _orientation(image) >= 5:
        width, height = height, width
    return ImageInfo(width, height, image.mode, image.format or "")


def _draft(image: ImageFile.ImageFile, least: int) -> None:
    """Let libjpeg decode at 1/8, 1/4 or 1/2, the smallest that keeps the shorter side at `least` pixels."""
    width, height = image.size
    for scale in (8, 4, 2):
        if min(width, height) // scale >= least:
            image.draft(None, (width // scale, height // scale))
            return


def _orientation(image: Image.Image) -> int:
    """1 to 8, from the EXIF block beside the pixels; 1 where there is none or it is damaged.

    Read here, because Pillow's reader parses all tags and warns of damage that does not concern us. TIFF has
    no such block: there the tag is the file's own, and Pillow turns the image as it loads it.
    """
    exif = image.info.get("exif", b"").removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return 1
    (start,) = struct.unpack_from(order + "I", exif, 4)
    count = struct.unpack_from(order + "H", exif, start)[0] if start + 2 <= len(exif) else 0
    for place in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, _, value = struct.unpack_from(order + "HHIH", exif, place)
        if tag == _ORIENTATION:
            return int(value) if kind == _SHORT and 1 <= value <= 8 else 1
    return 1


def _upright(image: Image.Image) -> Image.Image:
    """The loaded image, turned and mirrored as its EXIF block says."""
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image, background: tuple[int, int, int]) -> NDArray[np.uint8]:
    if image.mode.startswith("I;16") or image.mode == "I":
        return _grey16_to_rgb(image, background)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        flat = Image.new("RGB", image.size, background)
        flat.paste(rgba, mask=rgba.getchannel("A"))
        return np.array(flat)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _grey16_to_rgb(image: Image.Image, background: tuple[int, int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) from 16-bit grey: 65535 / 257 is 255. A PNG may name one grey value as transparent."""
    grey16 = np.asarray(image).astype(np.uint32)
    grey = ((grey16 + 128) // 257).astype(np.uint8)
    rgb = np.repeat(grey[:, :, None], 3, axis=2)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        rgb[grey16 == transparent] = background
    return rgb


def _reason(error: Exception) -> str:
    """Pillow's message, without the parts that point at our in-memory file."""
    text = " ".join(str(error).split())
    return text if text and "<_io" not in text else type(error).__name__
