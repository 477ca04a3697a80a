"""Raters, their pages and their answers in one SQLite file; what was acknowledged is on the disk.

Write-ahead log with `synchronous=FULL`: a transaction that returned survives a killed process and a power cut. One
transaction an answer; an answer given again replaces the former.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avsc_tf.core.errors import ListeningError
from avsc_tf.listening.design import HIGHEST, Design
from avsc_tf.listening.plan import Page, Usage, plan_pages
from avsc_tf.web.database import DatabaseFile

SCHEMA_VERSION = "1"
LEFT_AFTER_SECONDS = 3600.0  # pages that a silent rater has not done count as not given out
MAX_SECONDS_ON_PAGE = 86400.0
GOES_ON = 0.97  # chance that a rater does one page more: 33 pages on average; the paper's raters did 26.9
_CODE_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # nothing that reads as something else
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS raters (
    number INTEGER PRIMARY KEY AUTOINCREMENT, rater TEXT NOT NULL UNIQUE, code TEXT NOT NULL UNIQUE,
    created_at REAL NOT NULL, seen_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS pages (
    rater TEXT NOT NULL REFERENCES raters (rater), position INTEGER NOT NULL, subject TEXT NOT NULL,
    a TEXT, b TEXT, x TEXT, is_check INTEGER NOT NULL, PRIMARY KEY (rater, position));
CREATE TABLE IF NOT EXISTS answers (
    rater TEXT NOT NULL, position INTEGER NOT NULL, question TEXT NOT NULL, value INTEGER NOT NULL,
    seconds REAL NOT NULL, answered_at REAL NOT NULL, PRIMARY KEY (rater, position, question),
    FOREIGN KEY (rater, position) REFERENCES pages (rater, position));
"""
_PAGES = "SELECT subject, a, b, x, is_check FROM pages WHERE rater = ?"


class RefusedError(ListeningError):
    """An answer that cannot be taken; `status` is the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class RaterState:
    """Where a rater stands: pages by position from 1, and answers by position and question."""

    rater: str
    code: str
    pages: list[Page]
    answers: dict[int, dict[str, int]]


class AnswerStore(DatabaseFile):
    """The database of one test. Safe to call from several threads."""

    def __init__(self, path: Path, design: Design) -> None:
        """Open or make the file. Raises ListeningError where it is not a database, or one of another test."""
        self._design = design
        holds = {"test": design.test, "schema": SCHEMA_VERSION}
        super().__init__(path, _SCHEMA, holds=holds, error=ListeningError, remedy="Name another file.")

    def register(self) -> RaterState:
        """A new rater with pages of their own: what has the fewest ratings comes first."""
        rater, code = secrets.token_urlsafe(12), "".join(secrets.choice(_CODE_ALPHABET) for _ in range(8))
        now = time.time()
        with self._transaction() as db:
            cursor = db.execute(
                "INSERT INTO raters (rater, code, created_at, seen_at) VALUES (?, ?, ?, ?)", (rater, code, now, now)
            )
            rng = np.random.default_rng([self._design.seed, cursor.lastrowid or 0])
            pages = plan_pages(self._design, self._usage(db, now), rng)
            db.executemany(
                "INSERT INTO pages VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(rater, i, p.subject, p.a, p.b, p.x, p.is_check) for i, p in enumerate(pages, start=1)],
            )
        return RaterState(rater, code, pages, {})

    def _usage(self, db: sqlite3.Connection, now: float) -> Usage:
        """Ratings that were given, and those that raters still at work will probably give."""
        clips: dict[str, float] = defaultdict(float)
        pairs: dict[tuple[str, str, str], float] = defaultdict(float)
        order = {name: i for i, name in enumerate(self._design.systems)}
        rows = db.execute(
            """WITH done AS (SELECT DISTINCT rater, position FROM answers),
                    far AS (SELECT rater, max(position) AS reached FROM done GROUP BY rater)
               SELECT p.subject, p.a, p.b, d.position IS NOT NULL, p.position - coalesce(f.reached, 0)
               FROM pages p JOIN raters r USING (rater) LEFT JOIN done d USING (rater, position)
                    LEFT JOIN far f USING (rater)
               WHERE NOT p.is_check AND (d.position IS NOT NULL OR r.seen_at > ?)""",
            (now - LEFT_AFTER_SECONDS,),
        )
        for subject, a, b, is_done, ahead in rows:
            weight = 1.0 if is_done else GOES_ON**ahead
            clips[subject] += weight
            if a is not None:
                first, second = sorted((self._design.clips[s] for s in (a, b)), key=lambda clip: order[clip.system])
                pairs[(first.utterance, first.system, second.system)] += weight
        return Usage(clips, pairs)

    def state(self, rater: str) -> RaterState:
        """Where the rater stands. Raises RefusedError (404) where nobody has that name."""
        with self._transaction() as db:
            code = self._seen(db, rater)
            pages = [_page(row) for row in db.execute(_PAGES + " ORDER BY position", (rater,))]
            answers: dict[int, dict[str, int]] = {}
            for position, question, value in db.execute(
                "SELECT position, question, value FROM answers WHERE rater = ?", (rater,)
            ):
                answers.setdefault(position, {})[question] = value
        return RaterState(rater, code, pages, answers)

    def answer(self, rater: str, position: int, question: str, value: int, seconds: float) -> None:
        """Keep one answer; it is on the disk when this returns.

        Args:
            position: of the rater's page, from 1.
            value: 1 to the question's highest.
            seconds: that the page had been in view when it was given.
        Raises:
            RefusedError: 404 for an unknown rater or a page that is not theirs, 422 for anything else that is wrong.
        """
        with self._transaction() as db:
            self._seen(db, rater)
            row = db.execute(_PAGES + " AND position = ?", (rater, position)).fetchone()
            if row is None:
                raise RefusedError(404, f"page {position} is not one of this rater's pages")
            questions = _page(row).questions
            if question not in questions:
                raise RefusedError(422, f"page {position} asks {', '.join(questions)}; not {question[:40]!r}")
            if not 1 <= value <= HIGHEST[question]:
                raise RefusedError(422, f"{question} is answered from 1 to {HIGHEST[question]}, not {value}")
            if not 0 <= seconds <= MAX_SECONDS_ON_PAGE:
                raise RefusedError(422, f"seconds must be from 0 to {MAX_SECONDS_ON_PAGE:.0f}, not {seconds}")
            db.execute(
                """INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (rater, position, question)
                   DO UPDATE SET value = excluded.value, seconds = excluded.seconds, answered_at = excluded.answered_at
                """,
                (rater, position, question, value, seconds, time.time()),
            )

    @staticmethod
    def _seen(db: sqlite3.Connection, rater: str) -> str:
        """Note that the rater is at work; their code."""
        row = db.execute(
            "UPDATE raters SET seen_at = ? WHERE rater = ? RETURNING code", (time.time(), rater)
        ).fetchone()
        if row is None:
            raise RefusedError(404, "this rater is not known here; start the test anew")
        return row[0]


def _page(row: tuple[str, str | None, str | None, str | None, int]) -> Page:
    """A row of `_PAGES`."""
    return Page(*row[:4], bool(row[4]))
