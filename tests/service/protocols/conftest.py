"""A model process over small SavedModels, and its REST API on a port of this computer."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from avsc_tf.service.model_limits import ModelLimits
from avsc_tf.service.models import ModelHost
from avsc_tf.service.tensorflow_rest import rest_router

LIMITS = ModelLimits(body_bytes=4 << 20, elements=200_000, call_seconds=20.0, queue=32)


@pytest.fixture(scope="session")
def saved_models(load_module: Callable[[Path], Any]) -> Any:
    """The module that writes them."""
    return load_module(Path(__file__).with_name("saved_models.py"))


@pytest.fixture(scope="session")
def model_folder(saved_models: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """linear, types and odd."""
    folder = tmp_path_factory.mktemp("served")
    saved_models.write_models(folder)
    return folder


@pytest.fixture(scope="session")
def host(model_folder: Path) -> Iterator[ModelHost]:
    """A process that serves them; tests that harm it make their own."""
    with ModelHost(model_folder, LIMITS) as host:
        yield host


class Client:
    """Requests to an API: status and body."""

    def __init__(self, port: int) -> None:
        self.port = port

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict | None = None
    ) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def json(self, method: str, path: str, value: Any = None) -> tuple[int, Any]:
        body = None if value is None else json.dumps(value).encode()
        status, answer = self.request(method, path, body)
        return status, json.loads(answer)


@contextmanager
def serving(app: FastAPI) -> Iterator[Client]:
    """An app on a free port of this computer."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield Client(listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


@pytest.fixture(scope="session")
def serve_app() -> Callable[[FastAPI], Any]:
    """`serving`."""
    return serving


@pytest.fixture(scope="session")
def rest(host: ModelHost) -> Iterator[Client]:
    """The REST API alone."""
    app = FastAPI()
    app.include_router(rest_router(host))
    with serving(app) as client:
        yield client
