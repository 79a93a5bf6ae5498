"""Feature vectors on the disk, found by the content of their image.

A *space* is one way to compute features: backbone, preprocessing, view. Its folder under
`cache_dir()/features` holds segments, one .npy file each, memory-mapped: records of (SHA-256 of the image,
CRC-32 of the vector, vector). New images add a segment, so a grown data set, another split or another data
set with the same photos computes only what is new. A record that does not match its CRC counts as absent.
All of it is safe to delete. Segments not used for longest go where the limit would be passed
(PHOTOPIC_CACHE_LIMIT, 20 GB if not set), but none that the same extraction needs.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from photopic.data.room import cache_error, limit_bytes
from photopic.errors import DataError
from photopic.files import cache_dir, write_with

Digests = npt.NDArray[np.uint8]
"""(n, 32) SHA-256 of images."""
Floats = npt.NDArray[np.float32]

_CLOCK_S = 2.0  # a file's time may lie so much before the clock's


class FeatureCache:
    """The features of one space."""

    def __init__(self, space: str) -> None:
        """space: everything that the features depend on beside the image, written out."""
        self._folder = cache_dir() / "features" / hashlib.sha256(space.encode()).hexdigest()[:32]
        self._since = time.time() - _CLOCK_S

    def reserve(self, vectors: int, dim: int) -> None:
        """Make room for so many vectors, before they are computed; what was found since stays.

        Raises DataError when they never fit the limit, the disk has no room, or nothing can be written.
        """
        needed, limit = vectors * _record(dim).itemsize, limit_bytes()
        if needed > limit:
            raise DataError(
                f"the features need {needed / 1e9:.1f} GB, but the cache is limited to {limit / 1e9:.1f} GB. "
                "Choose fewer views, or set PHOTOPIC_CACHE_LIMIT higher."
            )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder):
                _make_room(limit - needed, spared_since=self._since)
                if shutil.disk_usage(self._folder).free < needed:
                    raise OSError(errno.ENOSPC, "no space left")
        except OSError as error:
            raise cache_error(self._folder, error) from None

    def find(self, digests: Digests) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Features (n, D) in the order of `digests`, and which of them were found; others are zeros.

        An empty cache gives D = 0.
        """
        wanted = _as_text(digests)
        found = np.zeros(len(wanted), bool)
        features: Floats | None = None
        for path in sorted(self._folder.glob("*.npy")):
            segment = _open(path)
            if segment is None:
                continue
            if features is None:
                features = np.zeros((len(wanted), segment["features"].shape[1]), np.float32)
            hits = _take(segment, wanted, found, features)
            if hits:
                with suppress(OSError):
                    os.utime(path)  # the time of last use
        return features if features is not None else np.zeros((len(wanted), 0), np.float32), found

    def add(self, digests: Digests, features: Floats) -> None:
        """Write a segment, atomically. Raises UserError when the cache folder cannot be written."""
        n, dim = features.shape
        records = np.zeros(n, _record(dim))
        records["sha256"] = digests
        records["features"] = features
        records["crc32"] = [zlib.crc32(vector.tobytes()) for vector in records["features"]]
        name = hashlib.sha256(digests.tobytes()).hexdigest()[:32]
        write_with(
            self._folder / f"{name}.npy",
            lambda file: np.lib.format.write_array(file, records, allow_pickle=False),
        )


def _record(dim: int) -> np.dtype[np.void]:
    return np.dtype([("sha256", "u1", (32,)), ("crc32", "<u4"), ("features", "<f4", (dim,))])


def _open(path: Path) -> npt.NDArray[np.void] | None:
    """A segment, or None if it is damaged."""
    try:
        segment: npt.NDArray[np.void] = np.load(path, mmap_mode="r", allow_pickle=False)
        sound = segment.ndim == 1 and segment.dtype == _record(segment["features"].shape[1])
    except (OSError, ValueError, IndexError, EOFError, SyntaxError):
        return None
    return segment if sound else None


def _take(
    segment: npt.NDArray[np.void], wanted: npt.NDArray[np.bytes_], found: npt.NDArray[np.bool_], into: Floats
) -> bool:
    """Copy what the segment has of the rows not found yet; True if there was any."""
    if segment["features"].shape[1] != into.shape[1]:
        return False
    present = _as_text(np.ascontiguousarray(segment["sha256"]))
    order = np.argsort(present)
    todo = np.flatnonzero(~found)
    places = np.searchsorted(present, wanted[todo], sorter=order)
    records = order[np.minimum(places, len(order) - 1)] if len(order) else np.zeros(len(todo), np.int64)
    hit = present[records] == wanted[todo] if len(order) else np.zeros(len(todo), bool)
    for row, record in zip(todo[hit], records[hit], strict=True):
        vector = segment["features"][record]
        if zlib.crc32(vector.tobytes()) == segment["crc32"][record]:
            into[row] = vector
            found[row] = True
    return bool(hit.any())


def _as_text(digests: Digests) -> npt.NDArray[np.bytes_]:
    """(n, 32) bytes as (n,) byte strings, which NumPy can sort and compare."""
    return np.ascontiguousarray(digests).view("S32").reshape(-1)


def _make_room(limit: int, *, spared_since: float) -> None:
    """Delete the segments not used for longest until the others are within `limit` bytes.

    spared_since: time from which on a used segment stays in any case.
    """
    segments = sorted(_segments(), key=lambda entry: entry[0])
    total = sum(size for _, size, _ in segments)
    for used, size, path in segments:
        if total <= limit or used >= spared_since:
            return
        with suppress(OSError):  # on Windows a segment in use stays
            path.unlink()
            total -= size


def _segments() -> Iterator[tuple[float, int, Path]]:
    for path in (cache_dir() / "features").glob("*/*.npy"):
        with suppress(OSError):
            status = path.stat()
            yield status.st_mtime, status.st_size, path
