"""What is known about the files of one data set, in a SQLite file under the cache folder.

Safe to delete; a damaged file is replaced, and where nothing can be written the scan goes on without.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import PIL

from photopic.files import cache_dir

_SCHEMA = 1  # raise it when the meaning of a column changes
_LOCK_WAIT_S = 30.0
_CHUNK_ROWS = 16384

Fact = tuple[bytes, int, int, str, str]
"""SHA-256 (empty: not read), width, height, mode, state."""

_log = logging.getLogger(__name__)


class IndexCache:
    """Facts by path, valid while a file's size and stamp stay the same. For use by one thread."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._connection: sqlite3.Connection | None = None
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._connection = self._open()
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    @classmethod
    def of(cls, location: Path) -> IndexCache:
        """The cache of the data at this place: a folder, zip or manifest."""
        key = hashlib.sha256(str(location.resolve()).encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return cls(cache_dir() / "index" / f"{key}.sqlite")

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.file, timeout=_LOCK_WAIT_S, isolation_level=None)
        try:
            self._prepare(connection)
        except sqlite3.OperationalError:
            connection.close()
            raise
        except sqlite3.DatabaseError:  # not a database any more
            connection.close()
            self.file.unlink(missing_ok=True)
            connection = sqlite3.connect(self.file, timeout=_LOCK_WAIT_S, isolation_level=None)
            self._prepare(connection)
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # No write-ahead log: it does not work on network drives, and there is one writer.
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = NORMAL")
        # A newer Pillow may read what an older one could not.
        version = f"{_SCHEMA} pillow {PIL.__version__}"
        connection.execute("CREATE TABLE IF NOT EXISTS about (version TEXT)")
        if connection.execute("SELECT version FROM about").fetchall() != [(version,)]:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DROP TABLE IF EXISTS files")
            connection.execute("DELETE FROM about")
            connection.execute("INSERT INTO about VALUES (?)", (version,))
            connection.execute(
                "CREATE TABLE files (path TEXT PRIMARY KEY, size INTEGER, stamp INTEGER, sha256 BLOB,"
                " width INTEGER, height INTEGER, mode TEXT, state TEXT) WITHOUT ROWID"
            )
            connection.execute("COMMIT")

    def load(
        self, paths: Sequence[str], sizes: Sequence[int], stamps: Sequence[int]
    ) -> Iterator[list[tuple[int, Fact]]]:
        """What is known of files that have not changed: lists of (position, fact). Forgets those gone.

        paths must be sorted: the table is read in the same order, beside them.
        """
        if self._connection is None:
            return
        gone: list[tuple[str]] = []
        known: list[tuple[int, Fact]] = []
        try:
            row, n = 0, len(paths)
            for path, size, stamp, *fact in self._connection.execute("SELECT * FROM files ORDER BY path"):
                while row < n and paths[row] < path:
                    row += 1
                if row == n or paths[row] != path:
                    gone.append((path,))
                elif sizes[row] == size and stamps[row] == stamp:
                    known.append((row, tuple(fact)))
                if len(known) == _CHUNK_ROWS:
                    yield known
                    known = []
            if gone:
                self._write("DELETE FROM files WHERE path = ?", gone)
        except sqlite3.Error as error:
            self._give_up(error)
            with suppress(OSError):
                self.file.unlink(missing_ok=True)
        if known:
            yield known

    def save(self, rows: Sequence[tuple[str, int, int, Fact]]) -> None:
        """Remember (path, size, stamp, fact) of each row."""
        if rows and self._connection is not None:
            try:
                self._write(
                    "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [(path, size, stamp, *fact) for path, size, stamp, fact in rows],
                )
            except sqlite3.Error as error:
                self._give_up(error)

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        assert self._connection is not None
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(statement, rows)
        self._connection.execute("COMMIT")

    def _give_up(self, error: Exception) -> None:
        """A full or read-only disk costs the next scan some time, and nothing else."""
        _log.warning("%s: the index is not kept (%s)", self.file, error)
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
