"""Servers that are killed or stopped: every accepted job ends, once, and nothing is left behind."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avsc_tf.media.video import read_frames

pytestmark = pytest.mark.slow


def test_a_killed_server_goes_on(serve_tiny: Callable[..., Any], paint: Any, clip: Path, tmp_path: Path) -> None:
    """SIGKILL while one is converted, one is decoded, one waits and one is on its way."""
    server = serve_tiny("jobs.max_starts=9")
    client = server.client
    clips = [paint(tmp_path / f"{n}.mp4", hz=120 + 20 * n, seconds=0.6 + 0.4 * n) for n in range(4)]
    ids = [client.post_clip(path.read_bytes()).json()["id"] for path in clips]
    first = client.wait(ids[0])
    assert first["state"] == "done"
    for stage in ("converting", "checking"):
        jobs = reversed(client.get("/v1/conversions").json()["conversions"])
        job = next(job for job in jobs if job["state"] != "done")
        client.wait(job["id"], stage, "converting", "done")
        server.end(signal.SIGKILL)
        (server.data / "uploads" / "orphan.part").write_bytes(b"half an upload")
        server.start()
    jobs = [client.wait(job_id) for job_id in ids]
    assert [job["state"] for job in jobs] == ["done"] * 4
    assert jobs[0]["finished_at"] == first["finished_at"]  # what was done is not done again
    for job, seconds in zip(jobs, (0.6, 1.0, 1.4, 1.8), strict=True):
        made = tmp_path / "made.mp4"
        made.write_bytes(client.get(job["links"]["result"]).content)
        assert len(list(read_frames(made, fps=25))) == round(25 * seconds)  # each its own
    assert sorted(path.stem for path in (server.data / "results").iterdir()) == sorted(ids)
    assert sorted(path.name for path in (server.data / "uploads").iterdir()) == sorted(ids)
    assert not list((server.data / "work").iterdir())


def processes_of(data: Path) -> list[int]:
    """Processes whose memory maps, arguments or folders name the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if str(data) in (path / "cmdline").read_text(encoding="utf-8") or str(data) in str(
                (path / "cwd").resolve()
            ):
                found.append(int(path.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_stop_is_orderly(serve_tiny: Callable[..., Any], paint: Any, tmp_path: Path, number: int, code: int) -> None:
    """The job under way goes back into the queue, open streams end, the exit code says which signal it was."""
    server = serve_tiny()
    job = server.client.post_clip(paint(tmp_path / "x.mp4", seconds=3).read_bytes()).json()
    server.client.wait(job["id"], "converting")
    import http.client

    stream = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    stream.request("GET", job["links"]["events"])
    answer = stream.getresponse()
    answer.read(10)
    began = time.monotonic()
    returned, said = server.end(number)
    assert returned == code and time.monotonic() - began < 30 and "Traceback" not in said
    assert "queue" in said
    answer.read()  # ends, and does not hang
    stream.close()
    assert processes_of(server.data) == []
    server.start()
    state = server.client.get(job["links"]["self"]).json()
    assert state["state"] in ("queued", "checking", "converting", "done")
    if number == signal.SIGTERM:  # once is enough
        assert server.client.wait(job["id"])["state"] == "done"


def test_a_second_server_on_the_same_folder(serve_tiny: Callable[..., Any]) -> None:
    server = serve_tiny()
    other = type(server)(server.bundle, server.data)
    with pytest.raises(AssertionError, match="another server uses it"):
        other.start()
    assert other.process.returncode == 2
