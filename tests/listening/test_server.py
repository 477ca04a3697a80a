"""What the server takes, what it refuses, and that nothing it acknowledged is lost."""

from __future__ import annotations

import http.client
import json
import socket
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from avsc_tf.core.errors import ListeningError
from avsc_tf.listening.design import Design, read_design
from avsc_tf.listening.server import MAX_BODY_BYTES, make_app, serve
from avsc_tf.listening.store import AnswerStore


@dataclass(frozen=True)
class Response:
    status: int
    content: bytes
    headers: dict[str, str]

    def json(self) -> Any:
        return json.loads(self.content)


class Client:
    """Requests as they are, over a socket: no path is tidied up, no body completed."""

    def __init__(self, port: int) -> None:
        self.port = port

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Response(answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()})
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Response:
        return self.send("GET", path, **headers)

    def post(self, path: str, body: Any) -> Response:
        """Bytes as they are, anything else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", path, content, **{"content-type": "application/json"})


@contextmanager
def running(test: Path, db: Path) -> Iterator[Client]:
    """The application on a socket, in a thread."""
    server = uvicorn.Server(uvicorn.Config(make_app(test, db), log_level="error", lifespan="off"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield Client(listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def client(built: Path, tmp_path: Path) -> Iterator[Client]:
    with running(built, tmp_path / "answers.sqlite") as opened:
        yield opened


@pytest.fixture
def rater(client: Client) -> dict[str, Any]:
    response = client.post("/api/raters", {"consent": True})
    assert response.status == 201
    return response.json()


def rating_page(rater: dict[str, Any]) -> int:
    """A page with a comparison on it."""
    return next(i for i, page in enumerate(rater["pages"], 1) if len(page["questions"]) == 6)


def test_a_rater_is_told_no_system(client: Client, rater: dict[str, Any], built: Path) -> None:
    design = read_design(built)
    text = json.dumps(rater)
    assert not any(word in text for word in (*design.systems, "target", "neutral", "happiness"))
    page = rater["pages"][rating_page(rater) - 1]
    assert [question["id"] for question in page["questions"]] == [
        f"{kind}_{modality}" for kind in ("rate", "prefer") for modality in ("audio", "visual", "audiovisual")
    ]
    assert [clip["label"] for clip in page["questions"][3]["clips"]] == ["X", "A", "B"]
    for question in page["questions"]:
        for clip in question["clips"]:
            assert client.get("/" + clip["src"]).status == 200


def test_answers_are_kept_and_replaced(client: Client, rater: dict[str, Any]) -> None:
    url, page = f"/api/raters/{rater['rater']}", rating_page(rater)
    for value in (2, 5):
        answer = {"page": page, "question": "rate_visual", "value": value, "seconds": 3.5}
        assert client.post(url + "/answers", answer).json() == {"saved": True}
    state = client.get(url).json()
    assert state["answers"] == {str(page): {"rate_visual": 5}} and state["pages"] == rater["pages"]
    assert state["code"] == rater["code"]


def test_bad_posts(client: Client, rater: dict[str, Any]) -> None:
    page = rating_page(rater)
    check = next(i for i, p in enumerate(rater["pages"], 1) if len(p["questions"]) == 2)
    good = {"page": page, "question": "rate_audio", "value": 3, "seconds": 1.0}
    url = f"/api/raters/{rater['rater']}/answers"
    wrong: list[tuple[str, Any, int, str]] = [
        ("/api/raters/nobody/answers", good, 404, "not known"),
        (url, good | {"page": 999}, 404, "page 999 is not one"),
        (url, good | {"page": 0}, 422, "page: "),
        (url, good | {"value": 6}, 422, "value: "),
        (url, good | {"value": 0}, 422, "value: "),
        (url, good | {"question": "prefer_audio", "value": 4}, 422, "from 1 to 3"),
        (url, good | {"value": "3"}, 422, "value: "),
        (url, good | {"value": 3.5}, 422, "value: "),
        (url, good | {"value": True}, 422, "value: "),
        (url, good | {"question": "rate_smell"}, 422, "asks rate_audio"),
        (url, good | {"page": check}, 422, "asks count_audio"),
        (url, good | {"question": "x" * 99}, 422, "question: "),
        (url, good | {"seconds": -1}, 422, "seconds: "),
        (url, good | {"seconds": 1e9}, 422, "seconds must be"),
        (url, good | {"system": "joint"}, 422, "system: "),
        (url, {"page": page}, 422, "question: "),
        (url, [1], 422, "dict"),
        ("/api/raters", {"consent": False}, 422, "agree"),
        ("/api/raters", {}, 422, "consent: "),
    ]
    for address, body, status, message in wrong:
        response = client.post(address, body)
        assert (response.status, message in response.json()["error"]) == (status, True), (body, response.content)
    for content, status in ((b"{", 422), (b"", 422), (b'{"a": "' + b"x" * MAX_BODY_BYTES + b'"}', 413)):
        response = client.post(url, content)
        assert response.status == status and response.json()["error"]
    nan = b'{"page": 1, "question": "rate_audio", "value": 3, "seconds": NaN}'
    assert client.post(url, nan).status == 422
    assert client.get(f"/api/raters/{rater['rater']}").json()["answers"] == {}
    assert client.get("/api/raters/nobody").status == 404
    assert client.get("/api/raters").status == 404 and client.get(url).status in (404, 405)
    assert client.send("DELETE", f"/api/raters/{rater['rater']}").status in (404, 405)
    assert client.get(f"/api/raters/{rater['rater']}").status == 200


def test_a_stream_of_unknown_length_is_cut(client: Client, rater: dict[str, Any]) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1024
            yield b"x" * 1024

    assert client.send("POST", f"/api/raters/{rater['rater']}/answers", endless()).status == 413


def test_another_raters_pages(short: Path, tmp_path: Path) -> None:
    """A rater has three pages here; the fourth belongs to nobody."""
    with running(short, tmp_path / "other.sqlite") as small:
        one = small.post("/api/raters", {"consent": True}).json()
        assert len(one["pages"]) == 3
        answer = {"page": 4, "question": "rate_audio", "value": 3, "seconds": 1.0}
        assert small.post(f"/api/raters/{one['rater']}/answers", answer).status == 404


def test_media_by_range_and_headers(client: Client, rater: dict[str, Any]) -> None:
    src = "/" + rater["pages"][0]["questions"][0]["clips"][0]["src"]
    whole = client.get(src)
    part = client.get(src, range="bytes=10-29")
    assert part.status == 206 and part.content == whole.content[10:30]
    assert "immutable" in whole.headers["cache-control"]
    page = client.get("/")
    assert (
        page.headers["cache-control"] == "no-store" and "default-src 'none'" in page.headers["content-security-policy"]
    )
    for hidden in ("/key.json", "/../key.json", "/media/../../key.json", "/%2e%2e/key.json", "/docs", "/openapi.json"):
        assert client.get(hidden).status == 404


def test_database_of_another_test(built: Path, design: Design, tmp_path: Path) -> None:
    AnswerStore(tmp_path / "other.sqlite", design).close()
    with pytest.raises(ListeningError, match="is of another test"):
        make_app(built, tmp_path / "other.sqlite")
    (tmp_path / "no.sqlite").write_bytes(b"this is not a database" * 100)
    with pytest.raises(ListeningError, match="cannot be used as a database"):
        make_app(built, tmp_path / "no.sqlite")


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"content-type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=20
    ) as response:
        return json.load(response)


def test_killed_between_answers(served: Any) -> None:
    """After kill -9 at any moment all acknowledged answers are there, and the rater goes on."""
    given = post(served.url + "api/raters", {"consent": True})
    url = f"{served.url}api/raters/{given['rater']}"
    wanted: dict[str, dict[str, int]] = {}
    questions = [(i, q["id"]) for i, page in enumerate(given["pages"], 1) for q in page["questions"]]
    for number, (page, question) in enumerate(questions):
        value = number % 3 + 1
        assert post(url + "/answers", {"page": page, "question": question, "value": value, "seconds": 9.0})["saved"]
        wanted.setdefault(str(page), {})[question] = value
        if number in (2, 7):
            served.kill()
            with pytest.raises(urllib.error.URLError):
                urllib.request.urlopen(url, timeout=5)
            served.start()
    with urllib.request.urlopen(url, timeout=20) as response:
        assert json.load(response)["answers"] == wanted
    served.kill()
    with sqlite3.connect(served.db) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM answers").fetchone() == (len(questions),)
    db.close()
    served.start()


def test_taken_port(client: Client, built: Path, tmp_path: Path) -> None:
    with pytest.raises(ListeningError, match=f"--port {client.port}: cannot listen there"):
        serve(built, tmp_path / "second.sqlite", port=client.port)


def test_every_commit_is_synced(design: Design, tmp_path: Path) -> None:
    """Write-ahead log, and FULL (2): each transaction is forced to the disk before it is acknowledged."""
    store = AnswerStore(tmp_path / "a.sqlite", design)
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
    store.close()


def test_two_servers_on_one_database(design: Design, tmp_path: Path, rate: Callable[..., str]) -> None:
    """Two processes' stores on one file see each other's raters and spread clips between them."""
    one, two = (AnswerStore(tmp_path / "a.sqlite", design) for _ in range(2))
    first, second = one.register(), two.register()
    assert two.state(first.rater).pages == first.pages
    rated = [{page.subject for page in state.pages if not page.is_check} for state in (first, second)]
    assert len(rated[0] | rated[1]) >= 50  # 28 and 28 of 60: hardly any clip twice
    one.close()
    two.close()
