"""One SQLite file of a server; what was acknowledged is on the disk.

Write-ahead log with `synchronous=FULL`: a transaction that returned survives a killed process and a power cut.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


class DatabaseFile:
    """Base of the servers' stores. Safe to call from several threads."""

    def __init__(
        self, path: Path, schema: str, *, holds: Mapping[str, str], error: type[Exception], remedy: str
    ) -> None:
        """Open or make the file.

        Args:
            schema: SQL that makes the tables; one of them is `meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)`.
            holds: entries of `meta` that are written into a new file, and must be those of an old one.
            error: raised, with the remedy, where the path is no database, or one with other entries.
        """
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.executescript(schema)
        except (sqlite3.Error, OSError) as reason:
            raise error(f"{path}: cannot be used as a database ({reason}). {remedy}") from reason
        for name, value in holds.items():
            self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, value))
            (found,) = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
            if found != value:
                self._db.close()
                raise error(f"{path}: is of another {name} ({found}, not {value}). {remedy}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
