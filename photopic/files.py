"""Every write of photopic: whole or not at all, and on the disk before anyone relies on it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from photopic.errors import UserError

_LOCK_STALE_S = 24 * 3600.0
_NEW_FILE_MODE = 0o666  # less the user's umask, as for any file that a program makes


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` with `data`: temp file beside it, flush, fsync, rename, fsync of the folder.

    Raises UserError that names the path when the disk is full or the folder cannot be written.
    """
    write_with(path, lambda file: file.write(data))


def write_text(path: Path, text: str) -> None:
    """Replace `path` with UTF-8 text, atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Replace `path` with readable JSON, atomically. NaN and infinity are refused (they are no JSON)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_with(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Replace `path` with whatever `write` puts into the binary file it is given, atomically."""
    path = Path(path)
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = _new_file(path)
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink()


def _new_file(path: Path) -> tuple[int, str]:
    """An open temporary file beside `path`, and its name; others may read it if the umask says so."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    name = str(path.parent / f".{path.name[:40]}.{secrets.token_hex(6)}.tmp")
    return os.open(name, flags, _NEW_FILE_MODE), name


def append_line(path: Path, line: str) -> None:
    """Add a line of UTF-8 text. A crash may leave a part of it; raises UserError as `write_bytes` does."""
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise _write_error(path, error) from error


def _sync_folder(folder: Path) -> None:
    """Make a rename durable. Windows has no handle for folders, and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_error(path: Path, error: OSError) -> UserError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"{path}: the disk is full. Free some space, or choose another folder. No half of it was left."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError(f"{path}: cannot write ({error.strerror}). Choose a folder that you may write to.")
    return UserError(f"{path}: cannot write ({error.strerror or error}).")


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_dir() -> Path:
    """The folder of indexes, pixel and feature stores: PHOTOPIC_CACHE, or the platform's cache folder.

    All of it is safe to delete.
    """
    chosen = os.environ.get("PHOTOPIC_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("photopic", appauthor=False))


@contextmanager
def lock(path: Path, *, timeout_s: float = 600.0) -> Iterator[None]:
    """Hold a lock file while the block runs, so that two processes do not build the same thing.

    Portable: exclusive creation of a file that names the process. The lock of a process that has ended is
    broken; one whose process cannot be asked about (another machine's, or on Windows) after a day.
    Raises UserError when the lock is not free within `timeout_s`.
    """
    path = Path(path)
    deadline = time.monotonic() + timeout_s
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _write_error(path, error) from error
    while not _create_exclusively(path):
        if not lock_is_held(path):
            with suppress(OSError):
                path.unlink()
            continue
        if time.monotonic() > deadline:
            raise UserError(f"{path}: another photopic holds this lock. Wait, or delete it if none runs.")
        time.sleep(0.05)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()


def _create_exclusively(path: Path) -> bool:
    created = False
    try:
        with path.open("x") as file:
            created = True
            file.write(f"{os.getpid()} {platform.node()}")
    except FileExistsError:
        return False
    except OSError as error:
        if os.name == "nt" and isinstance(error, PermissionError):  # Windows, while the holder deletes it
            return False
        if created:  # a full disk: an empty lock would look held
            path.unlink(missing_ok=True)
        raise _write_error(path, error) from error
    return True


def lock_is_held(path: Path) -> bool:
    """Whether `lock(path)` would have to wait: the file is there, and its process not known to have ended."""
    try:
        process, _, machine = path.read_text("utf-8").partition(" ")
        age_s = time.time() - path.stat().st_mtime
    except (OSError, UnicodeDecodeError):
        return False
    if os.name == "nt" or machine != platform.node() or not process.isdigit():
        return age_s < _LOCK_STALE_S
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's process, and alive
        return True
    return True
