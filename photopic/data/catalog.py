"""Data sets known by name, found on this machine in their published formats, as class folders or as a zip.

digits comes with scikit-learn, signs is drawn by photopic; the others are looked for in the folder given,
in PHOTOPIC_DATA and in the cache folder, and fetched only where a download is allowed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from photopic.data.arrays import ArrayData
from photopic.data.formats import FileData, from_folders
from photopic.data.gtsrb import read_gtsrb
from photopic.data.published import read_published
from photopic.data.source import open_source
from photopic.errors import OfflineError, did_you_mean
from photopic.files import cache_dir


@dataclass(frozen=True)
class CatalogEntry:
    """A named data set: what it is and what its folder, zip or tar file is usually called."""

    name: str
    summary: str
    places: tuple[str, ...] = ()
    """Usual names of a folder or file, relative to a data folder; the first found is taken."""
    group_pattern: str = ""
    """Regular expression on the path inside the data, of images that belong together."""
    folders: tuple[str, ...] = ()
    """Top folders that belong to it; others beside them are passed over."""
    by_hand: str = ""
    """Where to get it in a browser, if its publisher asks for an account; empty: photopic can fetch it."""


CATALOG = {
    entry.name: entry
    for entry in (
        CatalogEntry(
            "digits", "1,797 real handwritten digits, 8×8 grey, 10 classes; comes with scikit-learn"
        ),
        CatalogEntry("signs", "traffic-sign shapes drawn by photopic, 64×64 RGB, 6 classes; not photographs"),
        CatalogEntry(
            "mnist",
            "70,000 handwritten digits, 28×28 grey, 10 classes (LeCun et al. 1998)",
            ("mnist", "MNIST/raw", "MNIST", "mnist.zip"),
        ),
        CatalogEntry(
            "fashion-mnist",
            "70,000 pictures of clothing, 28×28 grey, 10 classes (Xiao et al. 2017)",
            ("fashion-mnist", "FashionMNIST/raw", "fashion_mnist", "FashionMNIST", "fashion-mnist.zip"),
        ),
        CatalogEntry(
            "cifar10",
            "60,000 photographs, 32×32 RGB, 10 classes (Krizhevsky 2009)",
            (
                *("cifar10", "cifar-10", "cifar-10-batches-bin", "cifar-10-binary.tar.gz"),
                *("cifar10.zip", "cifar-10.zip", "cifar10-jpg.zip", "cifar10-png.zip", "CIFAR10"),
            ),
        ),
        CatalogEntry(
            "cifar100",
            "60,000 photographs, 32×32 RGB, 100 classes (Krizhevsky 2009)",
            (
                *("cifar100", "cifar-100", "cifar-100-binary", "cifar-100-binary.tar.gz"),
                *("cifar100.zip", "cifar-100.zip", "cifar100-jpg.zip", "cifar100-png.zip", "CIFAR100"),
            ),
        ),
        CatalogEntry(
            "gtsrb",
            "51,839 photographs of German traffic signs, 43 classes, in tracks (Stallkamp et al. 2012)",
            ("gtsrb", "GTSRB", "gtsrb.zip", "gtsrb32.zip"),
            group_pattern=r"(?:^|/)train/(?P<group>\d+/\d+)_\d+\.\w+$",
            folders=("train", "test"),
        ),
        CatalogEntry(
            "cats-dogs",
            "photographs of cats and dogs, 2 classes (Kaggle, Dogs vs Cats)",
            ("cats-dogs", "cats-dogs.zip", "cats_and_dogs", "cats_and_dogs.zip", "cats_and_dogs_filtered"),
            by_hand="www.kaggle.com/c/dogs-vs-cats",
        ),
    )
}
NAMES = tuple(CATALOG)


def open_catalog(
    name: str, *, data_dir: str | Path | None = None, download: bool = False
) -> ArrayData | FileData:
    """The data set of this name. Raises OfflineError, saying where it was looked for, if it is not here."""
    if name == "digits":
        return _digits()
    if name == "signs":
        from photopic.data.signs import draw_signs

        return draw_signs()
    entry = CATALOG[name]
    folders = list(_data_folders(data_dir))
    for folder in folders:
        for place in entry.places:
            if (folder / place).exists():
                return _read(entry, folder / place)
    if download and not entry.by_hand:
        from photopic.data.downloads import download_catalog

        download_catalog(name, cache_dir() / "data", entry.places)
        return open_catalog(name)
    looked = ", ".join(str(folder) for folder in folders)
    missing = f'"{name}" is not on this machine (looked in {looked} for {", ".join(entry.places)}).'
    if entry.by_hand:
        raise OfflineError(
            f"{missing} photopic cannot fetch it, since its publisher asks for an account: get it from "
            f"{entry.by_hand} and put it there, or name its folder with --data-dir or PHOTOPIC_DATA."
        )
    raise OfflineError(
        f"{missing} Put it there, name its folder with --data-dir or PHOTOPIC_DATA, or allow a download with "
        "--allow-download."
    )


def open_known(path: Path) -> tuple[str | None, ArrayData | FileData] | None:
    """Catalog data given by its path, read as by its name; None: it is something else.

    The catalog name comes first; None where only the folder's name speaks for it, and not its form.
    """
    if not path.exists():
        return None
    for entry in CATALOG.values():
        if path.name in entry.places and entry.group_pattern:
            published = _read_published(entry, path)
            return (None, _read(entry, path)) if published is None else (entry.name, published)
    data = read_published(path)
    return None if data is None else (_name_of(path), data)


def _name_of(path: Path) -> str | None:
    """The name of the data set that is usually found at such a place."""
    for entry in CATALOG.values():
        if any(path.parts[-len(parts) :] == parts for parts in map(_parts, entry.places)):
            return entry.name
    return None


def _parts(place: str) -> tuple[str, ...]:
    return Path(place).parts


def no_such_name(text: str) -> str:
    """The end of an error about a name that is neither a path nor in the catalog."""
    return f"and no catalog data set of that name.{did_you_mean(text, NAMES)}"


def _data_folders(data_dir: str | Path | None) -> Iterator[Path]:
    if data_dir is not None:
        yield Path(data_dir).expanduser()
    if os.environ.get("PHOTOPIC_DATA"):
        yield Path(os.environ["PHOTOPIC_DATA"]).expanduser()
    yield cache_dir() / "data"


def _read_published(entry: CatalogEntry, path: Path) -> ArrayData | FileData | None:
    return read_published(path) or (read_gtsrb(path) if entry.name == "gtsrb" else None)


def _read(entry: CatalogEntry, path: Path) -> ArrayData | FileData:
    published = _read_published(entry, path)
    if published is not None:
        return published
    data = from_folders(open_source(path), only=entry.folders)
    if entry.group_pattern:
        pattern = re.compile(entry.group_pattern)
        matches = [pattern.search(path) for path in data.entries.paths]
        data.entries.groups[:] = [match["group"] if match else "" for match in matches]
    return data


def _digits() -> ArrayData:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images_u8 = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, :, :, None]
    names = tuple(str(name) for name in digits.target_names)
    return ArrayData(images_u8, digits.target.astype(np.int64), names)
