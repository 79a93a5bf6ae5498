"""Every write of photopic: whole or not at all, and on the disk before anyone relies on it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from photopic.errors import UserError

_HELD = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK)  # somebody else has the lock
_NEW_FILE_MODE = 0o666  # less the user's umask, as for any file that a program makes

_READERS_S = 2.0 if os.name == "nt" else 0.0


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
        _rename(Path(temporary), path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink()


def _rename(temporary: Path, path: Path) -> None:
    """Put the temporary file in the place of `path`, which Windows refuses while somebody reads that."""
    deadline = time.monotonic() + _READERS_S
    while True:
        try:
            temporary.replace(path)
            return
        except PermissionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _new_file(path: Path) -> tuple[int, str]:
    """An open temporary file beside `path`, and its name; others may read it if the umask says so."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    name = str(path.parent / f".{path.name[:40]}.{secrets.token_hex(6)}.tmp")
    return os.open(name, flags, _NEW_FILE_MODE), name


def append_line(path: Path, line: str) -> None:
    """Add a line of UTF-8 text, whole or not at all; only a crash may leave a part of it.

    Raises UserError as `write_bytes` does.
    """
    try:
        with Path(path).open("ab", buffering=0) as file:
            end = file.tell()
            rest = memoryview(f"{line}\n".encode())
            try:
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError:
                with suppress(OSError):  # of a device
                    file.truncate(end)
                raise
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
    """Hold a lock while the block runs, so that two processes do not build or change the same thing.

    The system's lock on an open file (flock; on Windows LockFile): it ends with the process that holds it,
    however that ends. The file is deleted afterwards; one that a killed process left locks nothing. On a file
    system that has no locks nothing is locked.
    Raises UserError when the lock is not free within `timeout_s`.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _wait_for(path, time.monotonic() + timeout_s)
    except OSError as error:
        raise _write_error(path, error) from error
    try:
        yield
    finally:
        _release(path, handle)


def _wait_for(path: Path, deadline: float) -> int:
    """An open handle that holds the lock."""
    while True:
        handle = _open_locked(path)
        if handle is not None:
            return handle
        if time.monotonic() > deadline:
            raise UserError(f"{path}: another photopic holds this lock. Wait until it has ended.")
        time.sleep(0.05)


def _open_locked(path: Path) -> int | None:
    """None: somebody else holds the lock, or has just deleted the file that was opened here."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, _NEW_FILE_MODE)
    except PermissionError:
        if os.name == "nt" and os.path.exists(path):  # noqa: PTH110 - Windows, while the holder deletes it
            return None
        raise
    with suppress(OSError):
        if _try_lock(handle) is not False and os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    os.close(handle)
    return None


def _release(path: Path, handle: int) -> None:
    """Delete the file and let go of it; who has opened it meanwhile sees that it is gone."""
    if os.name != "nt":
        with suppress(OSError):
            path.unlink()
        os.close(handle)
        return
    _unlock(handle)
    os.close(handle)
    with suppress(OSError):  # Windows keeps a file that somebody has opened: the next holder deletes it
        path.unlink()


def lock_is_held(path: Path) -> bool:
    """Whether somebody holds `lock(path)` now; where there are no locks, whether the file is there."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        locked = _try_lock(handle, shared=True)
        if locked:
            _unlock(handle)
        return not locked
    finally:
        os.close(handle)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int, *, shared: bool = False) -> bool | None:
        """Whether the file could be locked; None where the file system has no locks."""
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # the first byte, which need not be there
        except OSError as error:
            return False if error.errno in _HELD else None
        return True

    def _unlock(handle: int) -> None:
        with suppress(OSError):
            os.lseek(handle, 0, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(handle: int, *, shared: bool = False) -> bool | None:
        """Whether the file could be locked; None where the file system has no locks."""
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            return False if error.errno in _HELD else None
        return True

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
