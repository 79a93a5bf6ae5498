"""What a user asks predictions for: files, folders, zips, arrays and Pillow images, as one list of items.

An item is a name and a way to get its pixels later, so the list is short however many images there are. The
order is the user's; inside a folder or zip, sorted by path. What cannot be read stays in its place in the
list and says why when it is asked for pixels.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from photopic.data.decode import IMAGE_SUFFIXES, ImageError, decode, looks_like_image, to_rgb
from photopic.data.preprocess import Preprocess
from photopic.data.source import FolderSource, Listing, Source, ZipSource
from photopic.errors import DataError, UserError

Images = npt.NDArray[np.uint8]
OneInput = str | Path | npt.NDArray[Any] | Image.Image
Inputs = OneInput | Sequence[OneInput]
_PREFIX_BYTES = 16
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class Item:
    """One image that is asked for."""

    name: str
    """The path as the user would write it, `zip/member`, or `array[3]`, `image[3]` for the place."""
    load: Callable[[Preprocess], Images]
    """Decode to (H, W, 1 or 3) uint8, upright, large enough for the preprocessing. Raises DataError."""


@contextmanager
def expand(inputs: Inputs) -> Iterator[list[Item]]:
    """All images that the inputs stand for; zips stay open while the block runs.

    A path to a file is one item, whatever it holds. A folder or zip stands for the image files in it, at any
    depth: files that neither are named like an image nor begin like one are left out, hidden ones too. An
    array is one image (H, W[, C]) or several (N, H, W[, C]): three axes are one image if the last is 1, 3 or
    4 long. Raises UserError for a path that does not exist or a folder or zip without images.
    """
    if isinstance(inputs, str | Path | np.ndarray | Image.Image):
        inputs = [inputs]
    items: list[Item] = []
    with ExitStack() as opened:
        for place, given in enumerate(inputs):
            if isinstance(given, str | Path):
                items += _from_path(str(given), opened)
            elif isinstance(given, Image.Image):
                items.append(_from_pillow(f"image[{place}]", given))
            elif isinstance(given, np.ndarray):
                items += _from_array(given, len(items))
            else:
                raise UserError(
                    f"input {place} is of type {type(given).__name__}; "
                    "expected a path, a NumPy array or a Pillow image"
                )
        yield items


def load_all(items: Iterable[Item], preprocess: Preprocess, threads: int) -> Iterator[Images | DataError]:
    """The stored pixels (S, S, C) of each item, or why there are none, in order.

    Decoding runs ahead of the caller by a few images per thread, so memory stays bounded.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="photopic-decode")
    ahead: deque[Future[Images | DataError]] = deque()
    try:
        for item in items:
            ahead.append(pool.submit(_load, item, preprocess))
            if len(ahead) > 8 * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _load(item: Item, preprocess: Preprocess) -> Images | DataError:
    try:
        return preprocess.to_store(item.load(preprocess))
    except DataError as error:
        return error


# ---- paths ----------------------------------------------------------------------------------------------


def _from_path(path: str, opened: ExitStack) -> list[Item]:
    location = Path(path)
    if os.path.isdir(path):  # noqa: PTH112 - answers where pathlib raises, as for a name that is too long
        return _members(FolderSource(location), path)
    if not os.path.lexists(path):
        raise UserError(f"{path}: there is no such file or folder.")
    if location.is_file() and (location.suffix.lower() == ".zip" or _begins(location, _ZIP)):
        return _members(opened.enter_context(closing(ZipSource(location))), path)
    return [_from_source(FolderSource(location.parent), location.name, path)]


def _begins(file: Path, magic: bytes) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(len(magic)) == magic
    except OSError:  # the item says why when it is read
        return False


def _members(source: Source, name: str) -> list[Item]:
    """The images of a folder or zip, and in their places the entries that could not be listed."""
    listing: Listing = source.list_files()
    found = {path: _from_source(source, path, _join(name, path)) for path in listing.paths}
    found = {path: item for path, item in found.items() if _is_image(source, path)}
    for problem in listing.problems:
        found[problem.path] = _unreadable(_join(name, problem.path), problem.reason)
    if not found:
        raise UserError(f"{name}: there are no images in it.")
    return [found[path] for path in sorted(found, key=lambda path: path.split("/"))]


def _is_image(source: Source, path: str) -> bool:
    if PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES:
        return True
    if isinstance(source, FolderSource):
        try:
            with (source.location / path).open("rb") as stream:
                return looks_like_image(stream.read(_PREFIX_BYTES))
        except OSError:
            return False
    try:
        return looks_like_image(source.read(path)[:_PREFIX_BYTES])
    except ImageError:
        return False


def _join(name: str, path: str) -> str:
    return name if path == "." else f"{name.rstrip('/')}/{path}"


def _from_source(source: Source, path: str, name: str) -> Item:
    def load(preprocess: Preprocess) -> Images:
        data = source.read(path)
        background = preprocess.config.background
        return decode(data, name, background=background, min_side=preprocess.min_side)

    return Item(name, load)


def _unreadable(name: str, reason: str) -> Item:
    def load(preprocess: Preprocess) -> Images:
        raise ImageError(name, reason)

    return Item(name, load)


# ---- pixels ---------------------------------------------------------------------------------------------


def _from_pillow(name: str, image: Image.Image) -> Item:
    return Item(name, lambda preprocess: to_rgb(image, name, background=preprocess.config.background))


def _from_array(array: npt.NDArray[Any], first: int) -> list[Item]:
    """Items named array[first], array[first + 1] …: their places in the whole list."""
    images = images_of(array)
    check_range(images, "array")

    def item(number: int) -> Item:
        name = f"array[{first + number}]"
        return Item(name, lambda preprocess: _array_image(images[number], name, preprocess))

    return [item(number) for number in range(len(images))]


def _array_image(image: npt.NDArray[Any], name: str, preprocess: Preprocess) -> Images:
    pixels = to_u8(image)
    if pixels.shape[2] < 4:
        return pixels
    return to_rgb(Image.fromarray(pixels), name, background=preprocess.config.background)


def images_of(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(H, W), (H, W, C), (N, H, W) or (N, H, W, C) as (N, H, W, C), C = 1, 3 or 4, by `expand`'s rule.

    Raises UserError for any other shape.
    """
    channels = (1, 3, 4)
    if array.ndim == 2:
        array = array[None, :, :, None]
    elif array.ndim == 3:
        array = array[None] if array.shape[2] in channels else array[..., None]
    if array.ndim != 4 or array.shape[3] not in channels or 0 in array.shape[1:]:
        raise UserError(
            f"an array of shape {array.shape} is no image; expected (H, W), (H, W, C), (N, H, W) or "
            "(N, H, W, C) with C = 1, 3 or 4"
        )
    return array


def check_range(images: npt.NDArray[Any], name: str) -> None:
    """Raises DataError unless the values are uint8 0..255, bool, or floats 0..1."""
    if images.dtype in (np.uint8, np.bool_) or images.size == 0:
        return
    if images.dtype.kind != "f":
        raise DataError(f"{name}: has values of type {images.dtype}; expected uint8 0..255 or floats 0..1")
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 1):  # so put that NaN is refused
        raise DataError(
            f"{name}: has floats from {low:.4g} to {high:.4g}; expected 0..1. Give values of 0..255 as uint8."
        )


def to_u8(images: npt.NDArray[Any]) -> Images:
    """uint8 0..255 of what `check_range` lets pass; floats 0..1 to the nearest of the 256 levels."""
    if images.dtype == np.uint8:
        return images
    pixels: Images = np.rint(images.astype(np.float32) * 255).astype(np.uint8)
    return pixels
