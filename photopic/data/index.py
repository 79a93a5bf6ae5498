"""The index: one row per image, held as columns, so that a million rows stay cheap.

Looking into a file (contents, header, a check that it is whole) is done once; the result is kept in
index_cache.py and used again while the file's size and stamp stay the same.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photopic.data.decode import IMAGE_SUFFIXES, ImageError, looks_like_image, verify
from photopic.data.index_cache import Fact, IndexCache
from photopic.data.source import Source
from photopic.parallel import usable_cores

Progress = Callable[[int, int, str], None]
"""Called with (done, total, what is being done)."""

OK = "ok"
NOT_AN_IMAGE = "not an image"

_LARGEST_UNKNOWN = 2**26
"""Bytes; a larger file without an image's name is not opened to see whether it is one."""
_CHUNK = 64  # files per task of the thread pool
_COMMIT_EVERY = 8192  # files, so that a stopped scan goes on where it was


@dataclass(frozen=True)
class Index:
    """Columns of n rows. Rows are usable where `states` is "ok"; elsewhere it holds the reason."""

    paths: NDArray[np.object_]
    """(n,) str, relative to the source, "/" between parts."""
    labels: NDArray[np.int64]
    """(n,) position in class_names; -1: no label."""
    splits: NDArray[np.str_]
    """(n,) split given with the data: "train", "val", "test" or ""."""
    groups: NDArray[np.object_]
    """(n,) str; images of the same group must not be separated; "": a group of its own."""
    sha256s: NDArray[np.uint8]
    """(n, 32) digest of the file's bytes, or of the pixels of array data; zeros where not read."""
    widths: NDArray[np.int32]
    """(n,) pixels, of the upright image; 0 where not known."""
    heights: NDArray[np.int32]
    """(n,) pixels, of the upright image; 0 where not known."""
    modes: NDArray[np.object_]
    """(n,) str, Pillow's name of the colour mode as stored: "RGB", "L", "P", "CMYK", "I;16" and others."""
    states: NDArray[np.object_]
    """(n,) str, "ok" or why the row is not used."""

    def __len__(self) -> int:
        return len(self.paths)

    def hex_digests(self, rows: NDArray[np.int64] | None = None) -> list[str]:
        """SHA-256 of the rows (all by default) as 64 hexadecimal digits each."""
        digests = self.sha256s if rows is None else self.sha256s[rows]
        text = digests.tobytes().hex()
        return [text[i : i + 64] for i in range(0, len(text), 64)]


@dataclass
class Facts:
    """What looking into n files gave, as columns like those of Index."""

    sha256s: NDArray[np.uint8]
    widths: NDArray[np.int32]
    heights: NDArray[np.int32]
    modes: NDArray[np.object_]
    states: NDArray[np.object_]

    @classmethod
    def empty(cls, n: int) -> Facts:
        """n rows of nothing known."""
        return cls(
            sha256s=np.zeros((n, 32), np.uint8),
            widths=np.zeros(n, np.int32),
            heights=np.zeros(n, np.int32),
            modes=np.full(n, "", object),
            states=np.full(n, "", object),
        )

    def put(self, row: int, fact: Fact) -> None:
        """Fill one row."""
        digest, self.widths[row], self.heights[row], self.modes[row], self.states[row] = fact
        if digest:
            self.sha256s[row] = np.frombuffer(digest, np.uint8)

    def put_all(self, known: Sequence[tuple[int, Fact]]) -> list[int]:
        """Fill many rows; returns their positions."""
        rows, facts = [row for row, _ in known], [fact for _, fact in known]
        digests, self.widths[rows], self.heights[rows], modes, states = zip(*facts, strict=True)
        self.modes[rows], self.states[rows] = modes, states
        joined = b"".join(digest or bytes(32) for digest in digests)
        self.sha256s[rows] = np.frombuffer(joined, np.uint8).reshape(-1, 32)
        return rows


