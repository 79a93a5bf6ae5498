"""Every form of a data set on disk gives the same rows: path, class, split, group."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from photopic.data.dataset import DataSet, open_dataset
from photopic.data.formats import natural_order
from photopic.errors import ConfigError, DataError

Rows = dict[str, tuple[str, str, str]]


def picture(number: int) -> bytes:
    """A small PNG unlike those of other numbers."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (5, 6, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def make_folder(root: Path, paths: Iterable[str]) -> Path:
    for number, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(picture(number))
    return root


def make_zip(file: Path, paths: Iterable[str], method: int = zipfile.ZIP_STORED) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w", method) as archive:
        for number, path in enumerate(paths):
            archive.writestr(path, picture(number))
    return file


def rows(dataset: DataSet) -> Rows:
    """path → (class, split, group) of the usable rows."""
    index = dataset.index
    return {
        index.paths[row]: (dataset.class_names[index.labels[row]], str(index.splits[row]), index.groups[row])
        for row in dataset.usable
    }


FLAT = [f"{name}/{n}.png" for name in ("cat", "dog") for n in range(3)]


@pytest.mark.parametrize("form", ["folder", "zip", "deflated", "wrapped zip"])
def test_class_folders(tmp_path: Path, form: str) -> None:
    if form == "folder":
        data = make_folder(tmp_path / "pets", FLAT)
    else:
        prefix = "pets/" if form == "wrapped zip" else ""
        method = zipfile.ZIP_DEFLATED if form == "deflated" else zipfile.ZIP_STORED
        data = make_zip(tmp_path / "pets.zip", [prefix + path for path in FLAT], method)
    dataset = open_dataset(data)
    assert dataset.class_names == ("cat", "dog")
    assert {path.removeprefix("pets/"): row for path, row in rows(dataset).items()} == {
        path: (path[:3], "", "") for path in FLAT
    }
    assert dataset.name == data.name
    expected = np.asarray(Image.open(io.BytesIO(picture(4))))
    np.testing.assert_array_equal(dataset.image(4), expected)


@pytest.mark.parametrize("form", ["folder", "wrapped folder", "zip", "wrapped zip"])
@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("train", "val", "test"), ("Training", "valid", "TEST"), ("train", "validation", "test")],
)
def test_split_folders(tmp_path: Path, form: str, train: str, val: str, test: str) -> None:
    tops = {train: "train", val: "val", test: "test"}
    paths = [f"{top}/{name}/{n}.png" for top in tops for name in ("cat", "dog") for n in range(2)]
    prefix = "pets/" if form.startswith("wrapped") else ""
    make = make_zip if form.endswith("zip") else make_folder
    data = make(tmp_path / "data.zip", [prefix + path for path in paths])
    dataset = open_dataset(data)
    assert dataset.class_names == ("cat", "dog")
    expected = {prefix + path: (path.split("/")[1], tops[path.split("/")[0]], "") for path in paths}
    assert rows(dataset) == expected


def test_nested_class_folders_are_named_by_their_path(tmp_path: Path) -> None:
    paths = ["animals/cat/1.png", "animals/dog/1.png", "animals/dog/young/1.png", "plants/1.png"]
    names = ("animals/cat", "animals/dog", "animals/dog/young", "plants")
    for data in (make_folder(tmp_path / "a", paths), make_zip(tmp_path / "a.zip", paths)):
        dataset = open_dataset(data)
        assert dataset.class_names == names
        assert [row[0] for row in rows(dataset).values()] == list(names)
    split = make_folder(tmp_path / "b", [f"{top}/{path}" for top in ("train", "test") for path in paths])
    assert open_dataset(split).class_names == names


def test_a_folder_around_nested_classes_stays_in_their_names_outside_a_zip(tmp_path: Path) -> None:
    paths = ["animals/cat/1.png", "animals/dog/1.png"]
    assert open_dataset(make_folder(tmp_path / "a", paths)).class_names == ("animals/cat", "animals/dog")
    assert open_dataset(make_zip(tmp_path / "a.zip", paths)).class_names == ("cat", "dog")


