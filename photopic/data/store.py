"""The pixel store: every image decoded and resized once, kept as one memory-mapped uint8 file.

`cache_dir()/pixels/<key>.npy` holds (n, size, size, channels) in NumPy's own format, `<key>.json` beside it
what is needed to trust it. The key is a hash of the images' contents in row order and of the preprocessing:
a store is never stale, only absent. All of it is safe to delete. `<key>.sha256` lists the images' hashes, so
that another store with the same preprocessing - a split with another seed, a data set that has grown -
copies what is there.

Damage. When the file's size and modification time are those written into the JSON, 17 evenly spaced blocks
(64 KiB each, so all of a store up to 1 MB) are compared with their SHA-256. When the time differs - any
ordinary write, a copy, a restored backup - the SHA-256 of all pixels is compared. A store that fails is
rebuilt. Not seen: a disk that silently changes bits between the sampled blocks of a large store.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import PIL

from photopic.data.dataset import DataSet, Excluded
from photopic.data.decode import ImageError
from photopic.data.index import Progress
from photopic.data.preprocess import Preprocess
from photopic.data.room import cache_error, make_room
from photopic.errors import DataError, UserError
from photopic.files import cache_dir, lock, write_bytes, write_json, write_with
from photopic.parallel import ordered_map, usable_cores

_FORMAT = 1
_BLOCK_BYTES = 65536
_BLOCKS = 17
_DIGEST_BYTES = 32
_TASK_IMAGES = 16  # images per task of a thread: small images would drown in the cost of tasks
_LOCK_TIMEOUT_S = 6 * 3600.0  # another process may be decoding a large data set


@dataclass(frozen=True)
class PixelStore:
    """Decoded images, ready to be sliced."""

    images_u8: np.ndarray
    """(n, size, size, channels) uint8; a memory map (copy-on-write), or the data set's own array."""
    rows: np.ndarray
    """(n,) int64: the data set's row of each image, in the order asked for, without the failed ones."""
    failed: list[Excluded]
    """Images that could not be decoded, with the reason."""
    path: Path | None
    """The file; None when the data set's array was used as it is."""


def open_pixel_store(
    dataset: DataSet, rows: np.ndarray, preprocess: Preprocess, *, progress: Progress | None = None
) -> PixelStore:
    """The stored pixels of these rows of a data set; decoded now if they are not in the cache.

    rows: (n,) integers, at least one; the store keeps their order. An array of the right size passes through
    with no file. progress(done, total, what) is called while decoding.
    Raises DataError when no image can be decoded, the disk is full or the store would be above its limit
    (PHOTOPIC_CACHE_LIMIT, 20 GB if not set).
    """
    rows = np.asarray(rows, dtype=np.int64)
    if len(rows) == 0:
        raise DataError(f"{dataset.name}: no images were asked for.")
    if _passes_through(dataset.array, preprocess):
        return PixelStore(_take(dataset.array, rows), rows, [], None)
    path = _folder() / f"{_key(dataset, rows, preprocess)}.npy"
    store = _reopen(path, dataset, rows, preprocess)
    if store is None:
        with lock(path.with_suffix(".lock"), timeout_s=_LOCK_TIMEOUT_S):
            store = _reopen(path, dataset, rows, preprocess)  # another process may have built it meanwhile
            if store is None:
                _build(path, dataset, rows, preprocess, progress)
                store = _reopen(path, dataset, rows, preprocess)
    if store is None:
        raise DataError(
            f"{path}: what was written cannot be read back. Check the disk, or set PHOTOPIC_CACHE."
        )
    return store


def _passes_through(array: np.ndarray | None, preprocess: Preprocess) -> bool:
    config = preprocess.config
    wanted = (config.size, config.size, config.channels)
    return array is not None and array.shape[1:] == wanted and config.crop_fraction == 1.0


