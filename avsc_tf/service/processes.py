"""A Python process of its own that speaks JSON lines: started afresh, ended as a whole."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
MAX_LINE_BYTES = 1_000_000


class ProcessEndedError(Exception):
    """The process is gone, or said what it must not."""


class LineProcess:
    """`python -I` that calls `main()` of a module, with a session of its own."""

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str], quiet: bool = False) -> None:
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
        self._rest = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def say(self, message: Mapping[str, Any]) -> None:
        """Send one line. Raises ProcessEndedError."""
        try:
            os.write(self._in, (json.dumps(message) + "\n").encode())
        except OSError as error:
            raise ProcessEndedError(str(error)) from error

    def hear(self, timeout_seconds: float) -> dict[str, Any] | None:
        """The next line, or None after that time. Raises ProcessEndedError."""
        deadline = time.monotonic() + timeout_seconds
        while b"\n" not in self._rest:
            if not select.select([self._out], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            got = os.read(self._out, 65536)
            self._rest += got
            if not got or len(self._rest) > MAX_LINE_BYTES:
                raise ProcessEndedError("the process ended")
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            message = json.loads(line)
        except ValueError as error:
            raise ProcessEndedError("the process said what is no message") from error
        if not isinstance(message, dict):
            raise ProcessEndedError("the process said what is no message")
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
