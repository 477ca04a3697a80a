"""A Python process of its own that exchanges JSON lines with this one: its two ends."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
MAX_LINE_BYTES = 1_000_000
SEND_SECONDS = 30.0  # for a process to take a line


class ProcessEndedError(Exception):
    """The process is gone, or said what it must not."""


class LineProcess:
    """`python -I` that calls `main()` of a module, with a session of its own.

    Args:
        environment: all of its environment variables.
        quiet: discard its standard error.
        max_line_bytes: of a line it sends; a longer one counts as its end.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str],
        quiet: bool = False,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        code = f"import sys; sys.path.insert(0, {str(_ROOT)!r}); from {module} import main; main()"
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            env=dict(environment),
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)  # a process that reads nothing must not hold up this one
        self._max_line_bytes = max_line_bytes
        self._rest = bytearray()

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def say(self, message: Mapping[str, Any], timeout_seconds: float = SEND_SECONDS) -> None:
        """Send one line. Raises ProcessEndedError, also where it is not taken in time."""
        deadline = time.monotonic() + timeout_seconds
        line = memoryview((json.dumps(message) + "\n").encode())
        try:
            while line:
                if not select.select([], [self._in], [], max(0.0, deadline - time.monotonic()))[1]:
                    raise ProcessEndedError("the process takes no message")
                line = line[os.write(self._in, line) :]
        except OSError as error:
            raise ProcessEndedError(str(error)) from error

    def hear(self, timeout_seconds: float) -> dict[str, Any] | None:
        """The next line, or None after that time. Raises ProcessEndedError."""
        deadline = time.monotonic() + timeout_seconds
        searched = 0
        while (end := self._rest.find(b"\n", searched)) < 0:
            searched = len(self._rest)
            if not select.select([self._out], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            got = os.read(self._out, 65536)
            self._rest += got
            if not got or len(self._rest) > self._max_line_bytes:
                raise ProcessEndedError("the process ended")
        line = bytes(self._rest[:end])
        del self._rest[: end + 1]
        try:
            message = json.loads(line)
        except ValueError as error:
            raise ProcessEndedError("the process sent a line that is not JSON") from error
        if not isinstance(message, dict):
            raise ProcessEndedError("the process sent a line that is not an object")
        return message

    def kill(self) -> None:
        """End it and all it started, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class LineChannel:
    """The other end, in the process itself, which ends when its standard input does, whatever it is doing."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # what libraries print must not look like a message
        self.messages: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            self.take(json.loads(line))
        os._exit(0)

    def take(self, message: dict[str, Any]) -> None:
        """Called in the listening thread with each message that comes."""
        self.messages.put(message)

    def say(self, **message: Any) -> None:
        """Send one line."""
        self._out.write((json.dumps(message) + "\n").encode())
        self._out.flush()
