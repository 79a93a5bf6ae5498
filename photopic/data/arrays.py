"""Data sets held in memory: NumPy arrays, checked and brought to one form, and .npz files."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photopic.data.formats import natural_order
from photopic.errors import DataError

_DAMAGE = (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What NumPy and zipfile raise for damaged files; RuntimeError for encrypted ones."""


@dataclass(frozen=True)
class ArrayData:
    """n images in memory with their labels."""

    images: NDArray[np.uint8]
    """(n, H, W, C), C-contiguous, C = 1 or 3."""
    labels: NDArray[np.int64]
    """(n,), positions in class_names."""
    class_names: tuple[str, ...]
    splits: NDArray[np.str_] | None = None
    """(n,) "train", "val", "test" or ""; None: none given."""
    groups: Sequence[str] | None = None
    """n names; None: none given."""


def from_arrays(images: ArrayLike, labels: ArrayLike) -> ArrayData:
    """Checked arrays: images n×h×w or n×h×w×c (c = 1 or 3), labels n numbers or texts.

    uint8 is taken as it is, uint16 divided by 257, bool and floats in 0..1 multiplied by 255. Classes are
    named by their labels, in natural order. Raises DataError for anything else.
    """
    images_u8 = as_images_u8(images)
    try:
        values = np.asarray(labels)
    except ValueError:  # lists of different lengths
        raise DataError("labels: expected one integer or text for each image.") from None
    if values.ndim == 2 and values.shape[1] == 1:  # as Keras gives those of CIFAR-10
        values = values[:, 0]
    if values.shape != (len(images_u8),):
        raise DataError(
            f"labels: shape {values.shape}, expected one label for each of {len(images_u8)} images."
        )
    if values.dtype.kind == "f":
        if not np.isfinite(values).all() or (values != np.floor(values)).any():
            raise DataError("labels: floats that are no whole numbers; expected classes (integers or texts).")
        values = values.astype(np.int64)
    if values.dtype.kind == "O":
        if not all(isinstance(value, (str, int, np.integer)) for value in values):
            raise DataError("labels: expected integers or texts, and no empty values.")
        values = values.astype(np.str_)
    if values.dtype.kind not in "iubUS":
        raise DataError(f"labels: {values.dtype} values; expected integers or texts.")
    if values.dtype.kind == "S":
        try:
            values = np.char.decode(values, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"labels: bytes that are no UTF-8 ({error.object!r}). Pass texts.") from None
    found, positions = np.unique(values, return_inverse=True)
    names = [str(value) for value in found]
    if values.dtype.kind == "U":
        order = sorted(range(len(names)), key=lambda number: natural_order(names[number]))
        names = [names[number] for number in order]
        positions = np.argsort(order)[positions]
    return ArrayData(images_u8, positions.astype(np.int64).reshape(-1), tuple(names))


def as_images_u8(images: ArrayLike) -> NDArray[np.uint8]:
    """(n, H, W, C) uint8, C = 1 or 3; no copy where none is needed. Raises DataError, see from_arrays."""
    try:
        array = np.asarray(images)
    except ValueError:  # NumPy calls it inhomogeneous
        raise DataError(
            "images of different sizes make no array: give paths of files, or resize them."
        ) from None
    if array.ndim == 3:
        array = array[:, :, :, None]
    if array.ndim != 4 or 0 in array.shape[1:]:
        raise DataError(f"images: shape {array.shape}, expected n×h×w or n×h×w×c.")
    if array.shape[3] not in (1, 3):
        hint = (
            " They seem to be n×c×h×w: pass images.transpose(0, 2, 3, 1)." if array.shape[1] in (1, 3) else ""
        )
        raise DataError(f"images: {array.shape[3]} channels, expected 1 (grey) or 3 (RGB).{hint}")
    return np.ascontiguousarray(_to_u8(array))


def _to_u8(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.dtype.kind not in "iuf":
        raise DataError(f"images: {array.dtype} values; expected uint8, uint16, bool or floats in 0..1.")
    if not len(array):
        return array.astype(np.uint8)
    low, high = array.min(), array.max()
    if array.dtype.kind in "iu":
        if low < 0 or high > 255:
            raise DataError(f"images: integers from {low} to {high}, expected 0..255 (or uint16 0..65535).")
        return array.astype(np.uint8)
    if not (low >= 0 and high <= 1):  # also for NaN
        raise DataError(
            f"images: floats from {low:g} to {high:g}, expected 0..1; pass pixels in 0..255 as uint8."
        )
    scaled: NDArray[np.uint8] = np.rint(array * 255).astype(np.uint8)
    return scaled


def from_npz(file: Path) -> ArrayData:
    """An .npz file with `images` and `labels`, or `x_train`, `y_train`, `x_test`, `y_test` as Keras has them.

    Objects (pickles) in it are refused.
    """
    try:
        content = np.load(file, allow_pickle=False)
        if isinstance(content, np.ndarray):
            raise DataError(
                f"{file}: holds one array only. Save images and labels together: "
                "numpy.savez(FILE, images=…, labels=…)."
            )
        with content:
            arrays = {key: content[key] for key in content.files}
    except FileNotFoundError:
        raise DataError(f"{file}: there is no such file.") from None
    except _DAMAGE as error:
        raise DataError(f"{file}: cannot be read as arrays ({error}).") from None
    try:
        return _from_named(arrays)
    except DataError as error:
        raise DataError(f"{file}: {error}") from None


def _from_named(arrays: dict[str, NDArray[Any]]) -> ArrayData:
    """The data set in arrays whose names tell what they are. Raises DataError, without the file's name."""
    if {"x_train", "y_train", "x_test", "y_test"} <= arrays.keys():
        sets = {"train": ("x_train", "y_train"), "val": ("x_val", "y_val"), "test": ("x_test", "y_test")}
        present = {split: keys for split, keys in sets.items() if arrays.keys() >= set(keys)}
        for x, y in present.values():
            same = arrays[x].ndim > 0 and arrays[x].shape[1:] == arrays["x_train"].shape[1:]
            if not same or len(arrays[x]) != arrays[y].size:
                raise DataError(
                    f"{x} of shape {arrays[x].shape} does not fit {y} of shape {arrays[y].shape}, or not"
                    f" x_train of shape {arrays['x_train'].shape}. Give one label per image, all of one size."
                )
        splits = np.concatenate([np.full(len(arrays[y]), split) for split, (_, y) in present.items()])
        images = np.concatenate([arrays[x] for x, _ in present.values()])
        labels = np.concatenate([arrays[y].reshape(-1) for _, y in present.values()])
        data = from_arrays(images, labels)
        return ArrayData(data.images, data.labels, data.class_names, splits)
    if not {"images", "labels"} <= arrays.keys():
        found = ", ".join(sorted(arrays)) or "nothing"
        raise DataError(f"expected the arrays images and labels (or x_train, y_train, …); found {found}.")
    return from_arrays(arrays["images"], arrays["labels"])
