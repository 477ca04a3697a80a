"""A tiny bundle, a clip of a painted face, and a service that runs, in this process or in one of its own."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_runs import tiny_config, write_bundle

from avsc_tf.media.mux import write_video
from avsc_tf.service.core import Service
from avsc_tf.service.models import ModelHost
from avsc_tf.service.serve import make_server
from avsc_tf.service.settings import ServiceSettings, load_settings

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 0.6
QUICK = (  # the full voice takes long, tests ask often, and the disk may be full of other things
    "conversion.vocoder=griffin-lim",
    "conversion.offered=[griffin-lim]",
    "jobs.burst_requests=100000",
    "jobs.min_free_bytes=1",
)


def load(path: Path) -> Any:
    """A module of the repository that is in no package."""
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def load_module() -> Callable[[Path], Any]:
    """`load`."""
    return load


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of tiny networks whose features are made from a clip in a second."""
    config = tiny_config("face.vgg_px=32", "face.crop_px=128")
    return write_bundle(config, tmp_path_factory.mktemp("tiny") / "run")


def paint_clip(path: Path, *, hz: float = 150.0, seconds: float = SECONDS) -> Path:
    """A painted face that speaks a buzz."""
    from avsc_tf.demo.speakers.face import FacePainter, FacePose
    from avsc_tf.demo.speakers.looks import LOOKS, Expression

    painter = FacePainter(LOOKS["source"], size_px=160)
    frames = [painter.render(FacePose(), Expression()) for _ in range(3)]
    t = np.arange(round(seconds * 48000)) / 48000
    buzz = 0.05 * sum(np.cos(2 * np.pi * hz * k * t) / k for k in range(1, 20))
    n_frames = round(seconds * 25)
    write_video(path, (frames[i % 3] for i in range(n_frames)), buzz, fps=25, sample_rate_hz=48000)
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paint_clip(tmp_path_factory.mktemp("clips") / "face.mp4")


@pytest.fixture(scope="session")
def paint() -> Callable[..., Path]:
    """`paint_clip`."""
    return paint_clip


@dataclass(frozen=True)
class Answer:
    status: int
    content: bytes
    headers: dict[str, str]

    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def error(self) -> str:
        return str(self.json()["error"])


class Client:
    """Requests as they are, over a socket."""

    def __init__(self, port: int, **headers: str) -> None:
        self.port, self.headers = port, headers

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in {**self.headers, **headers}.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()})
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, **headers)

    def post_clip(self, data: bytes, query: str = "?vocoder=griffin-lim", **headers: str) -> Answer:
        return self.send("POST", f"/v1/conversions{query}", data, **{"content_type": "video/mp4", **headers})

    def post_form(
        self, data: bytes, name: str = "a.mp4", fields: dict[str, str] | None = None, **headers: str
    ) -> Answer:
        start = "--B\r\ncontent-disposition: form-data; name="
        parts = [f'{start}"{k}"\r\n\r\n{v}\r\n'.encode() for k, v in (fields or {}).items()]
        head = f'{start}"file"; filename="{name}"\r\n\r\n'.encode()
        body = b"".join([*parts, head, data, b"\r\n--B--\r\n"])
        return self.send("POST", "/v1/conversions", body, content_type="multipart/form-data; boundary=B", **headers)

    def wait(self, job_id: str, *states: str, seconds: float = 120) -> Any:
        """The job, once it is in one of the states; ended by default."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            job = self.get(f"/v1/conversions/{job_id}").json()
            if job["state"] in (states or ("done", "failed", "cancelled")):
                return job
            time.sleep(0.05)
        raise AssertionError(f"the job is still {job}")


@contextmanager
def running(
    settings: ServiceSettings, bundle: Path, data: Path, *, starts: bool = True, models: ModelHost | None = None
) -> Iterator[tuple[Client, Service]]:
    """The service on a socket, in a thread; `starts`: with its processes."""
    service = Service(settings, [bundle], data)
    service.models = models
    if not starts:
        service.pipeline.start = lambda: None  # type: ignore[method-assign]
    server = make_server(service)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield Client(listening.getsockname()[1]), service
        finally:
            service.stopping.set()
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SavedModels `linear`, versions 1 and 3, and `odd`, as NAME/VERSION/."""
    folder = tmp_path_factory.mktemp("models")
    load(Path(__file__).with_name("saved_models.py")).write_models(folder)
    return folder


@pytest.fixture(scope="session")
def run_service() -> Callable[..., Any]:
    """`running`."""
    return running


@pytest.fixture(scope="session")
def make_settings() -> Callable[..., ServiceSettings]:
    """`make_settings("section.key=value", ...)`: small, fast, and without the reserve on the disk."""
    return lambda *overrides: load_settings(None, [*QUICK, *overrides])


class Served:
    """A service in a process of its own, as tools/serve.py starts it."""

    def __init__(self, bundle: Path, data: Path, *overrides: str) -> None:
        self.bundle, self.data = bundle, data
        self._overrides = [part for text in (*QUICK, *overrides) for part in ("--set", text)]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.client = Client(self.port)
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        where = ["--bundle", str(self.bundle), "--data", str(self.data), "--port", str(self.port)]
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tools" / "serve.py"), *where, *self._overrides],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(600):
            try:
                if self.client.get("/health/live").status == 200:
                    return
            except OSError:
                assert self.process.poll() is None, self.process.communicate()[1]
                time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def end(self, number: int = signal.SIGKILL) -> tuple[int, str]:
        """Send the signal; exit code and what was said on standard error."""
        assert self.process is not None
        self.process.send_signal(number)
        said = self.process.communicate(timeout=60)[1]
        return self.process.returncode, said


@pytest.fixture
def serve_tiny(tiny_bundle: Path, tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Makes servers of the tiny bundle; killed at the end."""
    made: list[Served] = []

    def make(*overrides: str) -> Served:
        made.append(Served(tiny_bundle, tmp_path / f"data{len(made)}", *overrides))
        made[-1].start()
        return made[-1]

    yield make
    for server in made:
        if server.process is not None and server.process.poll() is None:
            server.end()