def scan(
    source: Source,
    paths: Sequence[str],
    sizes: Sequence[int],
    stamps: Sequence[int],
    *,
    cache: IndexCache | None,
    progress: Progress | None = None,
) -> Facts:
    """Look into the files, or into the cache where they have not changed since.

    paths must be sorted. Never raises for a file: what is wrong with it is in its row's state.
    """
    facts = Facts.empty(len(paths))
    is_fresh = np.ones(len(paths), np.bool_)
    if cache is not None:
        for known in cache.load(paths, sizes, stamps):
            is_fresh[facts.put_all(known)] = False
    fresh = np.flatnonzero(is_fresh).tolist()
    total, done = len(paths), len(paths) - len(fresh)
    if progress is not None and total:
        progress(done, total, "indexing")
    unsaved: list[tuple[str, int, int, Fact]] = []
    for chunk in _examine_all(source, paths, sizes, fresh):
        for row, fact, lasting in chunk:
            facts.put(row, fact)
            if lasting:
                unsaved.append((paths[row], sizes[row], stamps[row], fact))
        done += len(chunk)
        if cache is not None and len(unsaved) >= _COMMIT_EVERY:
            cache.save(unsaved)
            unsaved = []
        if progress is not None:
            progress(done, total, "indexing")
    if cache is not None:
        cache.save(unsaved)
    return facts


Examined = tuple[int, Fact, bool]
"""Row, what was found, whether it will stay true while the file does not change."""


def _examine_all(
    source: Source, paths: Sequence[str], sizes: Sequence[int], rows: Sequence[int]
) -> Iterator[list[Examined]]:
    def task(chunk: list[int]) -> list[Examined]:
        return [(row, *_examine(source, paths[row], sizes[row])) for row in chunk]

    workers = min(16, usable_cores())
    # Pillow warns of harmless oddities without naming the file. Filters belong to the whole process: they are
    # set and reset by this thread, and those of the caller still hold for its own warnings.
    with warnings.catch_warnings(), ThreadPoolExecutor(workers, "photopic-index") as pool:
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield from pool.map(task, _chunks(rows))


def _chunks(rows: Sequence[int]) -> Iterator[list[int]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk


def _examine(source: Source, path: str, size: int) -> tuple[Fact, bool]:
    """One file: read once for its digest, its header and the check that it is whole."""
    claims_image = path[path.rfind(".") :].lower() in IMAGE_SUFFIXES
    if not claims_image and size > _LARGEST_UNKNOWN:
        return (b"", 0, 0, "", NOT_AN_IMAGE), True
    try:
        data = source.read(path)
    except ImageError as error:
        return (b"", 0, 0, "", error.reason), False
    if not claims_image and not looks_like_image(data[:16]):
        return (b"", 0, 0, "", NOT_AN_IMAGE), True
    digest = hashlib.sha256(data).digest()
    try:
        info = verify(data, path)
    except ImageError as error:
        return (digest, 0, 0, "", error.reason), True
    return (digest, info.width, info.height, info.mode, OK), True


def array_facts(images: NDArray[np.uint8]) -> Facts:
    """Facts of array data: images (n, H, W, C) uint8, C-contiguous; the digest is of an image's pixels."""
    n, height, width, channels = images.shape
    facts = Facts.empty(n)
    flat = images.reshape(-1).data
    step, sha256 = height * width * channels, hashlib.sha256
    digests = b"".join([sha256(flat[i : i + step]).digest() for i in range(0, n * step, step)])
    facts.sha256s = np.frombuffer(digests, np.uint8).reshape(n, 32)
    facts.widths[:], facts.heights[:] = width, height
    facts.modes[:], facts.states[:] = "L" if channels == 1 else "RGB", OK
    return facts


def same_content(sha256s: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(n,) the same number for the same digest; np.unique on 32-byte values is many times slower."""
    digests = np.ascontiguousarray(sha256s).view("<u8")
    order = np.lexsort(digests.T)
    is_new = np.r_[False, (np.diff(digests[order].view("<i8"), axis=0) != 0).any(axis=1)]
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.cumsum(is_new)
    return numbers


def column(values: Sequence[Any]) -> NDArray[np.object_]:
    """(n,) object array of the values; np.array would turn strings into fixed width."""
    out = np.empty(len(values), object)
    out[:] = values
    return out
