"""Jobs in one SQLite file: what was accepted is on the disk, and each job is worked on by one hand at a time.

Write-ahead log with `synchronous=FULL`: a transaction that returned survives a killed process and a power cut. States:
queued -> checking (upload decoded) -> converting -> done, failed or cancelled.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from avsc_tf.core.errors import ServiceError
from avsc_tf.web.database import DatabaseFile

SCHEMA_VERSION = "1"
QUEUED, CHECKING, CONVERTING = "queued", "checking", "converting"
DONE, FAILED, CANCELLED = "done", "failed", "cancelled"
STATES = (QUEUED, CHECKING, CONVERTING, DONE, FAILED, CANCELLED)
ACTIVE, FINISHED = (QUEUED, CHECKING, CONVERTING), (DONE, FAILED, CANCELLED)
ID_BYTES = 18  # 144 random bits: cannot be guessed
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, state TEXT NOT NULL,
    created_at REAL NOT NULL, started_at REAL, finished_at REAL, vocoder TEXT NOT NULL, seed INTEGER NOT NULL,
    name TEXT NOT NULL, media_type TEXT NOT NULL, upload_bytes INTEGER NOT NULL, upload_sha256 TEXT NOT NULL,
    idempotency_key TEXT, starts INTEGER NOT NULL DEFAULT 0, deaths INTEGER NOT NULL DEFAULT 0,
    clip_seconds REAL, result_name TEXT, result_bytes INTEGER NOT NULL DEFAULT 0, notes TEXT NOT NULL DEFAULT '',
    error TEXT, error_kind TEXT, UNIQUE (owner, idempotency_key));
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, number);
CREATE INDEX IF NOT EXISTS jobs_by_owner ON jobs (owner, number);
"""


@dataclass(frozen=True)
class Job:
    """A row; times are seconds since 1970."""

    number: int
    id: str
    owner: str
    state: str
    created_at: float
    started_at: float | None
    finished_at: float | None
    vocoder: str
    seed: int
    name: str
    media_type: str
    upload_bytes: int
    upload_sha256: str
    idempotency_key: str | None
    starts: int
    deaths: int
    clip_seconds: float | None
    result_name: str | None
    result_bytes: int
    notes: str
    error: str | None
    error_kind: str | None


_COLUMNS = ", ".join(f.name for f in fields(Job))


class KeyReusedError(ServiceError):
    """An idempotency key came again with another request."""


class FullError(ServiceError):
    """No room in the queue: for this client (`is_client`) or for anybody."""

    def __init__(self, message: str, *, is_client: bool) -> None:
        super().__init__(message)
        self.is_client = is_client