def test_classes_may_be_called_train_or_test(tmp_path: Path) -> None:
    vehicles = make_folder(
        tmp_path / "a", [f"{name}/{n}.png" for name in ("car", "plane", "train") for n in range(2)]
    )
    assert open_dataset(vehicles).class_names == ("car", "plane", "train")
    plain = make_folder(tmp_path / "b", ["train/1.png", "test/1.png"])
    assert open_dataset(plain).class_names == ("test", "train")
    nested = make_folder(tmp_path / "c", ["car/red/1.png", "train/steam/1.png"])
    assert open_dataset(nested).class_names == ("car/red", "train/steam")


def test_images_beside_the_split_folders_or_above_the_classes_are_listed(tmp_path: Path) -> None:
    data = make_folder(
        tmp_path / "a", ["train/cat/1.png", "test/cat/1.png", "new/cat/1.png", "train/loose.png"]
    )
    dataset = open_dataset(data)
    assert len(dataset.usable) == 2
    assert [(row.path, row.reason) for row in dataset.excluded] == [
        ("new/cat/1.png", "beside the split folders, not in one"),
        ("train/loose.png", "not in a class folder"),
    ]


def test_numeric_class_folders_get_the_names_of_class_names_csv(tmp_path: Path) -> None:
    paths = [f"{top}/{number:05d}/1.png" for top in ("train", "test") for number in (0, 1, 10)]
    for wrapped in ("", "signs/"):
        data = make_folder(tmp_path / ("w" if wrapped else "p"), [wrapped + path for path in paths])
        (data / wrapped / "class_names.csv").write_text("id,name\n00000,stop\n00001,go\n00010,all\n")
        dataset = open_dataset(data)
        assert dataset.class_names == ("stop", "go", "all")  # in the order of the ids
        assert not dataset.excluded
        assert [row.path for row in dataset.ignored] == [wrapped + "class_names.csv"]
    (data / "signs" / "class_names.csv").write_text("id,name\n0,stop\n1,go\n")
    assert open_dataset(data).class_names == ("00000", "00001", "00010")  # incomplete: not used
    named = make_folder(tmp_path / "named", ["stop/1.png", "7/1.png"])
    (named / "class_names.csv").write_text("id,name\n7,go\n")
    assert open_dataset(named).class_names == ("7", "stop")
    for content, names in (
        (b"id,name\r0,stop\r1,go\r10,all\r", ("stop", "go", "all")),  # line ends of an old Mac
        (b'0,"' + b"x" * 200_000 + b'"\n', ("00000", "00001", "00010")),  # more than a field may hold
        (b"9" * 5000 + b",x\n", ("00000", "00001", "00010")),  # no number that Python takes
    ):
        (data / "signs" / "class_names.csv").write_bytes(content)
        assert open_dataset(data).class_names == names


def test_classes_come_in_natural_order(tmp_path: Path) -> None:
    names = ["10", "9", "b", "A2", "a10", "C"]
    data = make_folder(tmp_path, [f"{name}/1.png" for name in names])
    assert open_dataset(data).class_names == ("9", "10", "A2", "a10", "b", "C")
    assert sorted(["x²", "x2", "x10", "٣"], key=natural_order)  # digits of other scripts do not break it


@pytest.mark.parametrize("form", ["csv", "semicolon", "bom", "jsonl"])
def test_a_manifest_gives_path_label_split_and_group(tmp_path: Path, form: str) -> None:
    make_folder(tmp_path, ["photos/a.png", "photos/b.png", "photos/ü, c.png", "d.png"])
    table = [
        {"path": "photos/a.png", "label": "cat", "split": "train", "group": "p1"},
        {"path": "./photos//b.png", "label": "dog", "split": "Validation", "group": "p1"},
        {"path": "photos/ü, c.png", "label": " dog ", "split": "", "group": ""},
        {"path": str(tmp_path / "d.png"), "label": "cat", "split": "test", "group": "p2"},
    ]
    manifest = tmp_path / ("m.jsonl" if form == "jsonl" else "m.csv")
    if form == "jsonl":
        manifest.write_text("\n".join(json.dumps(row) for row in table) + "\n\n", encoding="utf-8")
    else:
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, list(table[0]), delimiter=";" if form == "semicolon" else ",")
        writer.writeheader()
        writer.writerows(table)
        manifest.write_text(buffer.getvalue(), encoding="utf-8-sig" if form == "bom" else "utf-8")
    dataset = open_dataset(manifest)
    assert dataset.class_names == ("cat", "dog")
    assert rows(dataset) == {
        "photos/a.png": ("cat", "train", "p1"),
        "photos/b.png": ("dog", "val", "p1"),
        "photos/ü, c.png": ("dog", "", ""),
        str(tmp_path / "d.png"): ("cat", "test", "p2"),
    }
    np.testing.assert_array_equal(
        dataset.image(int(np.flatnonzero(dataset.index.paths == "photos/b.png")[0])),
        np.asarray(Image.open(tmp_path / "photos/b.png")),
    )


