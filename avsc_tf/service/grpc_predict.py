"""TensorFlow Serving's gRPC services in front of a `ModelHost`, with health and reflection.

Messages pass as they are: only the model process, where TensorFlow is, reads and writes them. So the port stays open
while that process starts again, and this one needs no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, Protocol

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from avsc_tf.errors import ServiceError
from avsc_tf.service.codes import CallError, Code
from avsc_tf.service.models import ModelHost

PREDICTION, MODEL = "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"
SERVED = {PREDICTION: ("Predict", "GetModelMetadata", "Classify", "Regress"), MODEL: ("GetModelStatus",)}
WITHOUT_TOKEN = f"/{health.SERVICE_NAME}/"
SPARE_THREADS = 4  # for health and reflection beside calls
DETAILS_CHARACTERS = 2000  # of an error: it travels in a header
CODES = {code.value[0]: code for code in grpc.StatusCode}


class Tokens(Protocol):
    """Who may call."""

    def by_token(self, token: str) -> str | None:
        """The name of a token's client, or None."""


class GrpcServer:
    """The services on a port.

    Args:
        host: with its models loaded.
        tokens: asked for each call but those of health; None lets everyone in.
        address: to listen at; that of this computer alone unless told otherwise.
        port: 0 takes a free one.

    Raises:
        ServiceError: nothing can listen there.
    """

    def __init__(
        self, host: ModelHost, *, tokens: Tokens | None = None, address: str = "127.0.0.1", port: int = 0
    ) -> None:
        limits = host.limits
        threads = limits.concurrency + limits.queue + SPARE_THREADS
        options = [
            ("grpc.max_receive_message_length", limits.body_bytes),
            ("grpc.max_send_message_length", limits.body_bytes),
            ("grpc.so_reuseport", 0),  # a port that another server has is an error
        ]
        interceptors = [_Border(tokens)] if tokens is not None else []
        self._server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
            interceptors=interceptors,
            options=options,
            maximum_concurrent_rpcs=threads,
        )
        self._host = host
        for service, methods in SERVED.items():
            handlers = {name: grpc.unary_unary_rpc_method_handler(_caller(host, name)) for name in methods}
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self._health = health.HealthServicer(
            experimental_non_blocking=True, experimental_thread_pool=ThreadPoolExecutor(1, thread_name_prefix="health")
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._reflect()
        try:
            self.port: int = self._server.add_insecure_port(_target(address, port))
        except RuntimeError as error:
            raise ServiceError(f"gRPC cannot listen at {address}:{port}: is the port taken? {error}") from error

    def start(self) -> None:
        """Take calls."""
        self._host.watch(self._tell)
        self._server.start()

    def stop(self, grace_seconds: float = 5.0) -> None:
        """Take no more calls, and wait for those under way."""
        self._host.unwatch(self._tell)
        self._health.enter_graceful_shutdown()
        self._server.stop(grace_seconds).wait()

    def _tell(self, ready: bool) -> None:
        states = health_pb2.HealthCheckResponse
        for service in ("", *SERVED):
            self._health.set(service, states.SERVING if ready else states.NOT_SERVING)

    def _reflect(self) -> None:
        """Let tools such as grpcurl ask what is served."""
        pool = descriptor_pool.DescriptorPool()
        described = descriptor_pb2.FileDescriptorSet.FromString(self._host.submit("descriptors").result())
        for file in described.file:
            pool.AddSerializedFile(file.SerializeToString())
        pool.AddSerializedFile(health_pb2.DESCRIPTOR.serialized_pb)
        names = (*SERVED, health.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server, pool=pool)


def _target(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _caller(host: ModelHost, method: str) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    def call(body: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return host.submit(method, body, seconds=context.time_remaining()).result()
        except CallError as error:
            _abort(context, error.code, error.message)

    return call


def _abort(context: grpc.ServicerContext, code: Code, message: str) -> NoReturn:
    context.abort(CODES[int(code)], message[:DETAILS_CHARACTERS])
    raise AssertionError("abort raises")


class _Border(grpc.ServerInterceptor):
    """Lets calls with a known token in (`authorization: Bearer TOKEN`)."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def intercept_service(self, continuation: Callable[[Any], Any], details: grpc.HandlerCallDetails) -> Any:
        handler = continuation(details)
        if handler is None or details.method.startswith(WITHOUT_TOKEN):
            return handler
        given = next((value for key, value in details.invocation_metadata if key == "authorization"), "")
        scheme, _, token = str(given).partition(" ")
        if scheme.lower() == "bearer" and self._tokens.by_token(token.strip()) is not None:
            return handler
        return _refusal(handler)


def _refusal(handler: Any) -> Any:
    """A handler of the same kind that lets nobody in."""

    def refuse(_: Any, context: grpc.ServicerContext) -> NoReturn:
        _abort(context, Code.UNAUTHENTICATED, "A token is needed: metadata authorization, value Bearer TOKEN.")

    made = grpc.stream_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
    return made(refuse, handler.request_deserializer, handler.response_serializer)
