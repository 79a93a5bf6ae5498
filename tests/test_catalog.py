"""Data sets by name: where they are looked for, and each published format read byte for byte."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from photopic.data import catalog, downloads
from photopic.data.dataset import open_dataset
from photopic.data.gtsrb import CLASS_NAMES
from photopic.data.published import read_idx
from photopic.data.signs import draw_signs
from photopic.errors import DataError, OfflineError

Bytes = NDArray[np.uint8]


def idx(array: Bytes) -> bytes:
    """The array in LeCun's IDX format."""
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


def write_mnist(folder: Path, *, zipped: bool, dot: bool = False) -> tuple[Bytes, Bytes]:
    """A small MNIST of random pixels; returns all images and labels, training first."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    parts = []
    for stem, n in (("train", 30), ("t10k", 20)):
        images = random.integers(0, 256, (n, 28, 28), np.uint8)
        labels = (np.arange(n) % 10).astype(np.uint8)
        for name, data in (("images-idx3", idx(images)), ("labels-idx1", idx(labels))):
            file = f"{stem}-{name.replace('-', '.' if dot else '-')}-ubyte"
            (folder / (file + (".gz" if zipped else ""))).write_bytes(gzip.compress(data) if zipped else data)
        parts.append((images, labels))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


@pytest.fixture(autouse=True)
def _no_real_data(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "data_dir" not in request.fixturenames:
        monkeypatch.delenv("PHOTOPIC_DATA", raising=False)


def test_digits_are_those_of_scikit_learn_in_0_to_255() -> None:
    dataset = open_dataset("digits")
    digits = load_digits()
    assert dataset.array is not None
    assert dataset.array.shape == (1797, 8, 8, 1)
    assert (dataset.array.min(), dataset.array.max()) == (0, 255)
    np.testing.assert_array_equal(np.rint(dataset.array[..., 0] / 255 * 16), digits.images)
    np.testing.assert_array_equal(dataset.index.labels, digits.target)
    assert dataset.is_grey


def test_signs_are_drawn_the_same_each_time_and_differ_with_the_seed() -> None:
    first, again, other = draw_signs(4), draw_signs(4), draw_signs(4, seed=1)
    np.testing.assert_array_equal(first.images, again.images)
    assert (first.images != other.images).any()
    assert first.images.shape == (24, 64, 64, 3)
    assert np.bincount(first.labels).tolist() == [4] * 6
    assert len({image.tobytes() for image in first.images}) == 24


def test_signs_can_be_told_apart_by_their_colours() -> None:
    """Mean colour of the middle: red of no entry, blue of straight ahead, yellow of priority road."""
    data = draw_signs(20)
    middle = data.images[:, 24:40, 24:40].astype(float).mean(axis=(1, 2))
    red, green, blue = (
        middle[data.labels == data.class_names.index(name)].mean(axis=0)
        for name in ("no entry", "priority road", "straight ahead")
    )
    assert red[0] > max(red[1], red[2])
    assert green[1] > green[2]
    assert blue[2] > blue[0]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["mnist", "MNIST/raw"])
def test_idx_files_are_read_byte_for_byte(tmp_path: Path, zipped: bool, place: str) -> None:
    images, labels = write_mnist(tmp_path / place, zipped=zipped, dot=not zipped)
    for dataset in (open_dataset("mnist", data_dir=tmp_path), open_dataset(tmp_path / place)):
        np.testing.assert_array_equal(dataset.array, images[..., None])
        np.testing.assert_array_equal(dataset.index.labels, labels)
        assert dataset.class_names == tuple("0123456789")
        assert dataset.index.splits.tolist() == ["train"] * 30 + ["test"] * 20
        assert dataset.catalog_name == "mnist"


def test_fashion_mnist_has_names_of_clothes(tmp_path: Path) -> None:
    write_mnist(tmp_path / "fashion-mnist", zipped=True)
    names = open_dataset("fashion-mnist", data_dir=tmp_path).class_names
    assert (names[0], names[9]) == ("t-shirt/top", "ankle boot")


def test_data_is_looked_for_in_the_folder_given_then_in_photopic_data_then_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOPIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PHOTOPIC_DATA", str(tmp_path / "shared"))
    (tmp_path / "given").mkdir()
    with pytest.raises(OfflineError, match='"mnist" is not on this machine') as caught:
        open_dataset("mnist", data_dir=tmp_path / "given")
    for word in ("given", "shared", "cache", "--data-dir", "--allow-download", "PHOTOPIC_DATA"):
        assert word in str(caught.value)
    found = []
    for place in ("cache/data", "shared", "given"):
        images, _ = write_mnist(tmp_path / place / "mnist", zipped=False)
        file = tmp_path / place / "mnist" / "train-images-idx3-ubyte"
        images[0] = len(found)
        file.write_bytes(idx(images[:30]))
        dataset = open_dataset("mnist", data_dir=tmp_path / "given")
        assert dataset.array is not None
        found.append(int(dataset.array[0, 0, 0, 0]))
    assert found == [0, 1, 2]


@pytest.mark.parametrize("damage", ["cut", "gzip", "magic", "missing", "labels"])
def test_damaged_idx_files_are_named(tmp_path: Path, damage: str) -> None:
    write_mnist(tmp_path / "mnist", zipped=damage == "gzip")
    file = tmp_path / "mnist" / ("train-images-idx3-ubyte" + (".gz" if damage == "gzip" else ""))
    data = file.read_bytes()
    if damage in ("cut", "gzip"):
        file.write_bytes(data[:-100])
    elif damage == "magic":
        file.write_bytes(b"what" + data[4:])
    elif damage == "missing":
        (tmp_path / "mnist" / "t10k-labels-idx1-ubyte").unlink()
    else:
        (tmp_path / "mnist" / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(7, np.uint8)))
    with pytest.raises(DataError, match="t10k-labels" if damage == "missing" else "train-images"):
        open_dataset("mnist", data_dir=tmp_path)


def test_an_idx_file_of_any_shape_is_read(tmp_path: Path) -> None:
    for shape in ((5,), (2, 3), (2, 3, 4), (0, 3)):
        array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        (tmp_path / "a").write_bytes(idx(array))
        np.testing.assert_array_equal(read_idx(tmp_path / "a"), array)


def cifar_batches(classes: int) -> dict[str, bytes]:
    """CIFAR's binary files with one image of each of 10 classes in each batch."""
    files = {}
    names = [f"data_batch_{k}.bin" for k in range(1, 6)] + ["test_batch.bin"]
    for number, name in enumerate(names if classes == 10 else ["train.bin", "test.bin"]):
        rows = []
        for label in range(10):
            image = np.random.default_rng([number, label]).integers(0, 256, (32, 32, 3), np.uint8)
            rows.append(bytes([label] if classes == 10 else [3, label]) + image.transpose(2, 0, 1).tobytes())
        files[name] = b"".join(rows)
    texts = "batches.meta.txt" if classes == 10 else "fine_label_names.txt"
    files[texts] = "\n".join(f"class{label:02}" for label in range(classes)).encode() + b"\n\n"
    return files


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("form", ["folder", "tar"])
def test_cifars_binary_version_is_read(tmp_path: Path, classes: int, form: str) -> None:
    inner = "cifar-10-batches-bin" if classes == 10 else "cifar-100-binary"
    files = cifar_batches(classes)
    if form == "folder":
        (tmp_path / inner).mkdir()
        for name, data in files.items():
            (tmp_path / inner / name).write_bytes(data)
    else:
        with tarfile.open(tmp_path / f"cifar-{classes}-binary.tar.gz", "w:gz") as archive:
            for name, data in files.items():
                member = tarfile.TarInfo(f"{inner}/{name}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    dataset = open_dataset(f"cifar{classes}", data_dir=tmp_path)
    batches = len(files) - 1
    assert dataset.class_names == tuple(f"class{label:02}" for label in range(classes))
    assert dataset.index.labels.tolist() == list(range(10)) * batches
    assert dataset.index.splits.tolist() == ["train"] * 10 * (batches - 1) + ["test"] * 10
    expected = np.random.default_rng([batches - 1, 4]).integers(0, 256, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(dataset.image(10 * (batches - 1) + 4), expected)
    assert not dataset.is_grey


def test_cifars_pickles_are_refused_and_the_way_out_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "cifar10" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    (folder / "data_batch_1").write_bytes(b"\x80\x02}q\x01.")
    with pytest.raises(DataError, match="made of pickles, which photopic does not load"):
        open_dataset("cifar10", data_dir=tmp_path)
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(folder, "cifar-10-batches-py")
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz"):
        open_dataset(tmp_path / "cifar-10-python.tar.gz")


@pytest.mark.parametrize("damage", ["cut", "missing", "label", "tar"])
def test_damaged_cifar_batches_are_named(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "cifar10"
    folder.mkdir()
    files = cifar_batches(10)
    if damage == "cut":
        files["data_batch_3.bin"] = files["data_batch_3.bin"][:-1]
    elif damage == "missing":
        del files["data_batch_3.bin"]
    elif damage == "label":
        files["data_batch_3.bin"] = b"\xff" + files["data_batch_3.bin"][1:]
    else:
        files.clear()
        folder.rmdir()
        (tmp_path / "cifar-10-binary.tar.gz").write_bytes(gzip.compress(b"x" * 5000)[:40])
    for name, data in files.items():
        (folder / name).write_bytes(data)
    expected = {"label": "label 255", "tar": r"cannot be read as a \.tar\.gz"}.get(
        damage, r"data_batch_3\.bin"
    )
    with pytest.raises(DataError, match=expected):
        open_dataset("cifar10", data_dir=tmp_path)


def png(seed: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("by", ["name", "path"])
def test_gtsrb_as_class_folders_has_tracks_names_and_nothing_from_elsewhere(tmp_path: Path, by: str) -> None:
    with zipfile.ZipFile(tmp_path / "gtsrb32.zip", "w") as archive:
        archive.writestr("class_names.csv", "id,name\n00000,stop\n00001,go\n")
        for number in range(2):
            for track in range(3):
                archive.writestr(f"train/{number:05}/{track:05}_00000.png", png(number * 10 + track))
            archive.writestr(f"test/{number:05}/0000{number}.png", png(100 + number))
        archive.writestr("new/00000/sign.png", png(200))
    data = tmp_path / "gtsrb32.zip" if by == "path" else "gtsrb"
    dataset = open_dataset(data, data_dir=tmp_path)
    assert dataset.class_names == ("stop", "go")
    assert not dataset.excluded
    assert set(dataset.index.splits[dataset.usable]) == {"train", "test"}
    groups = dict(zip(dataset.index.paths, dataset.index.groups, strict=True))
    assert groups["train/00001/00002_00000.png"] == "00001/00002"
    assert groups["test/00001/00001.png"] == ""


@pytest.mark.parametrize("layout", ["torchvision", "publisher"])
def test_gtsrb_as_published_is_read(tmp_path: Path, layout: str) -> None:
    root = tmp_path / "gtsrb"
    train = root / "GTSRB" / ("Training" if layout == "torchvision" else "Final_Training/Images")
    test = root / "GTSRB/Final_Test/Images"
    for number in (0, 14):
        (train / f"{number:05}").mkdir(parents=True)
        for track in range(2):
            (train / f"{number:05}" / f"{track:05}_00007.ppm").write_bytes(png(number + track, "PPM"))
        (train / f"{number:05}" / f"GT-{number:05}.csv").write_text("Filename;Width\n")
    test.mkdir(parents=True)
    for number in range(2):
        (test / f"{number:05}.ppm").write_bytes(png(50 + number, "PPM"))
    (test / "GT-final_test.test.csv").write_text("Filename;Width\n")
    with pytest.raises(DataError, match=r"GT-final_test\.csv"):
        open_dataset("gtsrb", data_dir=tmp_path)
    table = "Filename;Width;Height;ClassId\n00000.ppm;8;8;14\n00001.ppm;8;8;0\n"
    (root / "GT-final_test.csv").write_text(table)
    dataset = open_dataset("gtsrb", data_dir=tmp_path)
    index = dataset.index
    rows = {
        path.rpartition("/")[2]: (
            dataset.class_names[index.labels[row]],
            str(index.splits[row]),
            index.groups[row],
        )
        for row, path in enumerate(index.paths)
        if index.states[row] == "ok"
    }
    assert dataset.class_names == ("speed limit 20", "stop")
    assert rows["00000.ppm"] == ("stop", "test", "")
    assert rows["00001_00007.ppm"] == ("stop", "train", "00014/00001")
    assert len(dataset.usable) == 6
    assert not dataset.excluded
    assert (len(CLASS_NAMES), CLASS_NAMES[42]) == (43, "end of no passing for trucks")


def test_a_download_happens_only_when_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(folder: Path) -> None:
        asked.append(folder)
        write_mnist(folder / "MNIST" / "raw", zipped=True)

    monkeypatch.setitem(downloads._FETCH, "mnist", fetch)
    with pytest.raises(OfflineError):
        open_dataset("mnist")
    assert asked == []
    assert len(open_dataset("mnist", download=True).usable) == 50
    assert len(asked) == 1
    assert len(open_dataset("mnist", download=True).usable) == 50
    assert len(asked) == 1


def test_an_interrupted_download_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOPIC_CACHE", str(tmp_path))

    def stopped(folder: Path) -> None:
        write_mnist(folder / "MNIST" / "raw", zipped=True)
        (folder / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz").unlink()
        raise KeyboardInterrupt

    monkeypatch.setitem(downloads._FETCH, "mnist", stopped)
    with pytest.raises(KeyboardInterrupt):
        open_dataset("mnist", download=True)
    assert not [path for path in (tmp_path / "data").rglob("*") if path.suffix != ".lock"]
    with pytest.raises(OfflineError, match="is not on this machine"):
        open_dataset("mnist")


def test_a_download_that_another_process_has_finished_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setitem(downloads._FETCH, "mnist", asked.append)
    write_mnist(tmp_path / "mnist", zipped=True)
    downloads.download_catalog("mnist", tmp_path, ["mnist", "MNIST/raw"])
    assert asked == []


def test_a_download_that_fails_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path) -> None:
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setitem(downloads._FETCH, "cifar10", fail)
    with pytest.raises(OfflineError, match=r'download of "cifar10" failed \(File not found or corrupted'):
        open_dataset("cifar10", download=True)


@pytest.mark.parametrize("download", [False, True])
def test_a_set_that_photopic_cannot_fetch_names_the_place_and_promises_no_download(download: bool) -> None:
    with pytest.raises(OfflineError, match=r"get it from www\.kaggle\.com/c/dogs-vs-cats") as caught:
        open_dataset("cats-dogs", download=download)
    assert "--data-dir" in str(caught.value)
    assert "--allow-download" not in str(caught.value)


def test_every_set_is_inside_or_fetched_or_got_by_hand() -> None:
    by_hand = {entry.name for entry in catalog.CATALOG.values() if entry.by_hand}
    assert {"digits", "signs", *downloads._FETCH, *by_hand} == set(catalog.NAMES)
    assert not by_hand & set(downloads._FETCH)


REAL = {
    "mnist": (70_000, 10, (28, 28, 1), {"train": 60_000, "test": 10_000}),
    "fashion-mnist": (70_000, 10, (28, 28, 1), {"train": 60_000, "test": 10_000}),
    "cifar10": (60_000, 10, (32, 32, 3), {"train": 50_000, "test": 10_000}),
    "gtsrb": (51_839, 43, (32, 32, 3), {"train": 39_209, "test": 12_630}),
    "cats-dogs": (1_399, 2, None, {"train": 500, "val": 500, "test": 399}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_the_real_sets_have_their_published_counts(data_dir: Path, name: str) -> None:
    try:
        dataset = open_dataset(name, strict=True)
    except OfflineError:
        pytest.skip(f"{name} is not in PHOTOPIC_DATA")
    n, classes, shape, parts = REAL[name]
    assert (len(dataset.usable), len(dataset.class_names)) == (n, classes)
    for part, count in parts.items():
        assert (dataset.index.splits == part).sum() == count
    assert shape is None or dataset.image(int(dataset.usable[0])).shape == shape


def test_mnist_begins_with_a_five(data_dir: Path) -> None:
    if not (data_dir / "mnist").exists():
        pytest.skip("mnist is not there")
    dataset = open_dataset("mnist")
    assert dataset.array is not None
    assert dataset.class_names[dataset.index.labels[0]] == "5"
    assert (dataset.array[0, 6, 7, 0], dataset.array[0, 6, 8, 0]) == (0, 30)
