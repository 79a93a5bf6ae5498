"""From files to entries: one row per file with its label, split and group, as far as they are given.

Here: class folders, split folders above them, and a zip of either. manifest.py reads tables of files.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from photopic.data.decode import IMAGE_SUFFIXES, ImageError
from photopic.data.index import NOT_AN_IMAGE
from photopic.data.source import Excluded, FolderSource, Listing, Source, ZipSource
from photopic.errors import ConfigError, DataError

SPLIT_NAMES = {
    **{"train": "train", "training": "train"},
    **{"val": "val", "valid": "val", "validation": "val", "dev": "val"},
    **{"test": "test", "testing": "test"},
}
"""Names of split folders and manifest values, in any case, and the split each means."""

_CLASS_NAMES_FILE = "class_names.csv"


@dataclass
class Entries:
    """Labelled files, as columns of equal length, and the files that are not used."""

    paths: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    problems: list[Excluded] = field(default_factory=list)
    class_order: tuple[str, ...] = ()
    """Class names in the order that the data set gives them; empty: natural order."""

    def add(self, path: str, size: int, stamp: int, label: str, split: str = "", group: str = "") -> None:
        self.paths.append(path)
        self.sizes.append(size)
        self.stamps.append(stamp)
        self.labels.append(label)
        self.splits.append(split)
        self.groups.append(group)

    def by_path(self) -> Entries:
        """The same entries in the order of their paths."""
        order = sorted(range(len(self.paths)), key=self.paths.__getitem__)
        return Entries(
            paths=[self.paths[row] for row in order],
            sizes=[self.sizes[row] for row in order],
            stamps=[self.stamps[row] for row in order],
            labels=[self.labels[row] for row in order],
            splits=[self.splits[row] for row in order],
            groups=[self.groups[row] for row in order],
            problems=self.problems,
            class_order=self.class_order,
        )


@dataclass(frozen=True)
class FileData:
    """A data set whose images are files: where they are read, which they are, and what names its cache."""

    source: Source
    entries: Entries
    location: Path


def from_folders(source: FolderSource | ZipSource, *, only: Collection[str] = ()) -> FileData:
    """Class folders, with or without train, val and test above them.

    The class is the path of the file's folder, so `animals/cat/1.jpg` is of class "animals/cat". One folder
    around everything is left out of the names in a zip, and above split folders anywhere.
    only: top folders to read; files elsewhere are passed over silently.
    """
    listing = source.list_files()
    layout = _Layout.of(_image_folders(listing.paths), wrapped=isinstance(source, ZipSource))
    entries = Entries(problems=list(listing.problems))
    known: dict[str, tuple[str, str, str]] = {}
    for path, size, stamp in zip(listing.paths, listing.sizes, listing.stamps, strict=True):
        folder = path.rpartition("/")[0]
        if folder not in known:
            known[folder] = layout.place(folder)
        label, split, problem = known[folder]
        if not problem:
            entries.add(path, size, stamp, label, split)
        elif not only or (folder.split("/")[0] in only):
            is_image = PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES
            entries.problems.append(Excluded(path, problem if is_image else NOT_AN_IMAGE))
    if not entries.paths:
        raise DataError(_nothing_found(source, listing))
    _name_classes(source, layout.prefix, entries)
    return FileData(source, entries, source.location)


@dataclass(frozen=True)
class _Layout:
    """How folders tell class and split: what stands before them, and whether split folders come first."""

    prefix: str
    has_splits: bool

    @classmethod
    def of(cls, folders: set[str], *, wrapped: bool) -> _Layout:
        if _are_splits(folders):
            return cls("", True)
        tops = {folder.split("/")[0] for folder in folders}
        if len(tops) == 1 and "" not in tops and folders.isdisjoint(tops):
            top = tops.pop() + "/"
            inner = {folder.removeprefix(top) for folder in folders}
            if _are_splits(inner):
                return cls(top, True)
            if wrapped:
                return cls(top, False)
        return cls("", False)

    def place(self, folder: str) -> tuple[str, str, str]:
        """Label, split and problem ("" if none) of the files in a folder."""
        if not (folder + "/").startswith(self.prefix):
            return "", "", "not in a class folder"
        inner = (folder + "/").removeprefix(self.prefix).rstrip("/")
        split = ""
        if self.has_splits:
            top, _, inner = inner.partition("/")
            split = SPLIT_NAMES.get(top.lower(), "")
            if not split:
                return "", "", "beside the split folders, not in one"
        label = unicodedata.normalize("NFC", inner)
        return label, split, "" if label else "not in a class folder"


def _image_folders(paths: Sequence[str]) -> set[str]:
    """Folders of files that claim to be images; of all files where none does."""
    named = {p.rpartition("/")[0] for p in paths if p[p.rfind(".") :].lower() in IMAGE_SUFFIXES}
    return named or {p.rpartition("/")[0] for p in paths}


def _are_splits(folders: set[str]) -> bool:
    """Whether the first part of the folders is a split.

    A class may be called "train" too: beside other classes one such name alone is a class, and so is a
    folder with images directly in it.
    """
    tops = {folder.split("/")[0] for folder in folders} - {""}
    splits = {SPLIT_NAMES[top.lower()] for top in tops if top.lower() in SPLIT_NAMES}
    others = [top for top in tops if top.lower() not in SPLIT_NAMES]
    if not splits or (others and len(splits) < 2):
        return False
    main = "train" if "train" in splits else min(splits)
    return any("/" in folder and SPLIT_NAMES.get(folder.split("/")[0].lower()) == main for folder in folders)


def _nothing_found(source: Source, listing: Listing) -> str:
    where = source.location
    if listing.paths and any(PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES for path in listing.paths):
        return (
            f"{where}: the images are not in class folders. Expected one folder per class, as in "
            f"{where.name}/cat/1.jpg, or a CSV manifest with the columns path,label."
        )
    if listing.paths:
        what = f"{len(listing.paths)} files, none of them an image"
    else:
        what = "nothing in it can be read" if listing.problems else "it is empty"
    problem = f" ({listing.problems[0].path}: {listing.problems[0].reason})" if listing.problems else ""
    return f"{where}: no images found: {what}{problem}. Expected one folder per class with images in it."


def _name_classes(source: Source, prefix: str, entries: Entries) -> None:
    """Replace numeric class ids by the names in class_names.csv (columns id,name), if there is one."""
    try:
        text = source.read(prefix + _CLASS_NAMES_FILE).decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if len(row) >= 2]
        names = {int(row[0]): row[1].strip() for row in rows if row[0].strip().isdecimal()}
    except (ImageError, ValueError, csv.Error):  # it is something else of that name
        return
    labels = set(entries.labels)
    usable = all(label.isdecimal() and names.get(int(label)) for label in labels)
    if usable and len(set(names.values())) == len(names):
        named = {label: names[int(label)] for label in labels}
        entries.labels = [named[label] for label in entries.labels]
        entries.class_order = tuple(names[number] for number in sorted(names))


def groups_from(pattern: str, paths: Iterable[str]) -> list[str]:
    """The group of each path: what `(?P<group>…)`, or else the first bracket, of the pattern matches in it.

    "" where the pattern does not match. Raises ConfigError for a pattern that is wrong or never matches.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f'group_pattern "{pattern}" is not a regular expression ({error}).') from None
    if not compiled.groups:
        raise ConfigError(f'group_pattern "{pattern}" has no bracket around the group, as in "(\\d+)_\\d+".')
    which = "group" if "group" in compiled.groupindex else 1
    paths = list(paths)
    groups = [(match[which] or "") if (match := compiled.search(path)) else "" for path in paths]
    if paths and not any(groups):
        raise ConfigError(f'group_pattern "{pattern}" matches none of the paths, as "{paths[0]}".')
    return groups


def natural_order(name: str) -> tuple[list[str | int], str]:
    """Sort key that puts "2" before "10" and does not mind case."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if at % 2 and part.isdecimal() else part for at, part in enumerate(parts)], name
