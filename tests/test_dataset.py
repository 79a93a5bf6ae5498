"""DataSet: usable rows, exclusions, fingerprints, and pixels from any form of data."""

from __future__ import annotations

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photopic.data.dataset import open_dataset
from photopic.errors import DataError


def png(seed: int, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def make(root: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


FILES = {f"{name}/{number}.png": png(10 * at + number) for at, name in enumerate("ab") for number in range(4)}


def test_usable_and_excluded_share_out_the_rows(tmp_path: Path) -> None:
    dataset = open_dataset(
        make(tmp_path, FILES | {"a/bad.png": b"", "a/notes.txt": b"x", "loose.png": png(99)})
    )
    assert [dataset.index.paths[row] for row in dataset.usable] == sorted(FILES)
    assert dataset.usable.dtype == np.int64
    assert [(row.path, row.reason) for row in dataset.excluded] == [
        ("a/bad.png", "the file is empty"),
        ("loose.png", "not in a class folder"),
    ]
    assert [row.path for row in dataset.ignored] == ["a/notes.txt"]
    assert len(dataset.index) == 11
    assert dataset.counts() == {"a": 4, "b": 4}


def test_images_come_by_row_whatever_the_order_of_asking(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, FILES))
    for row in (5, 0, 7, 5):
        expected = np.asarray(Image.open(io.BytesIO(FILES[dataset.index.paths[row]])))
        np.testing.assert_array_equal(dataset.image(row), expected)


def test_many_threads_read_a_zip_at_once(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path, data in FILES.items():
            archive.writestr(path, data)
    dataset = open_dataset(tmp_path / "a.zip")
    rows = list(range(8)) * 20
    with ThreadPoolExecutor(8) as pool:
        for row, pixels in zip(rows, pool.map(dataset.image, rows), strict=True):
            expected = np.asarray(Image.open(io.BytesIO(FILES[dataset.index.paths[row]])))
            np.testing.assert_array_equal(pixels, expected)


def test_background_and_min_side_reach_the_decoder(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (400, 300)).save(buffer, "JPEG")
    clear = io.BytesIO()
    Image.new("RGBA", (5, 5), (0, 0, 0, 0)).save(clear, "PNG")
    dataset = open_dataset(make(tmp_path, {"a/1.jpg": buffer.getvalue(), "b/1.png": clear.getvalue()}))
    assert dataset.image(0).shape == (300, 400, 3)
    assert dataset.image(0, min_side=50).shape == (150, 200, 3)
    np.testing.assert_array_equal(dataset.image(1)[0, 0], (255, 255, 255))
    np.testing.assert_array_equal(dataset.image(1, background=(1, 2, 3))[0, 0], (1, 2, 3))


def test_grey_is_known_from_the_headers(tmp_path: Path) -> None:
    grey = {path: png(seed, "L") for seed, path in enumerate(FILES)}
    assert open_dataset(make(tmp_path / "grey", grey)).is_grey
    assert not open_dataset(make(tmp_path / "mixed", grey | {"a/c.png": png(1)})).is_grey


def fingerprint(tmp_path: Path, name: str, files: dict[str, bytes]) -> str:
    return open_dataset(make(tmp_path / name, files)).fingerprint


def test_the_fingerprint_minds_contents_and_classes_and_not_names_or_forms(tmp_path: Path) -> None:
    first = fingerprint(tmp_path, "first", FILES)
    assert len(first) == 64
    renamed = {f"{path[0]}/{9 - int(path[2])}.png": data for path, data in FILES.items()}
    assert fingerprint(tmp_path, "renamed", renamed) == first
    with zipfile.ZipFile(tmp_path / "first.zip", "w") as archive:
        for path, data in FILES.items():
            archive.writestr(path, data)
    assert open_dataset(tmp_path / "first.zip").fingerprint == first
    assert fingerprint(tmp_path, "notes", FILES | {"README.md": b"hello"}) == first
    changed = {
        "content": FILES | {"a/1.png": png(1000)},
        "fewer": {path: data for path, data in FILES.items() if path != "a/1.png"},
        "class": {("c" + path[1:] if path[0] == "b" else path): data for path, data in FILES.items()},
        "moved": {("b/x.png" if path == "a/1.png" else path): data for path, data in FILES.items()},
        "swapped": FILES | {"a/1.png": FILES["b/1.png"], "b/1.png": FILES["a/1.png"]},
        "split": {f"{'test' if path[2] == '0' else 'train'}/{path}": data for path, data in FILES.items()},
    }
    fingerprints = {name: fingerprint(tmp_path, name, files) for name, files in changed.items()}
    assert len({first, *fingerprints.values()}) == 1 + len(changed)


def test_groups_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    data = make(tmp_path, FILES)
    assert open_dataset(data).fingerprint != open_dataset(data, group_pattern=r"(\d)").fingerprint


def test_fingerprints_of_arrays_do_not_mind_the_order() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 4, 4), np.uint8)
    labels = np.arange(50) % 5
    order = np.random.default_rng(1).permutation(50)
    first = open_dataset((images, labels)).fingerprint
    assert open_dataset((images[order], labels[order])).fingerprint == first
    assert open_dataset((images, labels[order])).fingerprint != first


