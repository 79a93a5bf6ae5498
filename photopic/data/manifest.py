"""Manifests: CSV or JSON Lines tables with the columns path, label and if wanted split and group."""

from __future__ import annotations

import csv
import io
import json
import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from photopic.data.formats import SPLIT_NAMES, Entries, FileData
from photopic.data.source import Excluded, FolderSource, Listing, add_regular
from photopic.errors import DataError, did_you_mean

MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
_MISSING = "the file is missing"
_COLUMNS = ("path", "label", "split", "group")


def from_manifest(manifest: Path) -> FileData:
    """A CSV or JSON Lines file with path and label, and if wanted split and group, of each image.

    Paths are relative to the manifest. A row that names a missing file, or the same file and label again,
    is left out and listed. Raises DataError for unknown columns, unknown splits and contradicting labels.
    """
    source = FolderSource(manifest.parent)
    entries = Entries()
    seen: dict[str, tuple[int, str]] = {}
    for line, row in _manifest_rows(manifest):
        _read_row(manifest, line, row, source, entries, seen)
    if not seen and not entries.problems:
        raise DataError(f"{manifest}: no rows. Expected the columns path,label[,split][,group].")
    if not entries.paths and all(item.reason == _MISSING for item in entries.problems):
        raise DataError(
            f"{manifest}: no image can be used, all files are missing, such as {entries.problems[0].path}. "
            f"Paths are taken from the manifest's folder, {source.location.absolute()}."
        )
    return FileData(source, entries, manifest)


def from_files(label_of: Mapping[str, str]) -> FileData:
    """Image files by their absolute paths, with the label of each, as a manifest would list them.

    What is known of them is kept under the folder that they share, for the next time.
    """
    folder = Path(next(iter(label_of))).parent
    with suppress(ValueError):  # on Windows they may be on several drives
        folder = Path(os.path.commonpath([Path(path).parent for path in label_of]))
    source, entries = FolderSource(folder), Entries()
    seen: dict[str, tuple[int, str]] = {}
    for number, (path, label) in enumerate(label_of.items(), 1):
        _read_row(folder, number, {"path": path, "label": label}, source, entries, seen)
    return FileData(source, entries, folder / "files by path")


def _read_row(
    manifest: Path,
    line: int,
    row: dict[str, str],
    source: FolderSource,
    entries: Entries,
    seen: dict[str, tuple[int, str]],
) -> None:
    path = _normal(row["path"])
    label = unicodedata.normalize("NFC", row["label"].strip())
    split_text = row.get("split", "").strip()
    split = SPLIT_NAMES.get(split_text.lower(), "")
    if split_text and not split:
        hint = did_you_mean(split_text, ("train", "val", "test"))
        raise DataError(f'{manifest}, line {line}: split "{split_text}" is not known.{hint}')
    if not path or not label:
        entries.problems.append(Excluded(path or f"line {line}", f"no {'label' if path else 'path'}"))
        return
    if path in seen:
        first_line, first_label = seen[path]
        if first_label != label:
            raise DataError(
                f'{manifest}, line {line}: {path} has the label "{label}", but "{first_label}" on line '
                f"{first_line}. Keep one of the two rows."
            )
        entries.problems.append(Excluded(path, f"listed again on line {line} (first on line {first_line})"))
        return
    seen[path] = (line, label)
    listing = Listing()
    try:
        add_regular(listing, path, (source.location / path).stat())
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = _MISSING if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        entries.problems.append(Excluded(path, reason))
        return
    entries.problems.extend(listing.problems)
    if listing.paths:
        entries.add(path, listing.sizes[0], listing.stamps[0], label, split, row.get("group", "").strip())


def _normal(path: str) -> str:
    """ "./a//b.jpg" and "a/b.jpg" are the same file. Backslashes stay: they may be part of a name."""
    path = path.strip()
    return str(PurePosixPath(path)) if path else ""


def _manifest_rows(manifest: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, values by column) of each row."""
    try:
        text = manifest.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{manifest}: not UTF-8 text (byte {error.start}). Save it as UTF-8.") from None
    except OSError as error:
        raise DataError(f"{manifest}: cannot be read ({error.strerror}).") from None
    if manifest.suffix.lower() in (".jsonl", ".ndjson"):
        yield from _json_rows(manifest, text)
    else:
        yield from _csv_rows(manifest, text)


def _csv_rows(manifest: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    header, _, _ = text.partition("\n")
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        _check_columns(manifest, columns)
        for row in reader:
            if not any(row):
                continue
            if len(row) != len(columns):
                raise DataError(
                    f"{manifest}, line {reader.line_num}: {len(row)} values, but {len(columns)} columns. "
                    f'Put values that hold "{delimiter}" in double quotes.'
                )
            yield reader.line_num, dict(zip(columns, row, strict=True))
    except csv.Error as error:
        raise DataError(f"{manifest}, line {reader.line_num}: not CSV ({error}).") from None


def _json_rows(manifest: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            row: Any = json.loads(content)
        except ValueError as error:
            raise DataError(f"{manifest}, line {line}: not JSON ({error}).") from None
        if not isinstance(row, dict):
            raise DataError(f'{manifest}, line {line}: expected an object as {{"path": …, "label": …}}.')
        _check_columns(manifest, list(row))
        yield line, {key: "" if value is None else str(value) for key, value in row.items()}


def _check_columns(manifest: Path, columns: Sequence[str]) -> None:
    for name in columns:
        if name not in _COLUMNS:
            raise DataError(f'{manifest}: column "{name}" is not known.{did_you_mean(name, _COLUMNS)}')
    for name in ("path", "label"):
        if name not in columns:
            raise DataError(
                f'{manifest}: the column "{name}" is missing; found: {", ".join(columns) or "none"}.'
            )
    if len(set(columns)) != len(columns):
        raise DataError(f"{manifest}: a column appears twice: {', '.join(columns)}.")
