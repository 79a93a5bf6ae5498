"""What a user asks predictions for: files, folders, zips, arrays and Pillow images, as one list of items.

An item is a name and a way to get its pixels later, so the list is short however many images there are. The
order is the user's; inside a folder or zip, sorted by path. What cannot be read stays in its place in the
list and says why when it is asked for pixels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from photopic.data.arrays import as_images_u8
from photopic.data.decode import IMAGE_SUFFIXES, ImageError, decode, looks_like_image, to_rgb
from photopic.data.preprocess import Preprocess
from photopic.data.source import FolderSource, Listing, Source, ZipSource
from photopic.errors import DataError, UserError
from photopic.parallel import ordered_map, usable_cores

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

    A path to a file is one item, whatever it holds; so is a damaged zip. A folder or zip stands for the image
    files in it, at any depth: files that neither are named like an image nor begin like one are left out,
    hidden ones too. An array is one image (H, W[, C]) or several (N, H, W[, C]), with values as in
    `data.arrays.as_images_u8`: three axes are one image if the last is 1 or 3 long.
    Raises UserError for a path that does not exist, a folder or zip without images, an impossible array.
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


def load_all(items: Iterable[Item], preprocess: Preprocess) -> Iterator[Images | DataError]:
    """The stored pixels (S, S, C) of each item, or why there are none, in order.

    Decoding runs ahead of the caller by a few images per core, so memory stays bounded.
    """

    def load(item: Item) -> Images | DataError:
        try:
            return preprocess.to_store(item.load(preprocess))
        except DataError as error:
            return error

    return ordered_map(load, items, ahead=8 * usable_cores())


# ---- paths ----------------------------------------------------------------------------------------------


def _from_path(path: str, opened: ExitStack) -> list[Item]:
    location = Path(path)
    if os.path.isdir(path):  # noqa: PTH112 - answers where pathlib raises, as for a name that is too long
        return _members(FolderSource(location), path)
    if not os.path.lexists(path):
        raise UserError(f"{path}: there is no such file or folder.")
    if location.is_file() and (location.suffix.lower() == ".zip" or _begins(location, _ZIP)):
        try:
            source = opened.enter_context(closing(ZipSource(location)))
        except DataError as error:
            return [_unreadable(path, str(error).removeprefix(f"{location}: ").rstrip("."))]
        return _members(source, path)
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
        hint = " For arrays, use photopic.predict in Python." if name.endswith(".npz") else ""
        raise UserError(f"{name}: there are no images in it.{hint}")
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
    images_u8 = as_images_u8(_as_batch(array))

    def item(number: int) -> Item:
        return Item(f"array[{first + number}]", lambda preprocess: images_u8[number])

    return [item(number) for number in range(len(images_u8))]


def _as_batch(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(H, W) and (H, W, 1 or 3) with an axis of length 1 before; the rest as it is."""
    if array.ndim == 2:
        return array[None]
    if array.ndim == 3 and array.shape[2] in (1, 3):
        return array[None]
    return array