def test_digests_as_text(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, FILES))
    digests = dataset.index.hex_digests()
    assert [bytes.fromhex(digest) for digest in digests] == [row.tobytes() for row in dataset.index.sha256s]
    assert dataset.index.hex_digests(np.array([3, 1])) == [digests[3], digests[1]]


def test_progress_is_reported(tmp_path: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    open_dataset(make(tmp_path, FILES), progress=lambda done, total, what: steps.append((done, total, what)))
    assert steps[-1] == (8, 8, "indexing")


def test_the_second_opening_reads_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make(tmp_path, FILES)
    first = open_dataset(data)

    def fail(self: object, path: str) -> bytes:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr("photopic.data.source.FolderSource.read", lambda self, path: fail(self, path))
    with pytest.raises(AssertionError):
        first.image(0)
    monkeypatch.setattr("photopic.data.formats._name_classes", lambda *_: None)
    second = open_dataset(data)
    for name, values in vars(first.index).items():
        np.testing.assert_array_equal(values, getattr(second.index, name))


def test_a_path_that_is_also_a_catalog_name_is_the_catalogs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "digits", FILES)
    monkeypatch.chdir(tmp_path)
    assert len(open_dataset("digits").usable) == 1797
    assert len(open_dataset("./digits").usable) == 8
    assert len(open_dataset(Path("digits")).usable) == 8
    assert open_dataset(Path("digits")).name == "digits"


def test_strict_names_the_first_files_and_counts_the_rest(tmp_path: Path) -> None:
    data = make(tmp_path, FILES | {f"a/bad{number}.jpg": b"" for number in range(7)})
    with pytest.raises(
        DataError, match=r"7 files cannot be used \(a/bad0.jpg: the file is empty; .*; and 2 more\)"
    ):
        open_dataset(data, strict=True)


def test_other_things_than_data_are_errors() -> None:
    with pytest.raises(DataError, match=r"a pair \(images, labels\), got 3"):
        open_dataset((1, 2, 3))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["cat", "Cat", "dog"], "differ only in upper and lower case"),
        (["cat", "cat ", "dog"], "or in spaces"),
        (["cat", "", "dog"], "empty name"),
        ([b"cat", b"\xff", b"dog"], "bytes that are no UTF-8"),
        ([["cat"], ["cat", "dog"], []], "one integer or text for each image"),
    ],
)
def test_labels_of_arrays_that_cannot_be_told_apart_or_read_are_errors(
    labels: list[object], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        open_dataset((np.zeros((3, 8, 8), np.uint8), labels))  # type: ignore[arg-type]


def test_images_of_different_sizes_are_no_array() -> None:
    images = [np.zeros((8, 8), np.uint8), np.zeros((9, 8), np.uint8)]
    with pytest.raises(DataError, match="images of different sizes make no array"):
        open_dataset((images, [0, 1]))


def test_a_damaged_npz_is_an_error_that_names_it(tmp_path: Path) -> None:
    whole = tmp_path / "whole.npz"
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
    np.savez_compressed(whole, images=images, labels=np.arange(20) % 2)
    data = whole.read_bytes()
    middle = data.index(b"images.npy") + 200
    (tmp_path / "damaged.npz").write_bytes(data[:middle] + bytes(60) + data[middle + 60 :])
    with pytest.raises(DataError, match=r"damaged\.npz: cannot be read as arrays"):
        open_dataset(tmp_path / "damaged.npz")
    np.save(tmp_path / "one.npy", images)
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(DataError, match=r"one\.npz: holds one array only"):
        open_dataset(tmp_path / "one.npz")