def _take(array: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
    assert array is not None
    everything = len(rows) == len(array) and np.array_equal(rows, np.arange(len(array)))
    return array if everything and array.flags.writeable and array.flags.c_contiguous else array[rows]


def _key(dataset: DataSet, rows: np.ndarray, preprocess: Preprocess) -> str:
    """Content of all images in row order, and what is done to them."""
    digest = hashlib.sha256(_treatment(preprocess).encode())
    digest.update(np.ascontiguousarray(dataset.index.sha256s[rows]).data)
    return digest.hexdigest()


def _treatment(preprocess: Preprocess) -> str:
    """Preprocessing, and Pillow, whose decoder and filters may change."""
    return f"{_FORMAT} {preprocess.key} {PIL.__version__}"


def _folder() -> Path:
    folder = cache_dir() / "pixels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cache_error(folder, error) from error
    if not os.access(folder, os.W_OK):
        raise cache_error(folder, PermissionError(errno.EACCES, "permission denied"))
    return folder


# ---- reading ----------------------------------------------------------------------------------------------


def _reopen(path: Path, dataset: DataSet, rows: np.ndarray, preprocess: Preprocess) -> PixelStore | None:
    """The store at `path`, or None where it is absent, damaged, or an image that failed can be read now."""
    try:
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if facts["format"] != _FORMAT or not _is_sound(path, facts):
            return None
        images = np.load(path, mmap_mode="c", allow_pickle=False)
        failed = [
            Excluded(dataset.index.paths[rows[position]], reason) for position, reason in facts["failed"]
        ]
        kept = np.delete(rows, [position for position, _ in facts["failed"]])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    if images.dtype != np.uint8 or len(images) != len(kept):
        return None
    for position, _ in facts["failed"]:  # a file that was locked or on an absent disk may be back
        if not isinstance(decode_row(dataset, int(rows[position]), preprocess), str):
            return None
    with suppress(OSError):
        os.utime(path.with_suffix(".json"))  # the time of last use
    return PixelStore(images, kept, failed, path)


def _is_sound(path: Path, facts: dict[str, Any]) -> bool:
    status = path.stat()
    if status.st_size != facts["bytes"]:
        return False
    with path.open("rb") as file:
        if _sampled_sha256(file, status.st_size) != facts["sampled_sha256"]:
            return False
        if status.st_mtime_ns == facts["mtime_ns"]:
            return True
        file.seek(facts["header_bytes"])
        sound: bool = hashlib.file_digest(file, "sha256").hexdigest() == facts["pixels_sha256"]
    if sound:
        with suppress(UserError):
            write_json(path.with_suffix(".json"), {**facts, "mtime_ns": status.st_mtime_ns})
    return sound


def _sampled_sha256(file: IO[bytes], size: int) -> str:
    digest = hashlib.sha256()
    last = max(0, size - _BLOCK_BYTES)
    for i in range(_BLOCKS):
        file.seek(last * i // (_BLOCKS - 1))
        digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()


# ---- building ---------------------------------------------------------------------------------------------


def _build(
    path: Path, dataset: DataSet, rows: np.ndarray, preprocess: Preprocess, progress: Progress | None
) -> None:
    size, channels = preprocess.config.size, preprocess.config.channels
    with suppress(OSError):
        path.with_suffix(".json").unlink()  # what describes the old file must not describe the new one
    known = _known_pixels(path.parent, _treatment(preprocess))
    make_room(path.parent, len(rows) * size * size * channels, suffix=path.suffix)
    failed: list[tuple[int, str]] = []
    facts: dict[str, Any] = {"format": _FORMAT, "name": dataset.name, "failed": failed}
    facts["treatment"] = _treatment(preprocess)

    def write(file: IO[bytes]) -> None:
        digest = hashlib.sha256()
        _write_header(file, (len(rows), size, size, channels))
        facts["header_bytes"] = file.tell()
        for position, image in enumerate(_decode_all(dataset, rows, preprocess, known)):
            if isinstance(image, str):
                failed.append((position, image))
            else:
                pixels = image.data
                digest.update(pixels)
                file.write(pixels)
            if progress is not None:
                progress(position + 1, len(rows), "decoding")
        if len(failed) == len(rows):
            raise DataError(f"{dataset.name}: none of {len(rows)} images can be read. First: {failed[0][1]}")
        file.seek(0)
        _write_header(file, (len(rows) - len(failed), size, size, channels))
        assert file.tell() == facts["header_bytes"]
        facts["pixels_sha256"] = digest.hexdigest()

    try:
        write_with(path, write)
    except UserError as error:
        if isinstance(error.__cause__, OSError):
            raise cache_error(path.parent, error.__cause__) from error
        raise
    with path.open("rb") as file:
        status = path.stat()
        facts |= {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
        facts["sampled_sha256"] = _sampled_sha256(file, status.st_size)
    kept = np.delete(rows, [position for position, _ in failed])
    write_bytes(path.with_suffix(".sha256"), dataset.index.sha256s[kept].tobytes())
    write_json(path.with_suffix(".json"), facts)


def _write_header(file: IO[bytes], shape: tuple[int, ...]) -> None:
    """NumPy leaves room for a growing first axis: the header is as long with fewer images."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _known_pixels(folder: Path, treatment: str) -> dict[bytes, np.ndarray]:
    """Pixels of other sound stores with this treatment, by the SHA-256 of their image."""
    known: dict[bytes, np.ndarray] = {}
    for path in folder.glob("*.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            facts = json.loads(path.read_text(encoding="utf-8"))
            pixels = path.with_suffix(".npy")
            if facts["treatment"] == treatment and _is_sound(pixels, facts):
                images = np.asarray(np.load(pixels, mmap_mode="r", allow_pickle=False))
                text = path.with_suffix(".sha256").read_bytes()
                digests = [text[i : i + _DIGEST_BYTES] for i in range(0, len(text), _DIGEST_BYTES)]
                known.update(zip(digests, images, strict=True))
    return known


def _decode_all(
    dataset: DataSet, rows: np.ndarray, preprocess: Preprocess, known: dict[bytes, np.ndarray]
) -> Iterator[np.ndarray | str]:
    """Each row's pixels, or the reason why there are none, in order."""

    def decode(task: np.ndarray) -> list[np.ndarray | str]:
        hits = [known.get(dataset.index.sha256s[row].tobytes()) for row in task]
        return [
            decode_row(dataset, row, preprocess) if hit is None else hit
            for row, hit in zip(task.tolist(), hits, strict=True)
        ]

    tasks = (rows[start : start + _TASK_IMAGES] for start in range(0, len(rows), _TASK_IMAGES))
    for images in ordered_map(decode, tasks, ahead=2 * usable_cores()):
        yield from images


def decode_row(dataset: DataSet, row: int, preprocess: Preprocess) -> np.ndarray | str:
    """One image as it is stored, (size, size, channels) uint8, or the reason why it cannot be read."""
    try:
        image = dataset.image(row, min_side=preprocess.min_side, background=preprocess.config.background)
        return preprocess.to_store(image)
    except ImageError as error:
        return error.reason
    except (DataError, OSError) as error:
        return str(error)
