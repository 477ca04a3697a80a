"""The same application by uvicorn and on Ray Serve: equal answers, jobs as well; nothing to reach from outside."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

pytest.importorskip("ray.serve", reason="Ray Serve (extra `ray`) is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own warnings
START_SECONDS = 120.0
REQUESTS = [
    ("GET", "/health/live", b""),
    ("GET", "/v1/models/linear", b""),
    ("GET", "/v1/models/linear/metadata", b""),
    ("GET", "/v1/models/nobody", b""),
    ("POST", "/v1/models/linear:predict", b'{"instances": [[1, 2, 3]]}'),
    ("POST", "/v1/models/linear:predict", b'{"instances": [[1, 2]]}'),
    ("POST", "/v1/models/linear/versions/1:predict", b'{"inputs": [[1, 2, 3]]}'),
    ("POST", "/v1/models/linear:predict", b"{"),
    ("POST", "/v1/models/a%2Fb:predict", b"{}"),
    ("GET", "/v1/conversions", b""),
    ("GET", "/v1/conversions/AAAAAAAAAAAAAAAAAAAAAAAA", b""),
    ("POST", "/v1/conversions?vocoder=none", b"x"),
    ("GET", "/nowhere", b""),
    ("GET", "/openapi.json", b""),
]


class Tool:
    """tools/serve.py in its own process."""

    def __init__(self, root: Path, bundle: Path, data: Path, *more: str) -> None:
        command = [sys.executable, str(root / "tools" / "serve.py"), "--bundle", str(bundle), "--port", "0"]
        command += ["--data", str(data), *more]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        self.process = subprocess.Popen(
            command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.port = self._port()

    def _port(self) -> int:
        deadline, said = time.monotonic() + START_SECONDS, ""
        while time.monotonic() < deadline and self.process.poll() is None:
            if select.select([self.process.stdout], [], [], 1.0)[0]:
                said += self.process.stdout.readline()
                if found := re.search(r"http://127\.0\.0\.1:(\d+)/ converts", said):
                    return int(found[1])
        raise AssertionError(f"it did not start: {said} {self.process.communicate()[1]}")

    def request(self, method: str, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def stop(self) -> str:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.communicate(timeout=60)[1]
        finally:
            self.process.kill()


@contextlib.contextmanager
def served(*args: object) -> Iterator[Tool]:
    tool = Tool(*args)
    try:
        yield tool
    finally:
        tool.stop()


def descendants(process: int) -> list[int]:
    done = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in done.splitlines()]
    found, waiting = [], [process]
    while waiting:
        parent = waiting.pop()
        children = [child for child, of in pairs if of == parent]
        found += children
        waiting += children
    return found


def listening(processes: list[int]) -> set[str]:
    """Addresses, in the hexadecimal of /proc/net, that processes listen at."""
    sockets = set()
    for process in processes:
        with contextlib.suppress(OSError):
            for link in Path(f"/proc/{process}/fd").iterdir():
                with contextlib.suppress(OSError):
                    sockets.add(os.readlink(link))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text(encoding="utf-8").splitlines()[1:]:
            local, state, inode = (line.split()[n] for n in (1, 3, 9))
            if state == "0A" and f"socket:[{inode}]" in sockets:
                found.add(local.split(":")[0])
    return found


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}  # 127.0.0.1, and as an IPv4 address within IPv6


def test_equal_answers_and_a_clean_end(root: Path, tiny_bundle: Path, model_folder: Path, tmp_path: Path) -> None:
    models = ("--models", str(model_folder))
    with served(root, tiny_bundle, tmp_path / "plain", *models) as plain:
        expected = [plain.request(*request) for request in REQUESTS]
    with served(root, tiny_bundle, tmp_path / "ray", *models, "--ray") as ray:
        assert [ray.request(*request) for request in REQUESTS] == expected
        processes = descendants(ray.process.pid)
        assert listening(processes) == LOOPBACK
        errors = ray.stop()
    assert ray.process.returncode == 0
    assert "the queue is kept" in errors and "Traceback" not in errors
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{p}").exists() for p in processes) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [p for p in processes if Path(f"/proc/{p}").exists()]
    assert {200, 400, 404, 422} <= {status for status, _ in expected}
    assert json.loads(expected[4][1]) == {"predictions": [[42.0, 0.9000000357627869]]}


def wait_for_end(tool: Tool, job: str, seconds: float) -> dict:
    deadline = time.monotonic() + seconds
    state: dict = {}
    while time.monotonic() < deadline and state.get("state") not in ("done", "failed", "cancelled"):
        with contextlib.suppress(OSError, ValueError):  # while the replica starts again there is no answer
            status, body = tool.request("GET", f"/v1/conversions/{job}", b"")
            state = json.loads(body) if status == 200 else state
        time.sleep(0.1)
    return state


def test_a_killed_replica_goes_on_with_the_queue(root: Path, tiny_bundle: Path, clip: Path, tmp_path: Path) -> None:
    settings = ("--set", "conversion.offered=[griffin-lim]", "--set", "conversion.vocoder=griffin-lim")
    with served(root, tiny_bundle, tmp_path / "ray", "--ray", *settings) as tool:
        status, body = tool.request("POST", "/v1/conversions", clip.read_bytes(), **{"content-type": "video/mp4"})
        assert status == 202, body
        job = json.loads(body)["id"]
        (replica,) = [
            p for p in descendants(tool.process.pid) if b"ServeReplica" in Path(f"/proc/{p}/cmdline").read_bytes()
        ]
        os.kill(replica, signal.SIGKILL)
        assert wait_for_end(tool, job, 150)["state"] == "done"  # some 30 s where nothing else computes
        status, video = tool.request("GET", f"/v1/conversions/{job}/result", b"")
        assert (status, video[4:8]) == (200, b"ftyp")
