"""How far the jobs under way are, and how long they will take: in memory, for the page and its events."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from dataclasses import dataclass, replace

STAGES = ("check", "read", "speak", "paint", "finish")
_FIRST_GUESS = {"check": 0.2, "read": 0.6, "speak": 2.0, "paint": 0.6, "finish": 0.1}  # seconds a second of clip
_FIRST_CLIP_SECONDS = 5.0


@dataclass(frozen=True)
class Progress:
    """Of one job; `share` of the stage, `since` on the monotonic clock."""

    stage: str
    share: float
    since: float
    vocoder: str
    clip_seconds: float | None
    number: int


class ProgressBoard:
    """Written by the threads that work, read by the server. Learns from finished stages how long each takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Progress] = {}
        self._numbers = itertools.count(1)
        self._pace: dict[tuple[str, str], float] = {}  # stage and vocoder -> seconds a second of clip
        self.run = secrets.token_hex(4)  # of this server: event ids of another one say nothing

    def at(self, job_id: str, stage: str, share: float, *, vocoder: str, clip_seconds: float | None) -> None:
        """A job has come so far."""
        now = time.monotonic()
        with self._lock:
            before = self._jobs.get(job_id)
            is_same = before is not None and before.stage == stage
            if before is not None and not is_same and before.clip_seconds:
                self._learn(before, now)
            since = before.since if before is not None and is_same else now
            share = max(share, before.share) if before is not None and is_same else share
            self._jobs[job_id] = Progress(stage, share, since, vocoder, clip_seconds, next(self._numbers))

    def knows(self, job_id: str, clip_seconds: float) -> None:
        """The clip's length has become known."""
        with self._lock:
            if job_id in self._jobs:
                self._jobs[job_id] = replace(self._jobs[job_id], clip_seconds=clip_seconds)

    def _learn(self, before: Progress, now: float) -> None:
        assert before.clip_seconds
        pace = (now - before.since) / before.clip_seconds
        key = (before.stage, before.vocoder)
        self._pace[key] = pace if key not in self._pace else 0.7 * self._pace[key] + 0.3 * pace

    def drop(self, job_id: str) -> None:
        """A job has ended, or waits again."""
        with self._lock:
            before = self._jobs.pop(job_id, None)
            if before is not None and before.stage == "finish" and before.clip_seconds:
                self._learn(before, time.monotonic())

    def get(self, job_id: str) -> Progress | None:
        """Of a job under way."""
        with self._lock:
            return self._jobs.get(job_id)

    def seconds_left(self, progress: Progress) -> float:
        """An estimate, from the paces of former jobs."""
        seconds = progress.clip_seconds or _FIRST_CLIP_SECONDS
        now = time.monotonic()
        with self._lock:
            paces = {stage: self._pace.get((stage, progress.vocoder), _FIRST_GUESS[stage]) for stage in STAGES}
        spent = now - progress.since
        usual = paces[progress.stage] * seconds
        here = (
            spent * (1 - progress.share) / progress.share if progress.share > 0.1 else max(usual - spent, 0.1 * usual)
        )
        later = STAGES[STAGES.index(progress.stage) + 1 :]
        return here + sum(paces[stage] * seconds for stage in later)

    def overall(self, progress: Progress) -> float:
        """The share of the whole job that is done, between 0 and 1."""
        with self._lock:
            paces = {stage: self._pace.get((stage, progress.vocoder), _FIRST_GUESS[stage]) for stage in STAGES}
        usual = paces[progress.stage] * (progress.clip_seconds or _FIRST_CLIP_SECONDS)
        share = max(progress.share, min(0.9, (time.monotonic() - progress.since) / usual) if usual else 0.0)
        done = sum(paces[stage] for stage in STAGES[: STAGES.index(progress.stage)]) + paces[progress.stage] * share
        return min(0.99, done / sum(paces.values()))
