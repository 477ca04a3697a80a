"""The same application as a Ray Serve deployment (extra `ray`): `avsc serve --ray`.

One replica: jobs and their files belong to one SQLite database, which one process writes. What Ray adds is that the
replica is started again when it dies, and goes on with the queue. Ray runs on this computer, without dashboard and
without usage statistics.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from avsc_tf.core.errors import ServiceError
from avsc_tf.service.access import check_host
from avsc_tf.service.app import make_app
from avsc_tf.service.core import Service
from avsc_tf.service.settings import LOOPBACK, ServiceSettings
from avsc_tf.web.listening_socket import listen

APPLICATION = "avsc_tf"
HEALTH_SECONDS = 2.0  # how often Ray looks whether the replica lives
THIS_COMPUTER = "127.0.0.1"
ENVIRONMENT = {  # of Ray and all its processes, before it is imported
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on any system: this node alone, its ports on the loopback
    "RAY_AUTH_MODE": "token",  # and they take what has the token of this start
    "RAY_SERVE_LOG_TO_STDERR": "0",
}


@dataclass(frozen=True)
class Served:
    """What is served and where, for the process that does it."""

    settings: ServiceSettings
    bundle: tuple[Path, ...]
    data: Path
    host: str = THIS_COMPUTER
    port: int = 8501
    models: Path | None = None

    def absolute(self) -> Served:
        """For a process with another working folder."""
        models = self.models and self.models.absolute()
        runs = tuple(run.absolute() for run in self.bundle)
        return Served(self.settings, runs, self.data.absolute(), self.host, self.port, models)


def serve_on_ray(
    settings: ServiceSettings,
    bundle: Sequence[Path],
    *,
    data: Path,
    host: str = THIS_COMPUTER,
    port: int = 8501,
    models: Path | None = None,
) -> None:
    """Serve until SIGTERM (returns) or Ctrl-C (raises KeyboardInterrupt); arguments as of `serve`.

    Raises:
        AvscError: as `serve`, or Ray is not installed.
    """
    stop = threading.Event()
    received: list[int] = []

    def handle(number: int, _: Any) -> None:
        received.append(number)
        stop.set()

    served = Served(settings, tuple(bundle), data, host, port, models)
    with running(served) as address:
        print(f"{address} converts by {', '.join(map(str, bundle))}, on Ray Serve; Ctrl-C ends it", flush=True)
        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        stop.wait()
        for number, old in before.items():
            signal.signal(number, old)
    if received[0] == signal.SIGINT:
        raise KeyboardInterrupt
    print("Stopped; the queue is kept, and goes on when the service is started again.", file=sys.stderr)


@contextlib.contextmanager
def running(served: Served) -> Iterator[str]:
    """The application on a Ray of this computer within the block; its address. Raises as `serve_on_ray`."""
    port = _checked(served)
    ray, serve = _ray()
    notes = tempfile.TemporaryDirectory(prefix="avsc_tf_ray_", ignore_cleanup_errors=True)  # Ray's own, and its logs
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=notes.name,
    )
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    try:
        serve.start(proxy_location="HeadOnly", http_options={"host": served.host, "port": port})
        deployment = serve.deployment(
            serve.ingress(_builder(served.absolute()))(),
            name=APPLICATION,
            num_replicas=1,
            max_ongoing_requests=served.settings.connections.max_connections,
            graceful_shutdown_timeout_s=served.settings.connections.shutdown_seconds + 20.0,
            health_check_period_s=HEALTH_SECONDS,
            ray_actor_options={"num_cpus": 0},
        )
        try:
            serve.run(deployment.bind(), name=APPLICATION, route_prefix="/")
        except RuntimeError as error:
            raise ServiceError(f"--ray: the application did not start: {_last_line(error)}") from error
        if served.host in LOOPBACK:
            _check_ports()
        yield f"http://{served.host}:{port}/"
    finally:
        with contextlib.suppress(Exception):  # Ray may be gone already
            serve.shutdown()
        ray.shutdown()
        notes.cleanup()


def _checked(served: Served) -> int:
    """What would fail in the replica fails here, in one line, before Ray starts. The port that is free."""
    service = Service(served.settings, served.bundle, served.data)
    try:
        check_host(served.settings, service.access, served.host)
        if served.models is not None:
            service.host_models(served.models)
    finally:
        service.stop()
    listening, _ = listen(served.host, served.port, error=ServiceError)
    with listening:
        port: int = listening.getsockname()[1]
    return port


def _ray() -> tuple[Any, Any]:
    os.environ.update(ENVIRONMENT)
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    try:
        import ray
        from ray import serve
    except ImportError as error:
        raise ServiceError("--ray needs Ray Serve: pip install 'avsc_tf[ray]'.") from error
    return ray, serve


def _builder(served: Served) -> Callable[[], FastAPI]:
    """What the replica calls to make its application."""

    def build() -> FastAPI:
        from ray.serve._private import replica

        from avsc_tf.service.ray_app import application, on_loopback

        replica.add_port_to_grpc_server = on_loopback(replica.add_port_to_grpc_server)
        return application(served)

    return build


def on_loopback(add_port: Callable[[Any, str], int]) -> Callable[[Any, str], int]:
    """Ray's replica takes pickled calls of other replicas on a port of all networks; here there are no others."""

    def add(server: Any, address: str) -> int:
        return add_port(server, address.replace("[::]:", f"{THIS_COMPUTER}:"))

    return add


def _check_ports() -> None:
    """Raise ServiceError where a process of ours can be reached from another computer."""
    import psutil  # comes with Ray

    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            for connection in process.connections(kind="inet"):
                address = connection.laddr[0] if connection.status == psutil.CONN_LISTEN else THIS_COMPUTER
                if not address.removeprefix("::ffff:").startswith("127.") and address != "::1":
                    raise ServiceError(
                        f"--ray: {process.name()} of this version of Ray listens at {address}:{connection.laddr[1]}, "
                        "beyond this machine. Serve without --ray, or say --host with tokens."
                    )


def application(served: Served) -> FastAPI:
    """The application, which ends all it has begun with itself."""
    service = Service(served.settings, served.bundle, served.data)
    stack = contextlib.ExitStack()
    try:
        if served.models is not None:
            service.models = stack.enter_context(service.host_models(served.models))
    except BaseException:
        service.stop()
        raise
    service.bound_host = served.host
    app = make_app(service)
    whole = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with whole(app) as state:
            yield state
        await run_in_threadpool(stack.close)

    app.router.lifespan_context = lifespan
    return app


def _last_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
