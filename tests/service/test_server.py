"""What the server takes and refuses, over a socket; the conversions are real ones, of tiny networks."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avsc_tf.core.consent import Consent, write_consent
from avsc_tf.core.runs import consent_path
from avsc_tf.media.audio import read_audio
from avsc_tf.media.video import probe_video, read_frames

UNKNOWN = "x" * 24


@pytest.fixture(scope="module")
def served(
    run_service: Any, make_settings: Any, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A running service with its processes."""
    with run_service(make_settings(), tiny_bundle, tmp_path_factory.mktemp("served") / "data") as (client, service):
        for _ in range(1200):
            if client.get("/health/ready").status == 200:
                break
            time.sleep(0.1)
        yield client, service


@pytest.fixture(scope="module")
def client(served: Any) -> Any:
    return served[0]


@pytest.fixture(scope="module")
def done(client: Any, clip: Path) -> Any:
    """A job that is done."""
    answer = client.post_form(clip.read_bytes(), name="../../my <clip>.mp4", fields={"seed": "3"})
    assert answer.status == 202 and answer.headers["location"] == answer.json()["links"]["self"]
    job = client.wait(answer.json()["id"])
    assert job["state"] == "done", job
    return job


@pytest.fixture
def idle(run_service: Any, make_settings: Any, tiny_bundle: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Servers that take jobs and do not work on them: `idle("section.key=value")`."""
    with ExitStack() as stack:
        numbers = iter(range(99))

        def make(*overrides: str, bundle: Path = tiny_bundle) -> Any:
            data = tmp_path / f"idle{next(numbers)}"
            return stack.enter_context(run_service(make_settings(*overrides), bundle, data, starts=False))

        yield make


def test_a_clip_becomes_a_video(client: Any, served: Any, done: Any, clip: Path, tmp_path: Path) -> None:
    assert (done["name"], done["seed"], done["vocoder"]) == ("my clip.mp4", 3, "griffin-lim")
    assert (done["progress"], done["clip_seconds"], done["error"]) == (1.0, 0.6, None)
    result = client.get(done["links"]["result"])
    assert result.status == 200 and result.headers["content-type"] == "video/mp4"
    made = tmp_path / "made.mp4"
    made.write_bytes(result.content)
    assert probe_video(made).n_frames == 15 and len(read_audio(made, sample_rate_hz=48000)) >= 0.6 * 48000
    assert client.get(done["links"]["source"]).content == clip.read_bytes()
    service = served[1]
    names = sorted(str(path.relative_to(service.storage.folder)) for path in service.storage.folder.rglob("*"))
    mine = [name for name in names if done["id"] in name]
    assert mine == [f"results/{done['id']}.mp4", f"uploads/{done['id']}"]  # no trace of the client's name, nothing else
    assert not any("my" in name or "clip" in name for name in names)


def test_the_same_as_convert_makes(client: Any, done: Any, tiny_bundle: Path, clip: Path, tmp_path: Path) -> None:
    """Frames and sound as the converter gives them from the file itself, with the same seed."""
    from avsc_tf.conversion.loading import load_bundle

    bundle = load_bundle(tiny_bundle, vocoders=["griffin-lim"])
    bundle.convert(clip, vocoder="griffin-lim", seed=3).save(tmp_path / "direct.mp4")
    (tmp_path / "served.mp4").write_bytes(client.get(done["links"]["result"]).content)
    ours, theirs = (np.stack(list(read_frames(tmp_path / f"{n}.mp4", fps=25))) for n in ("served", "direct"))
    np.testing.assert_array_equal(ours, theirs)
    sounds = [read_audio(tmp_path / f"{n}.mp4", sample_rate_hz=48000) for n in ("served", "direct")]
    np.testing.assert_array_equal(*sounds)


def test_parts_of_a_file(client: Any, done: Any) -> None:
    path = done["links"]["result"]
    whole = client.get(path)
    assert whole.headers["accept-ranges"] == "bytes" and "inline" in whole.headers["content-disposition"]
    part = client.get(path, range="bytes=10-29")
    assert part.status == 206 and part.content == whole.content[10:30]
    assert client.get(path, range="bytes=-7").content == whole.content[-7:]
    beyond = client.get(path, range=f"bytes={len(whole.content)}-")
    assert beyond.status == 416 and beyond.headers["content-range"] == f"bytes */{len(whole.content)}" and beyond.error
    for odd in ("bytes=9-3", "lines=1-2", "bytes=", "bytes=a-b", "bytes=0-1,5-6"):
        assert client.get(path, range=odd).content == whole.content  # RFC 9110: what cannot be heeded is left aside


def test_events_tell_progress_once(client: Any, paint: Any, tmp_path: Path) -> None:
    job = client.post_clip(paint(tmp_path / "x.mp4", seconds=1.2).read_bytes()).json()
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
    connection.request("GET", job["links"]["events"])
    stream = connection.getresponse()
    assert stream.headers["content-type"].startswith("text/event-stream")
    text = stream.read().decode()
    connection.close()
    told = [block.split("\n") for block in text.split("\n\n") if "event: state" in block]
    states = [json.loads(lines[2].removeprefix("data: ")) for lines in told]
    ids = [lines[0].removeprefix("id: ") for lines in told]
    assert len(set(ids)) == len(ids) > 2 and states[-1]["state"] == "done"
    shares = [state["progress"] for state in states]
    assert shares == sorted(shares)  # it never goes back
    assert {state["stage"] for state in states if state["state"] == "converting"} & {"read", "speak", "paint"}
    assert client.get(job["links"]["events"], last_event_id=ids[-1]).status == 204
    again = client.get(job["links"]["events"], last_event_id=ids[0])
    assert again.content.decode().count("event: state") == 1  # the last word, and nothing of before


def test_a_clip_without_a_face_says_so(client: Any, load_module: Any, root: Path, tmp_path: Path) -> None:
    seeds = load_module(root / "benchmarks" / "fuzz_media.py").make_seeds(tmp_path)
    job = client.wait(client.post_clip(seeds["mp4"]).json()["id"])
    assert (job["state"], job["error_kind"]) == ("failed", "FaceError")
    assert job["error"].startswith("the upload: ") and "/" not in job["error"].split(".")[0]
    assert client.get(f"/v1/conversions/{job['id']}/result").status == 409


def test_a_broken_clip_fails_alone(client: Any, clip: Path) -> None:
    data = bytearray(clip.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    broken = client.post_clip(bytes(data)).json()["id"]
    good = client.post_clip(clip.read_bytes()).json()["id"]
    assert client.wait(broken)["state"] == "failed" and client.wait(good)["state"] == "done"


def test_cancel_and_remove(client: Any, served: Any, clip: Path, paint: Any, tmp_path: Path) -> None:
    first = client.post_clip(paint(tmp_path / "long.mp4", seconds=8).read_bytes()).json()["id"]
    second = client.post_clip(clip.read_bytes()).json()["id"]
    client.wait(first, "checking", "converting")
    for job_id in (first, second):
        assert client.send("DELETE", f"/v1/conversions/{job_id}").status == 204
        assert client.get(f"/v1/conversions/{job_id}").json()["state"] == "cancelled"
    third = client.wait(client.post_clip(clip.read_bytes()).json()["id"])
    assert third["state"] == "done"  # the running one let go
    assert client.send("DELETE", f"/v1/conversions/{third['id']}").status == 204
    assert client.get(f"/v1/conversions/{third['id']}").status == 404
    assert not list(served[1].storage.folder.rglob(f"*{third['id']}*"))


def test_refused_uploads(idle: Any, clip: Path) -> None:
    client, service = idle("upload.max_bytes=300000")
    data = clip.read_bytes()
    form = {"content_type": "multipart/form-data; boundary=B"}
    head = b'--B\r\ncontent-disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
    wrong: list[tuple[int, Any]] = [
        (415, lambda: client.send("POST", "/v1/conversions", b"{}", content_type="application/json")),
        (415, lambda: client.post_clip(b"#EXTM3U\n" + b"x" * 100)),
        (415, lambda: client.post_form(b"<html>" * 30)),
        (400, lambda: client.post_clip(b"")),
        (400, lambda: client.send("POST", "/v1/conversions", b"no form", **form)),
        (400, lambda: client.send("POST", "/v1/conversions", head + data, **form)),
        (400, lambda: client.send("POST", "/v1/conversions", b"--B--\r\n", **form)),
        (400, lambda: client.send("POST", "/v1/conversions", b"x", content_type="multipart/form-data")),
        (413, lambda: client.post_clip(data + bytes(300_000))),
        (413, lambda: client.post_form(data + bytes(300_000))),
        (413, lambda: client.post_clip(iter([data, *[bytes(100_000)] * 5]))),  # of unknown length
        (422, lambda: client.post_clip(data, "?vocoder=telephone")),
        (422, lambda: client.post_clip(data, "?vocoder=wavenet")),  # known, but not offered here
        (422, lambda: client.post_clip(data, "?seed=-1")),
        (422, lambda: client.post_clip(data, "?sead=1")),
        (422, lambda: client.post_form(data, fields={"seed": "x"})),
        (422, lambda: client.post_form(data, fields={"path": "/etc/passwd"})),
        (422, lambda: client.post_clip(data, idempotency_key="a b")),
        (404, lambda: client.get(f"/v1/conversions/{UNKNOWN}")),
        (404, lambda: client.get("/v1/conversions/..%2f..%2fetc")),
        (404, lambda: client.get("/static/../page.html")),
        (404, lambda: client.get("/static/%2e%2e/page.html")),
        (405, lambda: client.send("PUT", "/v1/conversions")),
        (421, lambda: client.get("/v1/conversions", host="evil.example")),
        (403, lambda: client.post_clip(data, sec_fetch_site="cross-site")),
        (403, lambda: client.post_clip(data, origin="http://evil.example")),
    ]
    for status, ask in wrong:
        answer = ask()
        assert (answer.status, bool(answer.error)) == (status, True), answer.content
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as raw:
        raw.sendall(b"POST /v1/conversions HTTP/1.1\r\nHost: localhost\r\nContent-Type: video/mp4\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 411 ")
    assert service.store.ids() == set() and not list(service.storage.uploads.iterdir())  # nothing of it all is left
    assert client.post_clip(data).status == 202


def test_no_room(idle: Any, clip: Path) -> None:
    data = clip.read_bytes()
    for overrides, status, message in (
        (("jobs.max_per_client=2",), 429, "2 unfinished jobs"),
        (("jobs.max_queued=2", "jobs.max_per_client=9"), 503, "queue is full"),
        ((f"jobs.disk_bytes={2 * len(data) + 100}",), 507, "no room"),
        (("jobs.requests_per_minute=1", "jobs.burst_requests=2"), 429, "too many requests"),
    ):
        client, _ = idle(*overrides)
        assert [client.post_clip(data).status for _ in range(2)] == [202, 202]
        answer = client.post_clip(data)
        assert (answer.status, message in answer.error) == (status, True)
        assert status == 507 or int(answer.headers["retry-after"]) > 0
    assert client.get("/health/live").status == 200  # whoever watches the service is not counted


def test_the_same_request_again(idle: Any, clip: Path) -> None:
    client, service = idle()
    data = clip.read_bytes()
    first, again = (client.post_clip(data, idempotency_key="k-1") for _ in range(2))
    assert (first.status, again.status) == (202, 200) and first.json()["id"] == again.json()["id"]
    assert client.post_clip(data + b"\0" * 8, idempotency_key="k-1").status == 409
    assert len(list(service.storage.uploads.iterdir())) == 1


def test_slow_clients_are_dropped(idle: Any, clip: Path) -> None:
    """One says nothing, one stops within its head, one within its upload; others are served meanwhile."""
    client, service = idle("connections.header_seconds=0.5", "upload.idle_seconds=0.5")
    head = (
        b"POST /v1/conversions HTTP/1.1\r\nHost: localhost\r\nContent-Type: video/mp4\r\nContent-Length: 9999\r\n\r\n"
    )
    for sent, answered in ((b"", b""), (head[:40], b""), (head + clip.read_bytes()[:500], b"HTTP/1.1 408 ")):
        with socket.create_connection(("127.0.0.1", client.port), timeout=20) as raw:
            raw.sendall(sent)
            assert client.get("/health/live").status == 200
            assert raw.recv(1000)[: len(b"HTTP/1.1 408 ")] == answered
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as raw:  # within the head of a second request
        raw.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n" + head[:40])
        received = b""
        while got := raw.recv(1000):
            received += got
        assert received.startswith(b"HTTP/1.1 200 ") and received.count(b"HTTP/1.1") == 1
    assert not list(service.storage.uploads.iterdir()) and not service.uploading


def test_tokens(idle: Any, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anna, ben = "a" * 24, "b" * 24
    digest = hashlib.sha256(anna.encode()).hexdigest()
    monkeypatch.setenv("AVSC_TF_TOKENS", f"anna sha256:{digest},ben {ben}")
    client, _ = idle()
    for path in ("/v1/conversions", "/metrics", f"/v1/conversions/{UNKNOWN}/result"):
        answer = client.get(path)
        assert answer.status == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert client.post_clip(clip.read_bytes()).status == 401
    for path in ("/", "/docs", "/openapi.json", "/health/live", "/static/page.js"):
        assert client.get(path).status == 200
    job = client.post_clip(clip.read_bytes(), authorization=f"Bearer {anna}").json()
    for token, status in ((anna, 200), (ben, 404), ("c" * 24, 401)):
        assert client.get(job["links"]["self"], authorization=f"Bearer {token}").status == status
        assert client.get(job["links"]["source"], authorization=f"Bearer {token}").status == status
    assert client.get("/v1/conversions", authorization=f"Bearer {ben}").json() == {"conversions": []}
    assert client.send("DELETE", job["links"]["self"], authorization=f"Bearer {ben}").status == 404
    body = {"content_type": "application/json"}
    assert client.send("POST", "/login", json.dumps({"token": "x" * 30}), **body).status == 401
    login = client.send("POST", "/login", json.dumps({"token": anna}), **body)
    said = login.headers["set-cookie"]
    assert login.status == 204 and "HttpOnly" in said and "SameSite=strict" in said and anna not in said
    cookie = said.split(";")[0]
    assert client.get(job["links"]["self"], cookie=cookie).status == 200
    assert client.get("/session", cookie=cookie).json()["name"] == "anna"
    assert client.send("DELETE", job["links"]["self"], cookie=cookie, sec_fetch_site="cross-site").status == 403
    assert client.send("DELETE", job["links"]["self"], cookie=cookie, sec_fetch_site="same-origin").status == 204


def test_ended_consent(idle: Any, tiny_bundle: Path, clip: Path, tmp_path: Path) -> None:
    import datetime
    import shutil

    run = Path(shutil.copytree(tiny_bundle, tmp_path / "run"))
    client, _ = idle(bundle=run)
    assert client.post_clip(clip.read_bytes()).status == 202
    past = Consent(who="Mary Example", what_for=("tests",), until=datetime.date(2020, 1, 1))
    write_consent(consent_path(run), past)
    refused = client.post_clip(clip.read_bytes())
    assert refused.status == 403 and "ended on 2020-01-01" in refused.error and str(tmp_path) not in refused.error
    ready = client.get("/health/ready")
    assert ready.status == 503 and "ended on 2020-01-01" in ready.json()["checks"]["consent"]


def test_figures_and_health(client: Any, done: Any) -> None:
    assert client.get("/health/ready").json() == {
        "ready": True,
        "checks": dict.fromkeys(("bundle", "worker", "consent", "disk"), "ok"),
    }
    lines = dict(line.rsplit(" ", 1) for line in client.get("/metrics").content.decode().splitlines() if line[0] != "#")
    assert float(lines['avsc_tf_jobs{state="done"}']) >= 1 and float(lines["avsc_tf_converted_seconds_total"]) >= 0.6
    route = 'avsc_tf_requests_total{method="POST",route="/v1/conversions",status="202"}'
    assert float(lines[route]) >= 1 and float(lines['avsc_tf_resident_bytes{process="converter"}']) > 1e8
    assert not any(done["id"] in line for line in lines)


def test_the_web_process_loads_no_tensorflow(root: Path) -> None:
    import subprocess
    import sys

    heavy = ("tensorflow", "keras", "mediapipe", "torch")
    code = "import sys, avsc_tf.service.serve, avsc_tf.service.zygote\n"
    code += f"print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"


def test_headers_and_pages_ask_nobody_else(client: Any) -> None:
    for path in ("/", "/docs", "/static/page.js", "/static/docs.js", "/static/page.css", "/openapi.json"):
        answer = client.get(path)
        assert answer.status == 200 and answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert b"https://" not in answer.content and b"unsafe-inline" not in answer.content
    assert "sandbox" in client.get("/v1/conversions").headers["content-security-policy"]


def test_many_uploads_at_once_are_told_apart(idle: Any, clip: Path) -> None:
    client, service = idle("jobs.max_per_client=40", "upload.max_concurrent=40")
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(client.post_clip(clip.read_bytes() + bytes(n))))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status for answer in found] == [202] * 20 and len(service.store.ids()) == 20
    sizes = sorted(path.stat().st_size - clip.stat().st_size for path in service.storage.uploads.iterdir())
    assert sizes == list(range(20))


@pytest.mark.slow  # three starts of the networks
def test_a_killed_worker_is_started_again(client: Any, served: Any, paint: Any, tmp_path: Path) -> None:
    """Its job is done all the same; one that ends the worker twice has failed."""
    import os
    import signal

    service = served[1]
    data = paint(tmp_path / "long.mp4", seconds=4).read_bytes()
    for kills, expected in ((1, "done"), (2, "failed")):
        job_id = client.post_clip(data).json()["id"]
        for _ in range(kills):
            client.wait(job_id, "converting", "done")
            os.kill(service.pipeline.converter.pid, signal.SIGKILL)
            client.wait(job_id, "queued", "failed", "checking")
        job = client.wait(job_id)
        assert job["state"] == expected
    assert job["error_kind"] == "crash" and "2 times" in job["error"]
