"""The converting process as the server sees it: started, watched, ended and started again."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from avsc_tf.service.processes import LineProcess, ProcessEndedError
from avsc_tf.service.sandbox import CancelledError, Wanted
from avsc_tf.service.settings import ProvenanceSettings
from avsc_tf.service.worker import UNEXPECTED

_POLL_SECONDS = 0.1
_CANCEL_SECONDS = 5.0  # between two stages a job ends by itself; then its process is ended


class NotLoadedError(Exception):
    """The bundle cannot be loaded; `kind` is the error's class."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class NotConvertedError(Exception):
    """A clip that cannot be converted, in the converter's words; `kind` is the error's class."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class TooSlowError(Exception):
    """The conversion took longer than is allowed."""


class ConversionProcess:
    """One process with the networks of a bundle loaded."""

    def __init__(
        self,
        bundle: Sequence[Path],
        vocoders: Sequence[str],
        *,
        provenance: ProvenanceSettings,
        hidden_variables: Sequence[str],
    ) -> None:
        runs = [str(run.resolve()) for run in bundle]
        asked = {"bundle": runs, "vocoders": list(vocoders), "provenance": dataclasses.asdict(provenance)}
        self._argument = json.dumps(asked)
        self._hidden = set(hidden_variables)
        self._process: LineProcess | None = None
        self.wanted: Wanted | None = None
        self.vocoders: tuple[str, ...] = ()
        self.restarts = -1

    @property
    def pid(self) -> int | None:
        """Of the process, while it runs."""
        return None if self._process is None else self._process.pid

    @property
    def is_ready(self) -> bool:
        """Whether it runs and has its networks."""
        return self.wanted is not None and self._process is not None and self._process.is_alive()

    def start(self, *, stopping: threading.Event, timeout_seconds: float) -> None:
        """Start it, if it does not run, and wait for its networks.

        Raises:
            NotLoadedError: the bundle's own error. ProcessEndedError: it died, or takes too long. CancelledError.
        """
        if self.is_ready:
            return
        self.close()
        environment = {name: value for name, value in os.environ.items() if name not in self._hidden}
        self._process = LineProcess("avsc_tf.service.worker", self._argument, environment=environment)
        self.restarts += 1
        deadline = time.monotonic() + timeout_seconds
        answer = None
        try:
            while answer is None and time.monotonic() < deadline:
                if stopping.is_set():
                    raise CancelledError
                answer = self._process.hear(_POLL_SECONDS)
            if answer is None:
                raise ProcessEndedError("the networks are not loaded in time")
        except (ProcessEndedError, CancelledError):
            self.close()
            raise
        if "failed" in answer:
            self.close()
            raise NotLoadedError(str(answer["kind"]), str(answer["failed"]))
        ready = dict(answer["ready"])
        self.vocoders = tuple(ready.pop("vocoders"))
        self.wanted = Wanted(**ready)

    def convert(
        self,
        job: dict[str, Any],
        *,
        cancelled: threading.Event,
        max_seconds: float,
        progress: Callable[[str, float], object],
    ) -> list[str]:
        """Convert `{"clip", "output", "vocoder", "seed"}`; notes on it.

        Raises:
            NotConvertedError: the converter's own error. CancelledError. TooSlowError. ProcessEndedError: it died.
        """
        assert self._process is not None
        deadline = time.monotonic() + max_seconds
        given_up: float | None = None
        try:
            self._process.say(job)
            while True:
                answer = self._process.hear(_POLL_SECONDS)
                now = time.monotonic()
                if answer is not None and "stage" in answer:
                    progress(str(answer["stage"]), float(answer["share"]))
                elif answer is not None:
                    if answer.get("kind") == UNEXPECTED:
                        self.close()
                    return _outcome(answer)
                if cancelled.is_set() and given_up is None:
                    self._process.say({"cancel": True})
                    given_up = now
                if given_up is not None and now - given_up > _CANCEL_SECONDS:
                    self.close()
                    raise CancelledError
                if now > deadline:
                    self.close()
                    raise TooSlowError
        except ProcessEndedError:
            self.close()
            raise

    def close(self) -> None:
        """End it."""
        self.wanted = None
        if self._process is not None:
            self._process.kill()
            self._process = None


def _outcome(answer: dict[str, Any]) -> list[str]:
    if "done" in answer:
        return [str(note) for note in answer["done"]["notes"]]
    if answer.get("kind") == "cancelled":
        raise CancelledError
    raise NotConvertedError(str(answer.get("kind")), str(answer.get("error")))
