"""Published binary formats of well-known data sets: the IDX files of MNIST, the binary batches of CIFAR.

CIFAR's "python version" is made of pickles, which can run any program; photopic loads none.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from photopic.data.arrays import ArrayData
from photopic.errors import DataError

_IDX_FILES = ("train-images", "train-labels", "t10k-images", "t10k-labels")
_FASHION = (
    *("t-shirt/top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
_CIFAR_SIDE = 32  # pixels; an image is 3 planes of 32 × 32 bytes


def read_published(path: Path) -> ArrayData | None:
    """The data in a folder of IDX files or CIFAR batches, or in CIFAR's .tar.gz; None: it holds neither.

    Raises DataError for damaged files and for CIFAR's pickles.
    """
    if path.is_dir():
        if _idx_file(path, "train-images") is not None:
            return _read_idx_folder(path)
        for folder in (path, path / "cifar-10-batches-bin", path / "cifar-100-binary"):
            names = {file.name for file in folder.glob("*.bin")} if folder.is_dir() else set()
            texts = {file.name for file in folder.glob("*.txt")} if names else set()
            if "data_batch_1.bin" in names or "train.bin" in names:
                return _read_cifar(folder, names | texts)
        _refuse_pickles(path)
    elif path.name.startswith("cifar-") and path.name.endswith((".tar.gz", ".tgz")):
        return _read_cifar_tar(path)
    return None


# ---- MNIST and its likes --------------------------------------------------------------------------------


def _idx_file(folder: Path, stem: str) -> Path | None:
    kind = "idx3" if stem.endswith("images") else "idx1"
    for name in (f"{stem}-{kind}-ubyte", f"{stem}.{kind}-ubyte"):
        for file in (folder / name, folder / f"{name}.gz"):
            if file.is_file():
                return file
    return None


def _read_idx_folder(folder: Path) -> ArrayData:
    files = []
    for stem in _IDX_FILES:
        file = _idx_file(folder, stem)
        if file is None:
            raise DataError(f"{folder}: {stem}-idx…-ubyte(.gz) is missing beside the other IDX files.")
        files.append(file)
    with ThreadPoolExecutor(2) as pool:  # zlib works without Python's lock
        train_images, train_labels, test_images, test_labels = pool.map(read_idx, files)
    for images, numbers, file in (
        (train_images, train_labels, files[0]),
        (test_images, test_labels, files[2]),
    ):
        if images.ndim != 3 or numbers.shape != images.shape[:1]:
            raise DataError(
                f"{file}: {images.shape} images, {numbers.shape} labels: they do not fit together."
            )
    labels: NDArray[np.int64] = np.concatenate([train_labels, test_labels]).astype(np.int64)
    splits = np.repeat(np.array(["train", "test"]), [len(train_labels), len(test_labels)])
    n_classes = int(labels.max()) + 1
    is_fashion = "fashion" in str(folder.resolve()).lower() and n_classes == len(_FASHION)
    class_names = _FASHION if is_fashion else tuple(str(number) for number in range(n_classes))
    images_u8 = np.concatenate([train_images, test_images])[:, :, :, None]
    return ArrayData(images_u8, labels, class_names, splits)


def read_idx(file: Path) -> NDArray[np.uint8]:
    """An IDX file of unsigned bytes, gzipped or not. Raises DataError that names it.

    Format: two zero bytes, type 8 (unsigned byte), number of axes, each length as big-endian uint32, data.
    """
    try:
        data = file.read_bytes()
        if file.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file}: cannot be read ({error}).") from None
    axes = data[3] if len(data) >= 4 else 0
    if data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * axes:
        raise DataError(f"{file}: not an IDX file of unsigned bytes.")
    shape = tuple(int(length) for length in np.frombuffer(data, ">u4", axes, 4))
    expected, got = int(np.prod(shape)), len(data) - 4 - 4 * axes
    if got != expected:
        raise DataError(f"{file}: {got} bytes of data, but its header promises {expected}; it is damaged.")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


# ---- CIFAR ----------------------------------------------------------------------------------------------

_Read = Callable[[str], bytes]


def _read_cifar(where: Path, names: set[str], read: _Read | None = None) -> ArrayData:
    """CIFAR-10: rows of label, image; CIFAR-100: rows of coarse label, fine label, image."""
    read = read or (lambda name: (where / name).read_bytes())
    is_100 = "train.bin" in names
    batches = {"train": ["train.bin"] if is_100 else [f"data_batch_{k}.bin" for k in range(1, 6)]}
    batches["test"] = ["test.bin" if is_100 else "test_batch.bin"]
    missing = [name for files in batches.values() for name in files if name not in names]
    if missing:
        raise DataError(f"{where}: {', '.join(missing)} is missing beside the other batches.")
    label_bytes = 2 if is_100 else 1
    row_bytes = label_bytes + 3 * _CIFAR_SIDE**2
    rows, splits = [], []
    for split, files in batches.items():
        for name in files:
            data = read(name)
            if len(data) == 0 or len(data) % row_bytes:
                raise DataError(
                    f"{where}/{name}: {len(data)} bytes are no whole number of images; it is damaged."
                )
            rows.append(np.frombuffer(data, np.uint8).reshape(-1, row_bytes))
            splits.append(np.full(len(rows[-1]), split))
    table = np.concatenate(rows)
    images_nchw = table[:, label_bytes:].reshape(-1, 3, _CIFAR_SIDE, _CIFAR_SIDE)
    images_u8 = np.ascontiguousarray(images_nchw.transpose(0, 2, 3, 1))
    labels = table[:, label_bytes - 1].astype(np.int64)
    class_names = _cifar_names(100 if is_100 else 10, names, read)
    if labels.max() >= len(class_names):
        raise DataError(
            f"{where}: label {labels.max()} is above the {len(class_names)} classes; it is damaged."
        )
    return ArrayData(images_u8, labels, class_names, np.concatenate(splits))


def _cifar_names(n: int, names: set[str], read: _Read) -> tuple[str, ...]:
    file = "fine_label_names.txt" if n == 100 else "batches.meta.txt"
    found = read(file).decode("utf-8", "replace").split() if file in names else []
    return tuple(found) if len(found) == n else tuple(str(number) for number in range(n))


def _read_cifar_tar(path: Path) -> ArrayData:
    """The published .tar.gz, read in one pass; nothing is unpacked to disk."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                name = member.name.rsplit("/", 1)[-1]
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None and name.endswith((".bin", ".txt")):
                    contents[name] = file.read()
                elif name.startswith(("data_batch", "test_batch", "train")) and member.isfile():
                    raise DataError(_PICKLES.format(where=path))
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as a .tar.gz file ({error}).") from None
    if not contents.keys() & {"data_batch_1.bin", "train.bin"}:
        raise DataError(f"{path}: holds no CIFAR batches.")
    return _read_cifar(path, set(contents), contents.__getitem__)


_PICKLES = (
    "{where}: this is CIFAR's python version, made of pickles, which photopic does not load because they "
    "can run programs. Get the binary version (cifar-10-binary.tar.gz or cifar-100-binary.tar.gz)."
)


def _refuse_pickles(path: Path) -> None:
    for folder in (path, path / "cifar-10-batches-py", path / "cifar-100-python"):
        if (folder / "data_batch_1").is_file() or (
            (folder / "train").is_file() and (folder / "meta").is_file()
        ):
            raise DataError(_PICKLES.format(where=folder))
