"""A service on a socket, until it is asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import APIRouter
from uvicorn.protocols.http.h11_impl import H11Protocol

from avsc_tf.core.errors import ServiceError
from avsc_tf.service.access import check_host
from avsc_tf.service.app import make_app
from avsc_tf.service.core import Service
from avsc_tf.service.settings import ConnectionSettings, ServiceSettings
from avsc_tf.web.listening_socket import listen


def serve(
    settings: ServiceSettings,
    bundle: Sequence[Path],
    *,
    data: Path,
    host: str = "127.0.0.1",
    port: int = 8501,
    routers: Sequence[APIRouter] = (),
    models: Path | None = None,
) -> None:
    """Serve until SIGTERM (returns) or Ctrl-C (raises KeyboardInterrupt).

    Args:
        port: 0 takes a free one; the address is printed.
        routers: of other protocols, behind the same border.
        models: folder of exported models, for predictions at TensorFlow Serving's addresses.
    Raises:
        AvscError: the bundle, the folder, the tokens or the address cannot be used.
    """
    service = Service(settings, bundle, data)
    with contextlib.ExitStack() as stack:
        try:
            check_host(settings, service.access, host)
            listening, address = listen(host, port, error=ServiceError)
            stack.enter_context(listening)
            if models is not None:
                service.models = stack.enter_context(service.host_models(models))
        except BaseException:
            service.stop()
            raise
        service.bound_host = host
        server = make_server(service, routers)
        tokens = "with tokens" if service.access.needs_token else "without tokens"
        print(f"{address} converts by {', '.join(map(str, bundle))}, {tokens}; Ctrl-C ends it", flush=True)
        server.run(sockets=[listening])
    if server.received == signal.SIGINT:
        raise KeyboardInterrupt
    print("Stopped; the queue is kept, and goes on when the service is started again.", file=sys.stderr)


def make_server(service: Service, routers: Sequence[APIRouter] = ()) -> Server:
    """A uvicorn server with the limits of the settings."""
    limits = service.settings.connections
    config = uvicorn.Config(
        make_app(service, routers),
        http=_protocol(limits),
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=limits.max_connections,
        timeout_keep_alive=max(1, round(limits.keep_alive_seconds)),
        timeout_graceful_shutdown=max(1, round(limits.shutdown_seconds)),
    )
    return Server(config, service.stopping.set)


class Server(uvicorn.Server):
    """Uvicorn that tells of the signal instead of dying of it."""

    def __init__(self, config: uvicorn.Config, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping
        self.received: int | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():  # of a test: signals are the main thread's
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.received = self.received or sig
        self._stopping()
        super().handle_exit(sig, frame)


def _protocol(limits: ConnectionSettings) -> type[H11Protocol]:
    """HTTP that drops who says nothing, and who takes nothing."""

    class Impatient(H11Protocol):
        _waiting: asyncio.TimerHandle | None = None
        _stalled: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait()
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._waiting is None:
                self._wait()

        def _wait(self) -> None:
            self._waiting = self.loop.call_later(limits.header_seconds, self._drop_if_silent)

        def _drop_if_silent(self) -> None:
            """Abort where a head, the first or a later one, has been begun and is still not whole."""
            self._waiting = None
            has_begun = self.cycle is None or (self.cycle.response_complete and self.conn.trailing_data[0])
            if has_begun:
                self.transport.abort()

        def _watch(self, before: int = 0) -> None:
            """Abort where a full interval passed and nothing of what waits to be sent was taken."""
            waiting = self.transport.get_write_buffer_size()
            if waiting and waiting == before:
                self.transport.abort()
                return
            self._stalled = self.loop.call_later(limits.stall_seconds, self._watch, waiting)

        def connection_lost(self, exc: Exception | None) -> None:
            for timer in (self._waiting, self._stalled):
                if timer is not None:
                    timer.cancel()
            super().connection_lost(exc)

    return Impatient
