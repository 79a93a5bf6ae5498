"""Where the bytes of image files come from: a folder, or a zip that is read in place.

A source lists its files once and reads any of them by path, from any thread. Paths are relative to the
source, with "/" between the parts on every system.
"""

from __future__ import annotations

import os
import stat
import struct
import threading
import weakref
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from photopic.data.decode import ImageError
from photopic.errors import DataError

MAX_FILE_BYTES = 2**29
"""A larger file is refused unread: 512 MB, more than MAX_PIXELS of any format needs."""

_LITTER = frozenset(("__macosx", "thumbs.db", "desktop.ini", "@eadir"))  # what systems leave behind


@dataclass(frozen=True)
class Excluded:
    """A file that is not used: its path and a short reason."""

    path: str
    reason: str


@dataclass
class Listing:
    """All files of a source, as columns of equal length, and what could not be listed."""

    paths: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    """Bytes."""
    stamps: list[int] = field(default_factory=list)
    """Changes when the file does: modification time in ns; in a zip the checksum of the member."""
    problems: list[Excluded] = field(default_factory=list)

    def add(self, path: str, size: int, stamp: int) -> None:
        self.paths.append(path)
        self.sizes.append(size)
        self.stamps.append(stamp)


class Source(Protocol):
    """Files by path."""

    @property
    def location(self) -> Path:
        """The folder or zip file on this machine."""
        ...

    def list_files(self) -> Listing:
        """Every file but hidden ones, in a fixed order. Nothing is opened, so nothing can block."""
        ...

    def read(self, path: str) -> bytes:
        """The file's bytes. Raises ImageError naming the path when it is gone or cannot be read."""
        ...


