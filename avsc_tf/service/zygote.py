"""A small process that has the decoders loaded and forks a confined child for each upload.

Requests are JSON lines on standard input: what `decode.clean_copy` takes, or `{"cancel": true}`; one upload at a time.
Answers on standard output: `{"ready": ...}`, `{"share": ...}`, and last `{"ended": ..., "report": ...}`. The child has
a session and an empty folder of its own; it is killed with all it started when its time is up, when its job is
cancelled, and when standard input ends, which it does with the server however that ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

from avsc_tf.core.errors import MediaError
from avsc_tf.service.confine import code_folders, confine, end_with_parent, limit_resources
from avsc_tf.service.decode import LimitError, clean_copy
from avsc_tf.service.settings import ClipSettings, DecoderSettings

MAX_REPORT_BYTES = 64_000


def main() -> None:
    """Serve until standard input ends."""
    import av.logging

    av.logging.set_level(None)
    _warm_up()
    lines = _Lines(sys.stdin.fileno())
    _say({"ready": True, "pid": os.getpid()})
    while (request := lines.next(None)) is not None:
        if "upload" in request:
            _say(_serve(request, lines))


def _warm_up() -> None:
    """Load what a child would load, so that each gets it for nothing."""
    import numpy as np
    import soundfile  # noqa: F401
    import soxr

    soxr.resample(np.zeros(64, np.float32), 48000, 16000)


def _say(message: dict[str, Any]) -> None:
    os.write(1, (json.dumps(message) + "\n").encode())


class _Lines:
    """JSON lines from a descriptor; None at its end."""

    def __init__(self, fd: int) -> None:
        self.fd, self.ended = fd, False
        self._rest = b""

    def next(self, timeout_seconds: float | None) -> dict[str, Any] | None:
        while b"\n" not in self._rest:
            if not select.select([self.fd], [], [], timeout_seconds)[0]:
                return None
            got = os.read(self.fd, 65536)
            if not got:
                self.ended = True
                return None
            self._rest += got
        line, _, self._rest = self._rest.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found


def _serve(request: dict[str, Any], lines: _Lines) -> dict[str, Any]:
    reading, writing = os.pipe()
    own_pid, pid = os.getpid(), os.fork()
    if pid == 0:
        os.close(reading)
        _child(request, writing, own_pid)
    os.close(writing)
    handle = os.pidfd_open(pid)
    deadline = time.monotonic() + request["decoder"]["wall_seconds"]
    report, ended = b"", ""
    try:
        while not ended:
            left = deadline - time.monotonic()
            ready = select.select([reading, handle, lines.fd], [], [], max(0.0, left))[0] if left > 0 else []
            if not ready:
                ended = "timeout"
            if reading in ready:
                report = _collect(reading, report)
            if lines.fd in ready and ("cancel" in (lines.next(0) or {}) or lines.ended):
                ended = "cancelled"
            if handle in ready:
                ended = "exit"
            if len(report) > MAX_REPORT_BYTES:
                ended = "crash"
    finally:
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        report = _drain(reading, report)
        os.close(reading)
        os.close(handle)
    if ended == "exit" and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        ended = {int(signal.SIGXCPU): "timeout", int(signal.SIGKILL): "killed"}.get(number, "crash")
    last = report.rstrip(b"\n").rpartition(b"\n")[2]
    return {"ended": ended, "report": json.loads(last) if ended == "exit" and last else None}


def _collect(reading: int, report: bytes) -> bytes:
    """Pass progress on; keep the rest."""
    report += os.read(reading, 8192)
    while b"\n" in report:
        line, _, rest = report.partition(b"\n")
        if not line.startswith(b'{"share"'):
            break
        with contextlib.suppress(ValueError):
            _say({"share": float(json.loads(line)["share"])})
        report = rest
    return report


def _drain(reading: int, report: bytes) -> bytes:
    os.set_blocking(reading, False)
    with contextlib.suppress(BlockingIOError):
        while len(report) <= MAX_REPORT_BYTES and (more := os.read(reading, 8192)):
            report += more
    return report


def _child(request: dict[str, Any], writing: int, parent_pid: int) -> None:
    """Never returns."""
    try:
        end_with_parent(parent_pid)
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        keep = os.dup2(writing, 3)
        os.closerange(4, 4096)
        _tell(keep, _decode(request, keep))
        os._exit(0)
    except BaseException:
        os._exit(1)


def _tell(fd: int, message: dict[str, Any]) -> None:
    os.write(fd, (json.dumps(message) + "\n").encode()[:MAX_REPORT_BYTES])


def _decode(request: dict[str, Any], keep: int) -> dict[str, Any]:
    upload, folder = Path(request["upload"]), Path(request["folder"])
    decoder = DecoderSettings(**request["decoder"])
    os.umask(0o077)
    os.chdir(folder)
    limit_resources(
        memory_bytes=decoder.memory_bytes,
        cpu_seconds=decoder.cpu_seconds,
        file_bytes=decoder.output_bytes,
        open_files=decoder.open_files,
    )
    in_force = confine(readable=[*code_folders(), upload], writable=folder)
    shown = 0.0

    def progress(share: float) -> None:
        nonlocal shown
        if share - shown >= 0.02:
            shown = share
            _tell(keep, {"share": round(share, 3)})

    try:
        clip = clean_copy(
            upload,
            folder,
            fps=request["fps"],
            sample_rate_hz=request["sample_rate_hz"],
            clip=ClipSettings(**request["clip"]),
            sound=request["sound"],
            picture=request["picture"],
            progress=progress,
        )
    except LimitError as error:
        return {"kind": "limit", "error": str(error)}
    except MediaError as error:
        return {"kind": "media", "error": str(error)}
    except MemoryError:
        return {"kind": "memory", "error": ""}
    except Exception as error:  # whatever a decoder makes of a broken file ends here, with its kind
        return {"kind": "unreadable", "error": type(error).__name__}
    return {"kind": "", "clip": dataclasses.asdict(clip), "in_force": in_force}
