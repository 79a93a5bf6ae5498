"""A data set: what the user points at, indexed. All forms come out the same."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photopic.data import catalog
from photopic.data.arrays import ArrayData, from_arrays, from_npz
from photopic.data.decode import WHITE, decode
from photopic.data.formats import FileData, from_folders, groups_from, natural_order
from photopic.data.index import NOT_AN_IMAGE, OK, Facts, Index, Progress, array_facts, column, scan
from photopic.data.index_cache import IndexCache
from photopic.data.manifest import MANIFEST_SUFFIXES, from_files, from_manifest
from photopic.data.source import Excluded, Source, open_source
from photopic.errors import DataError

__all__ = ["DataSet", "Excluded", "open_dataset", "open_files"]


@dataclass(frozen=True)
class DataSet:
    """Labelled images. Rows are numbered as in the index; only `usable` ones may be asked for pixels."""

    name: str
    """What the user would call it: the catalog name, or the last part of the path."""
    class_names: tuple[str, ...]
    """In label order."""
    index: Index
    source: Source | None
    """Where files are read; None for arrays."""
    array: NDArray[np.uint8] | None = None
    """(N, H, W, C) of array data, one image per row of the index; None for files."""
    catalog_name: str | None = None
    """Which data set of the catalog it is, opened by that name or in the form of its publisher; None: the
    user's own, whatever its folder is called."""

    def image(
        self, row: int, *, min_side: int | None = None, background: tuple[int, int, int] = WHITE
    ) -> NDArray[np.uint8]:
        """One image, (H, W, 3) uint8, or (H, W, 1) of grey array data. See decode for the arguments.

        Raises ImageError (a DataError) if the file is gone or damaged since it was indexed.
        """
        if self.array is not None:
            pixels: NDArray[np.uint8] = self.array[row]
            return pixels
        assert self.source is not None
        path = str(self.index.paths[row])
        return decode(self.source.read(path), path, background=background, min_side=min_side)

    @cached_property
    def usable(self) -> NDArray[np.int64]:
        """Rows that can be used, ascending."""
        return np.flatnonzero(self.index.states == OK).astype(np.int64)

    @cached_property
    def excluded(self) -> list[Excluded]:
        """Files with something wrong, in path order."""
        return [row for row in self._unused if row.reason != NOT_AN_IMAGE]

    @cached_property
    def ignored(self) -> list[Excluded]:
        """Files that are no images and do not claim to be: notes, tables, programs."""
        return [row for row in self._unused if row.reason == NOT_AN_IMAGE]

    @cached_property
    def _unused(self) -> list[Excluded]:
        rows = np.flatnonzero(self.index.states != OK)
        return [Excluded(str(self.index.paths[row]), str(self.index.states[row])) for row in rows]

    @cached_property
    def is_grey(self) -> bool:
        """Whether every usable image is stored in one grey channel."""
        return set(self.index.modes[self.usable]) <= {"L", "1", "I;16", "I;16B", "I;16L", "I;16N", "I"}

    def counts(self) -> dict[str, int]:
        """Usable images of each class, in label order."""
        n = np.bincount(self.index.labels[self.usable], minlength=len(self.class_names))
        return {name: int(count) for name, count in zip(self.class_names, n, strict=True)}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of what is learned from: contents, classes, given splits and groups of the usable rows.

        The order of the rows and the names of the files do not matter.
        """
        index, rows = self.index, self.usable
        digests = np.ascontiguousarray(index.sha256s[rows]).view(">u8")
        labels = index.labels[rows]
        splits, split_codes = np.unique(index.splits[rows], return_inverse=True)
        groups, group_codes = np.unique(index.groups[rows].astype(str), return_inverse=True)
        order = np.lexsort((group_codes, split_codes, labels, *digests.T[::-1]))
        sha256 = hashlib.sha256()
        for names in (self.class_names, splits, groups):
            sha256.update(repr([str(name) for name in names]).encode("utf-8", "surrogatepass"))
        for numbers in (digests, labels, split_codes, group_codes):
            sha256.update(np.ascontiguousarray(numbers[order]).tobytes())
        return sha256.hexdigest()


def open_dataset(
    data: str | Path | tuple[ArrayLike, ArrayLike],
    *,
    data_dir: str | Path | None = None,
    group_pattern: str | None = None,
    strict: bool = False,
    download: bool = False,
    progress: Progress | None = None,
) -> DataSet:
    """Index what `data` points at.

    data: a folder with a folder per class (train, val and test may stand above them), a zip of it, a CSV or
        JSON Lines manifest, an .npz file, a catalog name as "mnist", or a pair (images, labels) of arrays.
    data_dir: where catalog data is looked for first; then in PHOTOPIC_DATA, then in the cache folder.
    group_pattern: regular expression on the path; what its first bracket matches is the image's group.
    strict: files that cannot be used are an error, not an exclusion.
    download: allow a download of catalog data that is not on this machine.
    Raises DataError, ConfigError or OfflineError, saying what to do.
    """
    try:
        name, catalog_name, opened = _open(data, data_dir, download)
    except OSError as error:
        raise DataError(f"{data}: cannot be read ({error.strerror or error}).") from None
    if isinstance(opened, ArrayData):
        dataset = _from_array_data(name, opened)
    else:
        dataset = _from_file_data(name, opened, group_pattern, progress)
    if isinstance(opened, ArrayData) and group_pattern is not None:
        raise DataError("group_pattern needs paths, and arrays have none.")
    _check(dataset, str(data) if isinstance(data, (str, Path)) else name, strict)
    return replace(dataset, catalog_name=catalog_name)


def open_files(label_of: Mapping[str, str]) -> DataSet:
    """Index image files, given by their absolute paths with the label of each.

    Raises DataError that names a file which is missing or cannot be used.
    """
    dataset = _from_file_data("files", from_files(label_of), None, None)
    _check(dataset, "files", strict=True)
    return dataset


def _open(
    data: str | Path | tuple[ArrayLike, ArrayLike], data_dir: str | Path | None, download: bool
) -> tuple[str, str | None, ArrayData | FileData]:
    """What the user would call it, its name in the catalog, and the data."""
    if isinstance(data, tuple):
        if len(data) != 2:
            raise DataError(f"expected a pair (images, labels), got {len(data)} arrays.")
        return "arrays", None, from_arrays(*data)
    if isinstance(data, str) and data in catalog.NAMES:
        return data, data, catalog.open_catalog(data, data_dir=data_dir, download=download)
    if not isinstance(data, (str, Path)):
        raise DataError(f"expected a path, a name or a pair (images, labels), got {type(data).__name__}.")
    path = Path(data).expanduser()
    known = catalog.open_known(path)
    if known is not None:
        return path.name, *known
    if path.suffix.lower() == ".npz":
        return path.name, None, from_npz(path)
    if path.suffix.lower() in MANIFEST_SUFFIXES and path.is_file():
        return path.name, None, from_manifest(path)
    if not path.exists():
        raise DataError(f"{data}: there is no such file or folder, {catalog.no_such_name(str(data))}")
    return path.resolve().name, None, from_folders(open_source(path))


def _from_array_data(name: str, data: ArrayData) -> DataSet:
    n = len(data.images)
    if n == 0:
        raise DataError(f"{name}: no images.")
    _check_class_names(data.class_names)
    facts = array_facts(data.images)
    digits = len(str(n - 1))
    index = Index(
        paths=column([f"{row:0{digits}d}" for row in range(n)]),
        labels=data.labels,
        splits=_splits(data.splits if data.splits is not None else [""] * n),
        groups=column(data.groups if data.groups is not None else [""] * n),
        **vars(facts),
    )
    return DataSet(name, data.class_names, index, None, data.images)


def _from_file_data(
    name: str, data: FileData, group_pattern: str | None, progress: Progress | None
) -> DataSet:
    entries = data.entries.by_path()
    groups = entries.groups if group_pattern is None else groups_from(group_pattern, entries.paths)
    cache = IndexCache.of(data.location)
    try:
        facts = scan(
            data.source, entries.paths, entries.sizes, entries.stamps, cache=cache, progress=progress
        )
    finally:
        cache.close()
    is_image = facts.states != NOT_AN_IMAGE
    class_names = _class_names({entries.labels[row] for row in np.flatnonzero(is_image)}, entries.class_order)
    numbers = {class_name: number for number, class_name in enumerate(class_names)}
    index = Index(
        paths=column(entries.paths),
        labels=np.array([numbers.get(label, -1) for label in entries.labels], np.int64),
        splits=_splits(entries.splits),
        groups=column(groups),
        **vars(facts),
    )
    return DataSet(name, class_names, _with_problems(index, entries.problems), data.source)


def _splits(values: Sequence[str] | NDArray[np.str_]) -> NDArray[np.str_]:
    return np.asarray(values).astype("<U5")


def _class_names(labels: set[str], given_order: Sequence[str]) -> tuple[str, ...]:
    """The classes in label order. Raises DataError for names that can be mistaken for each other."""
    known = [name for name in given_order if name in labels]
    names = known + sorted(labels.difference(known), key=natural_order)
    _check_class_names(names)
    return tuple(names)


def _check_class_names(names: Sequence[str]) -> None:
    """Raises DataError for an empty name, and for names that differ only in case or outer spaces."""
    if not all(name.strip() for name in names):
        raise DataError("a class has an empty name: give each image a label, or leave it out.")
    seen: dict[str, str] = {}
    for name in names:
        twin = seen.setdefault(name.strip().casefold(), name)
        if twin != name:
            raise DataError(
                f'the classes "{twin}" and "{name}" differ only in upper and lower case or in spaces. '
                "If they are one class, give them one name; if not, names that can be told apart."
            )


def _with_problems(index: Index, problems: Sequence[Excluded]) -> Index:
    """The index with a row, of no label, for each file that was left out before it was read."""
    n = len(problems)
    if n == 0:
        return index
    facts = Facts.empty(n)
    facts.states = column([problem.reason for problem in problems])
    more = Index(
        paths=column([problem.path for problem in problems]),
        labels=np.full(n, -1, np.int64),
        splits=_splits([""] * n),
        groups=column([""] * n),
        **vars(facts),
    )
    joined = {key: np.concatenate([values, vars(more)[key]]) for key, values in vars(index).items()}
    order = np.argsort(joined["paths"], kind="stable")
    return Index(**{key: values[order] for key, values in joined.items()})


def _check(dataset: DataSet, where: str, strict: bool) -> None:
    excluded = dataset.excluded
    if strict and excluded:
        first = "; ".join(f"{row.path}: {row.reason}" for row in excluded[:5])
        more = f"; and {len(excluded) - 5} more" if len(excluded) > 5 else ""
        raise DataError(f"{where}: {_files(len(excluded))} cannot be used ({first}{more}).")
    if not len(dataset.usable):
        reasons = Counter(row.reason for row in (*excluded, *dataset.ignored)).most_common(3)
        text = "; ".join(f"{_files(count)}: {reason}" for reason, count in reasons)
        raise DataError(f"{where}: no image can be used. {text}.")


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