class JobStore(DatabaseFile):
    """The database of one service. Safe to call from several threads."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises ServiceError where it is no such database."""
        super().__init__(
            path, _SCHEMA, holds={"schema": SCHEMA_VERSION}, error=ServiceError, remedy="Name another --data."
        )

    def _rows(self, where: str, values: tuple[Any, ...] = ()) -> list[Job]:
        with self._lock:
            return [Job(*row) for row in self._db.execute(f"SELECT {_COLUMNS} FROM jobs {where}", values)]

    def add(self, job_id: str, owner: str, values: Mapping[str, Any], *, max_queued: int, max_own: int) -> Job:
        """Accept a job; it is on the disk when this returns. The job of the same idempotency key is returned again.

        Args:
            values: vocoder, seed, name, media_type, upload_bytes, upload_sha256, idempotency_key.
        Raises:
            KeyReusedError: that key stands for another request. FullError: no room.
        """
        key = values["idempotency_key"]
        with self._transaction() as db:
            if key is not None:
                found = self._by_key(db, owner, key)
                if found is not None:
                    if any(getattr(found, n) != values[n] for n in ("vocoder", "seed", "upload_sha256")):
                        raise KeyReusedError("this idempotency key was used for another request")
                    return found
            check_room(*self._room(db, owner), max_queued=max_queued, max_own=max_own)
            names = ("id", "owner", "state", "created_at", *values)
            row = (job_id, owner, QUEUED, time.time(), *values.values())
            db.execute(f"INSERT INTO jobs ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", row)
            return self._one(db, job_id)

    def _by_key(self, db: sqlite3.Connection, owner: str, key: str) -> Job | None:
        where = "WHERE owner = ? AND idempotency_key = ?"
        row = db.execute(f"SELECT {_COLUMNS} FROM jobs {where}", (owner, key)).fetchone()
        return None if row is None else Job(*row)

    def _one(self, db: sqlite3.Connection, job_id: str) -> Job:
        return Job(*db.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job_id,)).fetchone())

    def _room(self, db: sqlite3.Connection, owner: str) -> tuple[int, int]:
        (queued,) = db.execute("SELECT count(*) FROM jobs WHERE state = 'queued'").fetchone()
        active = "state IN ('queued', 'checking', 'converting')"
        (own,) = db.execute(f"SELECT count(*) FROM jobs WHERE owner = ? AND {active}", (owner,)).fetchone()
        return queued, own

    def room(self, owner: str) -> tuple[int, int]:
        """Jobs queued by anybody, and unfinished ones of this owner."""
        with self._lock:
            return self._room(self._db, owner)

    def get(self, job_id: str) -> Job | None:
        """The job of that id."""
        rows = self._rows("WHERE id = ?", (job_id,))
        return rows[0] if rows else None

    def of_owner(self, owner: str, limit: int) -> list[Job]:
        """The owner's jobs, the latest first."""
        return self._rows("WHERE owner = ? ORDER BY number DESC LIMIT ?", (owner, limit))

    def ahead_of(self, job: Job) -> int:
        """Unfinished jobs that were accepted before."""
        with self._lock:
            query = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'checking', 'converting') AND number < ?"
            return int(self._db.execute(query, (job.number,)).fetchone()[0])

    def start_next(self) -> Job | None:
        """Take the oldest queued job: it is `checking` now and its starts are counted."""
        with self._transaction() as db:
            row = db.execute("SELECT id FROM jobs WHERE state = 'queued' ORDER BY number LIMIT 1").fetchone()
            if row is None:
                return None
            db.execute(
                "UPDATE jobs SET state = 'checking', starts = starts + 1, started_at = ? WHERE id = ?",
                (time.time(), row[0]),
            )
            return self._one(db, row[0])

    def converting(self, job_id: str, clip_seconds: float) -> bool:
        """From checking to converting; False where it was cancelled meanwhile."""
        return self._change(job_id, (CHECKING,), state=CONVERTING, clip_seconds=clip_seconds)

    def finish(self, job_id: str, state: str, **values: Any) -> bool:
        """The end of a job that was under way; False where it has ended otherwise meanwhile."""
        return self._change(job_id, (CHECKING, CONVERTING), state=state, finished_at=time.time(), **values)

    def requeue(self, job_id: str, *, died: bool = False, counts: bool = True) -> bool:
        """Back to the queue, in its old place; `died`: it ended its process; else its start may not count."""
        with self._transaction() as db:
            done = db.execute(
                "UPDATE jobs SET state = 'queued', deaths = deaths + ?, starts = starts - ? "
                "WHERE id = ? AND state IN ('checking', 'converting')",
                (int(died), int(not counts), job_id),
            )
            return done.rowcount == 1

    def cancel(self, job_id: str) -> bool:
        """Cancel an unfinished job; False where it has ended."""
        return self._change(job_id, ACTIVE, state=CANCELLED, finished_at=time.time())

    def remove(self, job_id: str) -> bool:
        """Forget a finished job; False where it is not finished."""
        with self._transaction() as db:
            done = db.execute("DELETE FROM jobs WHERE id = ? AND state IN ('done', 'failed', 'cancelled')", (job_id,))
            return done.rowcount == 1

    def _change(self, job_id: str, before: tuple[str, ...], **values: Any) -> bool:
        marks = ", ".join(f"{name} = ?" for name in values)
        with self._transaction() as db:
            done = db.execute(
                f"UPDATE jobs SET {marks} WHERE id = ? AND state IN ({', '.join('?' * len(before))})",
                (*values.values(), job_id, *before),
            )
            return done.rowcount == 1

    def unfinished(self) -> list[Job]:
        """Jobs that were under way, queued ones left out."""
        return self._rows("WHERE state IN ('checking', 'converting') ORDER BY number")

    def finished_before(self, when: float) -> list[Job]:
        """Finished jobs of that age."""
        return self._rows("WHERE finished_at < ? AND state IN ('done', 'failed', 'cancelled')", (when,))

    def ids(self) -> set[str]:
        """Of all jobs."""
        with self._lock:
            return {row[0] for row in self._db.execute("SELECT id FROM jobs")}

    def counts(self) -> dict[str, int]:
        """Jobs in each state."""
        with self._lock:
            found = dict(self._db.execute("SELECT state, count(*) FROM jobs GROUP BY state"))
        return {state: found.get(state, 0) for state in STATES}

    def stored_bytes(self) -> int:
        """Uploads and results of all jobs."""
        with self._lock:
            query = "SELECT coalesce(sum(upload_bytes + result_bytes), 0) FROM jobs"
            return int(self._db.execute(query).fetchone()[0])


def check_room(queued: int, own: int, *, max_queued: int, max_own: int) -> None:
    """Raise FullError where one job more is too many."""
    if own >= max_own:
        raise FullError(f"you have {own} unfinished jobs; at most {max_own} are allowed", is_client=True)
    if queued >= max_queued:
        raise FullError(f"the queue is full ({max_queued} jobs)", is_client=False)


def new_id() -> str:
    """An id that cannot be guessed, safe in addresses and file names."""
    return secrets.token_urlsafe(ID_BYTES)