def test_a_manifest_in_json_lines_may_hold_numbers(tmp_path: Path) -> None:
    make_folder(tmp_path, ["a.png", "b.png"])
    (tmp_path / "m.jsonl").write_text(
        '{"path":"a.png","label":10,"group":null}\n{"path":"b.png","label":9}\n'
    )
    assert open_dataset(tmp_path / "m.jsonl").class_names == ("9", "10")


@pytest.mark.parametrize("pattern", [r"(\d+)_\d+\.png$", r"(x)?/(?P<group>\d+)_"])
def test_groups_come_from_a_pattern_on_the_path(tmp_path: Path, pattern: str) -> None:
    data = make_folder(tmp_path, ["cat/01_1.png", "cat/01_2.png", "dog/02_1.png", "dog/single.png"])
    dataset = open_dataset(data, group_pattern=pattern)
    assert [row[2] for row in rows(dataset).values()] == ["01", "01", "02", ""]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "is not a regular expression"),
        (r"\d+", "has no bracket around the group"),
        (r"(zebra)", 'matches none of the paths, as "cat/1.png"'),
    ],
)
def test_group_patterns_that_cannot_work_are_errors_before_images_are_read(
    tmp_path: Path, pattern: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_folder(tmp_path, ["cat/1.png", "dog/1.png"])
    monkeypatch.setattr("photopic.data.dataset.scan", lambda *arguments, **options: pytest.fail("read"))
    with pytest.raises(ConfigError, match=re.escape(message)):
        open_dataset(data, group_pattern=pattern)
    with pytest.raises(DataError, match="arrays have none"):
        open_dataset((np.zeros((2, 4, 4), np.uint8), [0, 1]), group_pattern=pattern)


def test_arrays_of_every_kind_become_uint8_nhwc() -> None:
    digits = load_digits()
    grey = (digits.images * 15.9375).astype(np.uint8)
    dataset = open_dataset((grey, digits.target))
    assert dataset.array is not None
    assert dataset.array.shape == (1797, 8, 8, 1)
    assert dataset.class_names == tuple("0123456789")
    np.testing.assert_array_equal(dataset.index.labels, digits.target)
    np.testing.assert_array_equal(dataset.image(7), grey[7, :, :, None])
    random = np.random.default_rng(0)
    for images, expected in (
        (random.integers(0, 256, (4, 5, 6, 3)), None),
        (random.integers(0, 256, (4, 5, 6, 3), np.uint8)[:, ::-1], None),
        (np.linspace(0, 1, 120).reshape(4, 5, 6), np.rint(np.linspace(0, 255, 120)).reshape(4, 5, 6)),
        (np.linspace(0, 65535, 120).reshape(4, 5, 6).astype(np.uint16), None),
        (random.integers(0, 2, (4, 5, 6)).astype(bool), None),
    ):
        array = open_dataset((images, [0, 1, 0, 1])).array
        assert array is not None
        assert array.dtype == np.uint8
        assert array.flags.c_contiguous
        if images.dtype == bool:
            expected = images * 255
        elif images.dtype == np.uint16:
            expected = np.rint(images / 257)
        elif expected is None:
            expected = images
        np.testing.assert_array_equal(array.reshape(images.shape), expected)


def test_labels_of_every_kind_name_the_classes() -> None:
    images = np.zeros((3, 4, 4), np.uint8)
    for labels, names, numbers in (
        (["b", "a10", "a9"], ("a9", "a10", "b"), [2, 1, 0]),
        (np.array(["b", "a", "b"], object), ("a", "b"), [1, 0, 1]),
        ([10, 9, 10], ("9", "10"), [1, 0, 1]),
        (np.array([[3], [5], [3]]), ("3", "5"), [0, 1, 0]),
        ([1.0, 0.0, 1.0], ("0", "1"), [1, 0, 1]),
        ([True, False, True], ("False", "True"), [1, 0, 1]),
    ):
        dataset = open_dataset((images, labels))
        assert dataset.class_names == names
        assert dataset.index.labels.tolist() == numbers


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 9)), [0, 1], "shape (2, 9), expected n×h×w"),
        (np.zeros((2, 3, 8, 8), np.uint8), [0, 1], "images.transpose(0, 2, 3, 1)"),
        (np.zeros((2, 8, 8, 4), np.uint8), [0, 1], "4 channels, expected 1 (grey) or 3 (RGB)"),
        (np.zeros((2, 0, 8), np.uint8), [0, 1], "expected n×h×w"),
        (np.full((2, 8, 8), 254.0), [0, 1], "floats from 254 to 254, expected 0..1"),
        (np.full((2, 8, 8), np.nan), [0, 1], "expected 0..1"),
        (np.full((2, 8, 8), -1), [0, 1], "integers from -1 to -1"),
        (np.full((2, 8, 8), "a"), [0, 1], "expected uint8"),
        (np.zeros((2, 8, 8), np.uint8), [0, 1, 2], "expected one label for each of 2 images"),
        (np.zeros((2, 8, 8), np.uint8), [[0, 1], [1, 0]], "expected one label for each"),
        (np.zeros((2, 8, 8), np.uint8), [0.5, 1], "floats that are no whole numbers"),
        (np.zeros((2, 8, 8), np.uint8), [np.nan, 1], "floats that are no whole numbers"),
        (np.zeros((2, 8, 8), np.uint8), ["a", None], "no empty values"),
        (np.zeros((0, 8, 8), np.uint8), [], "no images"),
    ],
)
def test_arrays_that_cannot_be_images_or_labels_are_errors(
    images: object, labels: object, message: str
) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        open_dataset((images, labels))  # type: ignore[arg-type]


