"""Room in a cache folder: how much may be used, and what is deleted first.

A store is a data file with a JSON file beside it, whose modification time is that of last use; while the
store is being made the JSON file is not there yet, and the data file's own time counts. Other files of the
same stem belong to it. Deleting one is always safe: it is made again when it is needed.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from photopic.errors import ConfigError, DataError

_DEFAULT_LIMIT = 20 * 10**9
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_STALE_TEMP_S = 3600.0  # a temporary file not written to for so long was left by a process that died


def limit_bytes() -> int:
    """What PHOTOPIC_CACHE_LIMIT allows ("20 GB", "500MB", or bytes); 20 GB when it is not set.

    Raises ConfigError for what is no size.
    """
    text = os.environ.get("PHOTOPIC_CACHE_LIMIT", "").strip()
    if not text:
        return _DEFAULT_LIMIT
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?B?)", text.upper())
    if match is None:
        raise ConfigError(f'PHOTOPIC_CACHE_LIMIT="{text}" is not a size. Write for example "20 GB".')
    unit = match[2] if match[2].endswith("B") or not match[2] else f"{match[2]}B"
    return int(float(match[1]) * _UNITS[unit])


def make_room(folder: Path, needed: int, *, suffix: str) -> None:
    """Delete the stores (files with this suffix) not used for longest until `needed` bytes fit the limit.

    Raises DataError when they never fit, or when the disk has no room for them.
    """
    limit = limit_bytes()
    if needed > limit:
        raise DataError(
            f"the decoded images need {needed / 1e9:.1f} GB, but stores are limited to {limit / 1e9:.1f} GB. "
            "Choose a smaller size, or set PHOTOPIC_CACHE_LIMIT higher."
        )
    stores = sorted(_stores(folder, suffix))
    total = sum(size for _, _, size in stores)
    for _, path, size in stores:
        if total + needed <= limit:
            break
        if _delete_store(path):
            total -= size
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):  # among others, when its process renames it at this moment
            if time.time() - path.stat().st_mtime > _STALE_TEMP_S:
                path.unlink()
    if shutil.disk_usage(folder).free < needed:
        raise cache_error(folder, OSError(errno.ENOSPC, "no space left"))


def _stores(folder: Path, suffix: str) -> Iterator[tuple[float, Path, int]]:
    """When each store was last used, its file and its bytes.

    Other processes make and delete stores meanwhile: what is gone when it is looked at is left out.
    """
    for path in folder.glob(f"*{suffix}"):
        with suppress(FileNotFoundError):
            status = path.stat()
            last_used = status.st_mtime
            with suppress(FileNotFoundError):
                last_used = path.with_suffix(".json").stat().st_mtime
            yield last_used, path, status.st_size


def _delete_store(path: Path) -> bool:
    """Whether it is gone. One that is in use stays on Windows, and stays readable to its user elsewhere."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    for companion in path.parent.glob(f"{path.stem}.*"):
        if companion.suffix != ".lock":
            with suppress(OSError):
                companion.unlink()
    return True


def cache_error(folder: Path, error: OSError) -> DataError:
    """What a failed write into the cache means to the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError(
            f"{folder}: the disk is full; nothing half-written was left. Free some space, or set "
            "PHOTOPIC_CACHE to a folder on another disk."
        )
    reason = error.strerror or str(error)
    return DataError(f"{folder}: cannot write here ({reason}). Set PHOTOPIC_CACHE to a writable folder.")
