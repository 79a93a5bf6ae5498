"""photopic.data.store: decoded once, trusted only when sound, never half-written."""

from __future__ import annotations

import errno
import json
import os
import threading
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
import pytest
from PIL import Image

from photopic.config import PreprocessConfig
from photopic.data import room
from photopic.data import store as store_module
from photopic.data.dataset import open_dataset
from photopic.data.decode import ImageError
from photopic.data.preprocess import Preprocess
from photopic.data.store import open_pixel_store
from photopic.errors import ConfigError, DataError, UserError


class Files:
    """A data set of encoded images that counts how often one is decoded."""

    def __init__(self, images: list[bytes]) -> None:
        self.name = "files"
        self.images = images
        self.array = None
        self.decoded = 0
        self.guard = threading.Lock()
        self.index = SimpleNamespace(
            paths=[f"{i:03}.png" for i in range(len(images))],
            sha256s=np.array([list(sha256(data).digest()) for data in images], np.uint8),
        )

    def image(self, row: int, **_: Any) -> np.ndarray:
        with self.guard:
            self.decoded += 1
        try:
            return np.asarray(Image.open(BytesIO(self.images[row])).convert("RGB"))
        except OSError as error:
            raise ImageError(self.index.paths[row], "cannot decode") from error


def png(seed: int, size: tuple[int, int] = (20, 30)) -> bytes:
    buffer = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHOTOPIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PHOTOPIC_CACHE_LIMIT", raising=False)
    return tmp_path / "cache" / "pixels"


def preprocess(size: int = 12, **config: Any) -> Preprocess:
    return Preprocess(PreprocessConfig(size=size, **config))


def open_store(dataset: Any, rows: Any = None, prep: Preprocess | None = None, **options: Any) -> Any:
    rows = np.arange(len(dataset.index.paths)) if rows is None else np.asarray(rows)
    return open_pixel_store(dataset, rows, prep or preprocess(), **options)


def test_the_pixels_are_those_of_one_image_at_a_time_in_the_order_asked_for() -> None:
    dataset = Files([png(i, (15 + i % 7, 30)) for i in range(70)])
    rows = np.random.default_rng(0).permutation(70)[:60]
    store = open_store(dataset, rows)
    wanted = np.stack([preprocess().to_store(dataset.image(row)) for row in rows])
    np.testing.assert_array_equal(store.images_u8, wanted)
    np.testing.assert_array_equal(store.rows, rows)
    assert store.failed == []
    assert store.images_u8.shape == (60, 12, 12, 3)
    assert store.images_u8.dtype == np.uint8


def test_the_second_time_nothing_is_decoded() -> None:
    dataset = Files([png(i) for i in range(5)])
    first = open_store(dataset)
    assert dataset.decoded == 5
    again = open_store(dataset)
    assert dataset.decoded == 5
    assert again.path == first.path
    np.testing.assert_array_equal(again.images_u8, first.images_u8)


@pytest.mark.parametrize("change", ["rows", "order", "content", "size", "channels"])
def test_anything_that_changes_pixels_gives_another_store(change: str) -> None:
    images = [png(i) for i in range(5)]
    first = open_store(Files(images)).path
    rows = {"rows": [0, 1, 2], "order": [1, 0, 2, 3, 4]}.get(change)
    prep = {"size": preprocess(13), "channels": preprocess(channels=1)}.get(change)
    other = Files([png(99), *images[1:]] if change == "content" else images)
    assert open_store(other, rows, prep).path != first
    assert open_store(Files(images)).path == first


def test_an_image_that_cannot_be_read_is_listed_and_shifts_no_other() -> None:
    images = [png(i) for i in range(6)]
    images[0] = images[4] = b"not an image"
    dataset = Files(images)
    for _ in range(2):  # built, then reopened
        store = open_store(dataset)
        assert store.rows.tolist() == [1, 2, 3, 5]
        assert [excluded.path for excluded in store.failed] == ["000.png", "004.png"]
        assert {excluded.reason for excluded in store.failed} == {"cannot decode"}
        np.testing.assert_array_equal(store.images_u8[3], preprocess().to_store(dataset.image(5)))


def test_an_image_that_can_be_read_again_comes_back() -> None:
    dataset = Files([png(i) for i in range(3)])
    whole, dataset.images[1] = dataset.images[1], b"away"
    assert open_store(dataset).rows.tolist() == [0, 2]
    dataset.images[1] = whole
    assert open_store(dataset).rows.tolist() == [0, 1, 2]


