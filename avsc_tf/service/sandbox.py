"""Decoding of uploads as the server sees it: a clean clip, or a reason; never a crash of anything else."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avsc_tf.service.decode import CLEAN_NAME, CleanClip
from avsc_tf.service.processes import LineProcess, ProcessEndedError
from avsc_tf.service.settings import ClipSettings, DecoderSettings

_START_SECONDS = 60.0
_POLL_SECONDS = 0.1
_PLAIN = {
    "timeout": "takes too long to decode. Send a shorter or smaller clip.",
    "killed": "needs too much memory to decode. Send a shorter or smaller clip.",
    "memory": "needs too much memory to decode. Send a shorter or smaller clip.",
    "crash": "broke the decoder; it is damaged or no recording. Export it again.",
    "unreadable": "cannot be decoded; it is damaged or no recording. Export it again.",
}


@dataclass(frozen=True)
class Wanted:
    """What the networks take."""

    fps: int
    sample_rate_hz: int
    sound: bool
    picture: bool


class RefusedUploadError(Exception):
    """An upload that cannot be converted; `kind` is "limit", "media", "memory", "timeout", "crash", ..."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class CancelledError(Exception):
    """The job was cancelled, or the server is being stopped."""


class Sandbox:
    """Decodes one upload at a time in a forked, confined child of a process that has the decoders loaded.

    Safe to call from several threads; they wait for each other.
    """

    def __init__(self, clip: ClipSettings, decoder: DecoderSettings) -> None:
        self._clip, self._decoder = clip, decoder
        self._process: LineProcess | None = None
        self._lock = threading.Lock()
        self.in_force: tuple[str, ...] = ()  # what the last child could give up, see `confine`
        self.restarts = -1

    @property
    def pid(self) -> int | None:
        """Of the process that forks."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process, if it does not run. Raises ProcessEndedError."""
        if self._process is not None and self._process.is_alive():
            return
        self.close()
        self._process = LineProcess("avsc_tf.service.zygote", environment=_environment(), quiet=True)
        self.restarts += 1
        if self._process.hear(_START_SECONDS) is None:
            self.close()
            raise ProcessEndedError("the decoder does not start")

    def decode(
        self,
        upload: Path,
        folder: Path,
        wanted: Wanted,
        *,
        cancelled: threading.Event | None = None,
        progress: Callable[[float], object] = lambda share: None,
    ) -> tuple[Path, CleanClip]:
        """The clean clip in FOLDER, which must be empty.

        Raises:
            RefusedUploadError: it is not to be had. CancelledError. ProcessEndedError: the forking process died.
        """
        request: dict[str, Any] = {**dataclasses.asdict(wanted), "upload": str(upload), "folder": str(folder)}
        request |= {"clip": dataclasses.asdict(self._clip), "decoder": dataclasses.asdict(self._decoder)}
        with self._lock:
            self.start()
            assert self._process is not None
            try:
                self._process.say(request)
                answer = self._wait(self._process, cancelled, progress)
            except ProcessEndedError:
                self.close()
                raise
        return folder / CLEAN_NAME, self._outcome(answer, upload, folder)

    def _wait(
        self, process: LineProcess, cancelled: threading.Event | None, progress: Callable[[float], object]
    ) -> dict[str, Any]:
        deadline = time.monotonic() + self._decoder.wall_seconds + 10
        has_said = False
        while time.monotonic() < deadline:
            answer = process.hear(_POLL_SECONDS)
            if answer is not None and "share" in answer:
                progress(float(answer["share"]))
            elif answer is not None:
                return answer
            if cancelled is not None and cancelled.is_set() and not has_said:
                process.say({"cancel": True})
                has_said = True
        raise ProcessEndedError("the decoder does not answer")

    def _outcome(self, answer: dict[str, Any], upload: Path, folder: Path) -> CleanClip:
        ended, report = answer.get("ended"), answer.get("report")
        if ended == "cancelled":
            raise CancelledError
        if ended != "exit" or not isinstance(report, dict):
            kind = str(ended) if ended in _PLAIN else "crash"
            raise RefusedUploadError(kind, f"the upload {_PLAIN[kind]}")
        kind = str(report.get("kind"))
        if kind in _PLAIN:
            raise RefusedUploadError(kind, f"the upload {_PLAIN[kind]}")
        if kind:
            raise RefusedUploadError(kind, without_paths(str(report.get("error")), upload, folder))
        self.in_force = tuple(map(str, report["in_force"]))
        return CleanClip(**{**report["clip"], "notes": tuple(map(str, report["clip"]["notes"]))})

    def close(self) -> None:
        """End the process and the child it may have."""
        if self._process is not None:
            self._process.kill()
            self._process = None


def without_paths(message: str, *paths: Path) -> str:
    """A message for people who must not learn where files lie: "the upload" in place of the file."""
    for path in paths:
        for name in (path / CLEAN_NAME, *(path / f"upload{suffix}" for suffix in _SUFFIXES), path):
            message = message.replace(str(name), "the upload")
    return message


_SUFFIXES = (".mp4", ".mkv", ".avi", ".mpg", ".wav", ".flac", ".ogg", ".mp3")


def _environment() -> dict[str, str]:
    """No secret; one thread for linear algebra, so that forking is safe."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    return {**kept, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
