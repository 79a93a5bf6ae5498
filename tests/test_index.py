"""The index and its cache: files are looked into once, and again only when they change."""

from __future__ import annotations

import hashlib
import io
import os
import sqlite3
import struct
import sys
import threading
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photopic.data import index as index_module
from photopic.data.decode import ImageError
from photopic.data.index import NOT_AN_IMAGE, OK, Facts, array_facts, scan
from photopic.data.index_cache import IndexCache
from photopic.data.source import FolderSource, Listing, ZipSource


def png(color: int, side: int = 4) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (side, side + 1), color).save(buffer, "PNG")
    return buffer.getvalue()


@contextmanager
def often_switching() -> Iterator[None]:
    """Threads take turns as often as Python can, so that a missing lock shows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class Counting:
    """A source in memory that counts what is read."""

    location = Path("nowhere")

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.read_paths: list[str] = []
        self._lock = threading.Lock()

    def list_files(self) -> Listing:
        listing = Listing()
        for path, data in sorted(self.files.items()):
            listing.add(path, len(data), hash(data) % 2**31)
        return listing

    def read(self, path: str) -> bytes:
        with self._lock:
            self.read_paths.append(path)
        if path not in self.files:
            raise ImageError(path, "the file is gone")
        return self.files[path]

    def scan(self, cache: IndexCache | None, **options: object) -> Facts:
        listing = self.list_files()
        return scan(self, listing.paths, listing.sizes, listing.stamps, cache=cache, **options)  # type: ignore[arg-type]


def test_a_row_holds_what_the_file_says(tmp_path: Path) -> None:
    source = Counting({"a.png": png(1), "b.png": png(2, 9), "c.png": b"", "d.txt": b"notes", "e": png(3)})
    facts = source.scan(None)
    assert facts.states.tolist() == [OK, OK, "the file is empty", NOT_AN_IMAGE, OK]
    assert facts.widths.tolist() == [4, 9, 0, 0, 4]
    assert facts.heights.tolist() == [5, 10, 0, 0, 5]
    assert facts.modes.tolist() == ["L", "L", "", "", "L"]
    assert facts.sha256s[1].tobytes() == hashlib.sha256(png(2, 9)).digest()
    assert sorted(source.read_paths) == sorted(source.files)


def test_a_second_scan_reads_nothing_and_finds_the_same(tmp_path: Path) -> None:
    source = Counting({f"{n:03}.png": png(n) for n in range(200)} | {"x.png": b"broken", "y.txt": b"text"})
    cache = IndexCache(tmp_path / "deep" / "a.sqlite")
    first = source.scan(cache)
    source.read_paths.clear()
    for again in (source.scan(cache), source.scan(IndexCache(cache.file))):
        assert source.read_paths == []
        for name, column in vars(first).items():
            np.testing.assert_array_equal(column, getattr(again, name), err_msg=name)


def test_only_new_and_changed_files_are_read_and_gone_ones_forgotten(tmp_path: Path) -> None:
    source = Counting({f"{n:03}.png": png(n) for n in range(50)})
    cache = IndexCache(tmp_path / "a.sqlite")
    source.scan(cache)
    source.read_paths.clear()
    source.files |= {"007.png": png(99, 6), "new.png": png(3)}
    del source.files["030.png"]
    facts = source.scan(cache)
    assert sorted(source.read_paths) == ["007.png", "new.png"]
    assert facts.widths[7] == 6
    with sqlite3.connect(cache.file) as connection:
        assert connection.execute("SELECT count(*) FROM files").fetchone() == (50,)
    connection.close()


def test_a_change_that_keeps_the_size_is_seen_by_the_stamp(tmp_path: Path) -> None:
    cache = IndexCache(tmp_path / "a.sqlite")
    source = Counting({"a.png": png(1)})
    before = source.scan(cache).sha256s
    source.files["a.png"] = png(2)
    assert len(png(2)) == len(png(1))
    assert (source.scan(cache).sha256s != before).any()


def test_what_may_pass_is_not_remembered(tmp_path: Path) -> None:
    cache = IndexCache(tmp_path / "a.sqlite")
    source = Counting({"a.png": png(1)})
    listing = source.list_files()
    del source.files["a.png"]
    facts = scan(source, listing.paths, listing.sizes, listing.stamps, cache=cache)
    assert facts.states.tolist() == ["the file is gone"]
    source.files["a.png"] = png(1)
    facts = scan(source, listing.paths, listing.sizes, listing.stamps, cache=cache)
    assert facts.states.tolist() == [OK]


def test_a_damaged_cache_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    source = Counting({f"{n:03}.png": png(n) for n in range(300)})
    cache = IndexCache(file)
    source.scan(cache)
    cache.close()
    whole = file.read_bytes()
    for damaged in (b"not a database at all " * 100, whole[:4096] + b"\xff" * (len(whole) - 4096), b""):
        file.write_bytes(damaged)
        cache = IndexCache(file)
        assert source.scan(cache).states.tolist() == [OK] * 300
        cache.close()
    source.read_paths.clear()
    cache = IndexCache(file)
    assert source.scan(cache).states.tolist() == [OK] * 300
    assert source.read_paths == []


def test_a_cache_of_another_version_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Counting({"a.png": png(1)})
    cache = IndexCache(tmp_path / "a.sqlite")
    source.scan(cache)
    cache.close()
    monkeypatch.setattr("PIL.__version__", "0.1")
    source.read_paths.clear()
    source.scan(IndexCache(tmp_path / "a.sqlite"))
    assert source.read_paths == ["a.png"]


def test_where_no_cache_can_be_written_the_scan_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    source = Counting({"a.png": png(1)})
    assert source.scan(IndexCache(tmp_path / "file" / "a.sqlite")).states.tolist() == [OK]


def test_a_full_disk_costs_the_cache_and_nothing_else(tmp_path: Path) -> None:
    source = Counting({f"{n:03}.png": png(n % 256) for n in range(2000)})
    cache = IndexCache(tmp_path / "a.sqlite")
    assert cache._connection is not None
    cache._connection.execute("PRAGMA max_page_count = 5")  # SQLite then says: database or disk is full
    assert source.scan(cache).states.tolist() == [OK] * 2000


def test_a_stopped_scan_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_COMMIT_EVERY", 128)
    source = Counting({f"{n:04}.png": png(n % 256) for n in range(1000)})

    def stop(done: int, total: int, what: str) -> None:
        if done >= 512:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        source.scan(IndexCache(tmp_path / "a.sqlite"), progress=stop)
    source.read_paths.clear()
    source.scan(IndexCache(tmp_path / "a.sqlite"))
    assert len(source.read_paths) <= 1000 - 384


def test_progress_runs_up_to_the_total() -> None:
    seen: list[tuple[int, int, str]] = []
    Counting({f"{n:04}.png": png(1) for n in range(300)}).scan(None, progress=lambda *step: seen.append(step))
    done = [step[0] for step in seen]
    assert done == sorted(done)
    assert done[0] == 0
    assert seen[-1] == (300, 300, "indexing")


def test_warnings_of_pillow_stay_inside_the_scan() -> None:
    """An animation of no frames is a PNG all the same; Pillow warns of it, and here warnings are errors."""
    frames = b"acTL" + bytes(8)
    chunk = struct.pack(">I", 8) + frames + struct.pack(">I", zlib.crc32(frames))
    place = png(1).index(b"IDAT") - 4
    data = png(1)[:place] + chunk + png(1)[place:]
    with pytest.warns(UserWarning, match="Invalid APNG"):
        Image.open(io.BytesIO(data))
    assert Counting({"a.png": data}).scan(None).states.tolist() == [OK]


def test_the_caller_hears_its_own_warnings_during_a_scan() -> None:
    def progress(done: int, total: int, what: str) -> None:
        warnings.warn(f"{done} of {total}", stacklevel=2)

    with pytest.warns(UserWarning, match="of 1"):
        Counting({"a.png": png(1)}).scan(None, progress=progress)


def test_array_rows_have_the_digest_of_their_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 3, 3), np.uint8)
    facts = array_facts(images)
    for row in range(5):
        assert facts.sha256s[row].tobytes() == hashlib.sha256(images[row].tobytes()).digest()
    assert facts.widths.tolist() == [3] * 5
    assert facts.heights.tolist() == [4] * 5
    assert facts.modes.tolist() == ["RGB"] * 5


def test_a_hundred_thousand_known_rows_need_no_look_into_files(tmp_path: Path) -> None:
    n = 100_000
    paths = [f"class{row % 100:03}/{row:07}.jpg" for row in range(n)]
    paths.sort()
    sizes, stamps = [1000] * n, list(range(n))
    cache = IndexCache(tmp_path / "a.sqlite")
    fact = (bytes(32), 640, 480, "RGB", OK)
    rows = [(path, 1000, stamp, fact) for path, stamp in zip(paths, stamps, strict=True)]
    cache.save(rows)
    facts = scan(Counting({}), paths, sizes, stamps, cache=cache)
    assert facts.states.tolist() == [OK] * n
    assert cache.file.stat().st_size < 150 * n


def test_a_zip_is_read_in_place_by_many_threads(tmp_path: Path) -> None:
    contents = {f"c{n % 3}/{n:04}.png": png(n % 256, 3 + n % 7) for n in range(500)}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = tmp_path / f"{method}.zip"
        with zipfile.ZipFile(file, "w", method) as archive:
            for path, data in contents.items():
                archive.writestr(path, data)
        source = ZipSource(file)
        orders = [np.random.default_rng(seed).permutation(list(contents)) for seed in range(8)]
        with often_switching(), ThreadPoolExecutor(8) as pool:
            reads = pool.map(lambda order, source=source: [source.read(str(path)) for path in order], orders)
            for order, found in zip(orders, reads, strict=True):
                assert found == [contents[str(path)] for path in order]
        source.close()


def test_a_zip_behind_other_bytes_and_with_long_names_is_read(tmp_path: Path) -> None:
    name = "ä" * 100 + "/" + "犬" * 60 + ".png"
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, png(5))
    file.write_bytes(b"#!/bin/sh\nexit 0\n" + file.read_bytes())
    source = ZipSource(file)
    assert source.list_files().paths == [name]
    assert source.read(name) == png(5)
    source.close()


def test_a_damaged_member_of_a_zip_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.png", png(5))
        archive.writestr("b.png", png(6))
    data = bytearray(file.read_bytes())
    data[data.index(b"IDAT") + 6] ^= 255
    file.write_bytes(data)
    source = ZipSource(file)
    with pytest.raises(ImageError, match=r"^a.png: its checksum in a.zip does not fit"):
        source.read("a.png")
    assert source.read("b.png") == png(6)
    with pytest.raises(ImageError, match="no such member"):
        source.read("c.png")
    source.close()


def test_the_stamp_of_a_folder_file_is_its_time_of_change(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    os.utime(tmp_path / "a.png", ns=(5, 1_700_000_000_123_456_700))
    listing = FolderSource(tmp_path).list_files()
    assert (listing.paths, listing.sizes) == (["a.png"], [len(png(1))])
    assert listing.stamps == [1_700_000_000_123_456_700]