def test_no_readable_image_at_all_is_an_error_and_leaves_nothing(cache: Path) -> None:
    with pytest.raises(DataError, match="none of 2 images"):
        open_store(Files([b"x", b"y"]))
    assert list(cache.iterdir()) == []


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def overwrite(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 + 40_000] ^= 1
    path.write_bytes(data)


def overwrite_quietly(path: Path) -> None:
    """One bit at the end, with the old modification time: only the sampled blocks can tell."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def forget_facts(path: Path) -> None:
    path.with_suffix(".json").unlink()


def garble_facts(path: Path) -> None:
    path.with_suffix(".json").write_text("{")


@pytest.mark.parametrize("damage", [truncate, overwrite, overwrite_quietly, forget_facts, garble_facts])
def test_a_damaged_store_is_rebuilt(damage: Any) -> None:
    dataset = Files([png(i, (400, 400)) for i in range(4)])
    prep = preprocess(400)  # 1.9 MB: more than the sampled blocks hold
    wanted = open_store(dataset, prep=prep)
    pixels = np.array(wanted.images_u8)
    path = wanted.path
    del wanted
    damage(path)
    before = dataset.decoded
    np.testing.assert_array_equal(open_store(dataset, prep=prep).images_u8, pixels)
    assert dataset.decoded == before + 4


def test_a_store_with_another_time_is_checked_in_full_once_and_kept() -> None:
    dataset = Files([png(i) for i in range(3)])
    path = open_store(dataset).path
    os.utime(path, (1, 1))
    open_store(dataset)
    assert dataset.decoded == 3
    assert json.loads(path.with_suffix(".json").read_text())["mtime_ns"] == 10**9


def test_images_of_another_store_are_copied_not_decoded() -> None:
    images = [png(i) for i in range(10)]
    open_store(Files(images), range(6))
    dataset = Files([*images[3:], b"damaged"])
    store = open_store(dataset)
    assert dataset.decoded == 4 + 2  # 6 to 9; the damaged one, and once more when the store is opened
    assert store.rows.tolist() == list(range(7))
    np.testing.assert_array_equal(
        store.images_u8, [preprocess().to_store(dataset.image(row)) for row in range(7)]
    )
    other_size = Files(images)
    open_store(other_size, prep=preprocess(13))
    assert other_size.decoded == 10


def test_a_damaged_store_gives_no_pixels_to_others() -> None:
    images = [png(i, (400, 400)) for i in range(4)]
    overwrite(open_store(Files(images), prep=preprocess(400)).path)
    dataset = Files(images[::-1])
    store = open_store(dataset, prep=preprocess(400))
    assert dataset.decoded == 4
    np.testing.assert_array_equal(store.images_u8[0], preprocess(400).to_store(dataset.image(0)))


def test_a_full_disk_names_the_folder_and_the_way_out(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    def full(_: IO[bytes], __: tuple[int, ...]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_module, "_write_header", full)
    with pytest.raises(UserError, match=r"pixels: the disk is full.*PHOTOPIC_CACHE"):
        open_store(Files([png(0)]))
    assert list(cache.iterdir()) == []


def test_too_little_free_space_is_seen_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Files([png(0)])
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(DataError, match="the disk is full"):
        open_store(dataset)
    assert dataset.decoded == 0


def test_a_cache_that_is_a_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("PHOTOPIC_CACHE", str(tmp_path / "taken"))
    with pytest.raises(DataError, match=r"taken.*PHOTOPIC_CACHE"):
        open_store(Files([png(0)]))


def test_the_store_not_used_for_longest_makes_room(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    size = 3 * 12 * 12 * 3
    monkeypatch.setenv("PHOTOPIC_CACHE_LIMIT", str(3 * size))
    datasets = [Files([png(10 * k + i) for i in range(3)]) for k in range(3)]
    paths = [open_store(dataset).path for dataset in datasets[:2]]
    for age, path in zip((100, 200), paths, strict=True):  # the second is the older one
        os.utime(path.with_suffix(".json"), (10**9 - age, 10**9 - age))
    third = open_store(datasets[2]).path
    assert {path.name for path in cache.glob("*.npy")} == {paths[0].name, third.name}
    open_store(datasets[0])
    assert datasets[0].decoded == 3
    assert paths[0].with_suffix(".json").stat().st_mtime > 10**9  # opening is use


def test_files_that_other_processes_take_away_meanwhile_are_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "old.npy").write_bytes(bytes(60))
    os.utime(tmp_path / "old.npy", (10**9, 10**9))
    (tmp_path / "new.npy").write_bytes(bytes(60))
    (tmp_path / "new.json").write_text("{}")
    listed = {pattern: list(tmp_path.glob(pattern)) for pattern in ("*.npy", ".*.tmp")}
    listed["*.npy"].append(tmp_path / "gone.npy")
    listed[".*.tmp"].append(tmp_path / ".renamed.npy.tmp")
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: iter(listed.get(pattern, ())))
    monkeypatch.setenv("PHOTOPIC_CACHE_LIMIT", "100")
    room.make_room(tmp_path, 40, suffix=".npy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.json", "new.npy"]


def test_a_store_that_another_process_has_just_written_is_not_the_first_to_go(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "old.npy").write_bytes(bytes(60))
    (tmp_path / "old.json").write_text("{}")
    os.utime(tmp_path / "old.json", (10**9, 10**9))
    (tmp_path / "written.npy").write_bytes(bytes(60))  # its JSON file comes next
    monkeypatch.setenv("PHOTOPIC_CACHE_LIMIT", "100")
    room.make_room(tmp_path, 40, suffix=".npy")
    assert [path.name for path in tmp_path.iterdir()] == ["written.npy"]


def test_a_store_above_the_limit_is_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOPIC_CACHE_LIMIT", "1 KB")
    dataset = Files([png(i) for i in range(5)])
    with pytest.raises(DataError, match="PHOTOPIC_CACHE_LIMIT"):
        open_store(dataset)
    assert dataset.decoded == 0


@pytest.mark.parametrize("text", ["many", "-3", "12 parsecs"])
def test_a_limit_that_is_no_size_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PHOTOPIC_CACHE_LIMIT", text)
    with pytest.raises(ConfigError, match=text):
        open_store(Files([png(0)]))


def test_an_interrupted_build_leaves_nothing_and_the_next_one_works(cache: Path) -> None:
    dataset = Files([png(i) for i in range(40)])

    def stop(done: int, total: int, what: str) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_store(dataset, progress=stop)
    assert list(cache.iterdir()) == []
    assert len(open_store(dataset).rows) == 40


def test_progress_counts_every_image() -> None:
    seen: list[tuple[int, int]] = []
    open_store(Files([png(i) for i in range(20)]), progress=lambda done, total, _: seen.append((done, total)))
    assert seen == [(i + 1, 20) for i in range(20)]


def test_an_array_of_the_right_size_passes_through_without_a_file(cache: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 1), dtype=np.uint8)
    dataset: Any = SimpleNamespace(name="array", array=array)
    whole = open_pixel_store(dataset, np.arange(9), preprocess(8, channels=1))
    assert whole.images_u8 is array
    some = open_pixel_store(dataset, np.array([4, 2]), preprocess(8, channels=1))
    np.testing.assert_array_equal(some.images_u8, array[[4, 2]])
    assert some.rows.tolist() == [4, 2]
    assert not cache.exists()


def test_pixels_of_a_store_cannot_be_changed_on_disk() -> None:
    dataset = Files([png(i) for i in range(2)])
    store = open_store(dataset)
    before = store.path.read_bytes()
    store.images_u8[0] = 0
    assert store.path.read_bytes() == before


def test_a_real_folder_is_stored_and_a_damaged_file_is_listed(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(3):
            (tmp_path / "photos" / name / f"{i}.png").write_bytes(png(i + len(name), (40, 50)))
    dataset = open_dataset(tmp_path / "photos")
    (tmp_path / "photos" / "dog" / "1.png").write_bytes(b"damaged since it was indexed")
    store = open_pixel_store(dataset, dataset.usable, preprocess())
    assert store.rows.tolist() == [0, 1, 2, 3, 5]
    assert [excluded.path for excluded in store.failed] == ["dog/1.png"]
    np.testing.assert_array_equal(store.images_u8[4], preprocess().to_store(dataset.image(5)))


def test_asking_for_no_images_is_an_error() -> None:
    with pytest.raises(DataError, match="no images"):
        open_store(Files([png(0)]), [])