def test_npz_files(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (6, 4, 4), np.uint8), np.array([0, 1, 2, 0, 1, 2])
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    dataset = open_dataset(tmp_path / "a.npz")
    np.testing.assert_array_equal(dataset.array, images[..., None])
    np.savez(
        tmp_path / "keras.npz", x_train=images[:4], y_train=labels[:4], x_test=images[4:], y_test=labels[4:]
    )
    dataset = open_dataset(tmp_path / "keras.npz")
    assert dataset.index.splits.tolist() == ["train"] * 4 + ["test"] * 2
    np.testing.assert_array_equal(dataset.array, images[..., None])


def test_npz_files_that_hold_objects_or_other_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.array([{}, {}]), labels=np.array([0, 1]))
    with pytest.raises(DataError, match=r"a\.npz: cannot be read as arrays"):
        open_dataset(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", pictures=np.zeros(3))
    with pytest.raises(DataError, match=r"expected the arrays images and labels .*found pictures"):
        open_dataset(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes(b"no zip")
    for name in ("c.npz", "missing.npz"):
        with pytest.raises(DataError, match=name):
            open_dataset(tmp_path / name)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"x_test": np.zeros((2, 9, 9), np.uint8)}, "x_test of shape (2, 9, 9)"),
        ({"y_train": np.arange(2), "y_test": np.arange(4)}, "x_train of shape (4, 8, 8)"),
        ({"x_train": np.uint8(3)}, "x_train of shape ()"),
        (
            {"images": np.zeros((3, 8, 8), np.uint8), "labels": np.arange(2), "y_test": None},
            "labels: shape (2,)",
        ),
    ],
)
def test_npz_arrays_that_do_not_fit_each_other_name_the_file(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    arrays: dict[str, Any] = {
        "x_train": np.zeros((4, 8, 8), np.uint8),
        "y_train": np.array([0, 1, 0, 1]),
        "x_test": np.zeros((2, 8, 8), np.uint8),
        "y_test": np.array([0, 1]),
    } | changed
    np.savez(tmp_path / "a.npz", **{key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path / "a.npz")
    assert str(caught.value).startswith(f"{tmp_path / 'a.npz'}: ")
    assert words in str(caught.value)
