"""TensorFlow Serving's two protocols beside the conversions of a service: `--models` and `--grpc`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import APIRouter

from avsc_tf.service.core import Service
from avsc_tf.service.grpc_predict import GrpcServer
from avsc_tf.service.models import ModelHost
from avsc_tf.service.tensorflow_rest import rest_router


@contextmanager
def model_apis(
    service: Service, folder: Path | None, *, address: str = "127.0.0.1", grpc_port: int | None = None
) -> Iterator[list[APIRouter]]:
    """Serve the models of a folder within the block; routes for the application, none without a folder.

    Args:
        grpc_port: None: no gRPC.

    Raises:
        BundleError: no model that can be loaded. ServiceError: a port that is taken.
    """
    if folder is None:
        yield []
        return
    tokens = service.access if service.access.needs_token else None
    with ModelHost(folder, service.settings.models) as host:
        service.models = host
        print(f"{folder}: " + ", ".join(f"{v.name} {v.version} {v.state}" for v in host.states.versions), flush=True)
        for version in host.states.versions:
            if version.error_message:
                print(f"not served: {version.error_message}", flush=True)
        if grpc_port is None:
            yield [rest_router(host)]
            return
        server = GrpcServer(host, tokens=tokens, address=address, port=grpc_port)
        server.start()
        print(f"gRPC at {address}:{server.port}", flush=True)
        try:
            yield [rest_router(host)]
        finally:
            server.stop()