class FolderSource:
    """The files under a folder. Links to files are followed; each folder is read once, so loops end."""

    def __init__(self, root: Path) -> None:
        self.location = Path(root)

    def list_files(self) -> Listing:
        listing = Listing()
        seen: set[str] = set()
        todo = [""]
        linked: list[str] = []  # links come after real folders, so a folder is listed under its own name
        while todo or linked:
            folder = todo.pop() if todo else linked.pop()
            real = os.path.realpath(self.location / folder)
            if real in seen:
                listing.problems.append(Excluded(folder, "a link to a folder that is already read"))
                continue
            seen.add(real)
            folders, links = self._list_folder(folder, listing)
            todo.extend(reversed(folders))
            linked.extend(reversed(links))
        return listing

    def _list_folder(self, folder: str, listing: Listing) -> tuple[list[str], list[str]]:
        """Add the files of one folder; return its subfolders and its links to folders."""
        folders: list[str] = []
        links: list[str] = []
        try:
            with os.scandir(self.location / folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            listing.problems.append(Excluded(folder or ".", f"the folder cannot be read ({_why(error)})"))
            return folders, links
        for entry in found:
            if is_hidden(entry.name):
                continue
            path = f"{folder}/{entry.name}" if folder else entry.name
            if not _is_unicode(path):
                shown = os.fsencode(path).decode("utf-8", "backslashreplace")
                listing.problems.append(Excluded(shown, "its name is not valid text; rename it"))
                continue
            try:
                if entry.is_dir():
                    (links if entry.is_symlink() else folders).append(path)
                    continue
                status = entry.stat()
            except OSError as error:
                reason = "a link to nothing" if entry.is_symlink() else f"cannot be read ({_why(error)})"
                listing.problems.append(Excluded(path, reason))
                continue
            add_regular(listing, path, status)
        return folders, links

    def read(self, path: str) -> bytes:
        file = self.location / path
        try:
            status = file.stat()
            if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for a writer
                raise ImageError(path, "not a file (a folder, pipe, socket or device)")
            if status.st_size > MAX_FILE_BYTES:
                raise ImageError(path, _too_large(status.st_size))
            return file.read_bytes()
        except FileNotFoundError:
            raise ImageError(path, "the file is gone") from None
        except OSError as error:
            raise ImageError(path, f"cannot be read ({_why(error)})") from None


class ZipSource:
    """The members of a zip file, read in place through one handle; threads wait only for the raw read."""

    def __init__(self, file: Path) -> None:
        self.location = Path(file)
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
            self._handle: IO[bytes] = self.location.open("rb")
        except FileNotFoundError:
            raise DataError(f"{file}: there is no such file.") from None
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise DataError(f"{file}: cannot be read as a zip file ({error}).") from None
        self._members = {member.filename: member for member in members if not member.is_dir()}
        self._lock = threading.Lock()
        self._close = weakref.finalize(self, self._handle.close)

    def list_files(self) -> Listing:
        listing = Listing()
        hidden: dict[str, bool] = {}
        for path in sorted(self._members):
            folder, _, name = path.rpartition("/")
            if folder not in hidden:
                hidden[folder] = any(is_hidden(part) for part in folder.split("/"))
            if hidden[folder] or is_hidden(name):
                continue
            member = self._members[path]
            listing.add(path, member.file_size, member.CRC)
        return listing

    def read(self, path: str) -> bytes:
        member = self._members.get(path)
        if member is None:
            raise ImageError(path, f"there is no such member in {self.location.name}")
        if member.flag_bits & 1:
            raise ImageError(path, "it is encrypted")
        if member.file_size > MAX_FILE_BYTES:
            raise ImageError(path, _too_large(member.file_size))
        try:
            data = self._inflate(self._raw(member), member)
        except (OSError, ValueError, struct.error, zlib.error) as error:
            raise ImageError(path, f"cannot be read from {self.location.name} ({error})") from None
        if zlib.crc32(data) != member.CRC:
            raise ImageError(path, f"its checksum in {self.location.name} does not fit; the zip is damaged")
        return data

    def _raw(self, member: zipfile.ZipInfo) -> bytes:
        """The stored bytes. The local header (30 bytes, then name and extra field) stands before them."""
        with self._lock:
            self._handle.seek(member.header_offset)
            header = self._handle.read(30)
            if header[:4] != b"PK\x03\x04":
                raise ValueError("no member where the directory says; the zip is damaged")
            name_bytes, extra_bytes = struct.unpack("<HH", header[26:30])
            self._handle.seek(name_bytes + extra_bytes, os.SEEK_CUR)
            return self._handle.read(member.compress_size)

    @staticmethod
    def _inflate(raw: bytes, member: zipfile.ZipInfo) -> bytes:
        if member.compress_type == zipfile.ZIP_STORED:
            return raw
        if member.compress_type == zipfile.ZIP_DEFLATED:
            # One byte more than promised at most: a member that lies about its size fails its checksum.
            return zlib.decompressobj(-15).decompress(raw, member.file_size + 1)
        raise ValueError("its compression is neither stored nor deflate")

    def close(self) -> None:
        """Let go of the file, as happens too when nothing refers to this source; reading afterwards fails."""
        self._close()


def open_source(path: Path) -> FolderSource | ZipSource:
    """The source for a folder or zip file. Raises DataError for anything else."""
    if path.is_dir():
        return FolderSource(path)
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder.")
    if not path.is_file():
        raise DataError(f"{path}: neither a folder nor a file.")
    try:
        with path.open("rb") as file:
            is_zip = zipfile.is_zipfile(file)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({_why(error)}).") from None
    if is_zip or path.suffix.lower() == ".zip":
        return ZipSource(path)
    raise DataError(
        f"{path}: is no data set. Give a folder with a folder of images for each class, a zip of one, a "
        "table of paths and labels (.csv, .jsonl), or images and labels as arrays (.npz)."
    )


def add_regular(listing: Listing, path: str, status: os.stat_result) -> None:
    """Add a file to the listing, or the reason why it is none."""
    if stat.S_ISREG(status.st_mode):
        listing.add(path, status.st_size, status.st_mtime_ns)
    else:
        listing.problems.append(Excluded(path, "not a file (a pipe, socket or device)"))


def is_hidden(name: str) -> bool:
    """Whether a file or folder name is hidden or a system's litter; such files are skipped silently."""
    return name.startswith(".") or name.lower() in _LITTER


def _is_unicode(path: str) -> bool:
    """False for a name of bytes that are not UTF-8; it could not be written into any of our files."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _too_large(size: int) -> str:
    return f"{size / 2**20:.0f} MB are more than the {MAX_FILE_BYTES >> 20} MB that are read"


def _why(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
