"""TensorFlow Serving's REST API, `/v1/models/...`, in front of a `ModelHost`.

https://www.tensorflow.org/tfx/serving/api_rest. What is said about a body is said by
the model process, which also writes the answers.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Request, Response

from avsc_tf.service.codes import HTTP_STATUS, CallError, Code, invalid
from avsc_tf.service.models import ModelHost
from avsc_tf.service.refusals import Error

VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
PREDICTION = re.compile(rf"/v1/models/(?P<name>[^/:]+){VERSION}:(?P<method>classify|regress|predict)", re.A)
STATUS = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{VERSION}(?:/(?P<part>metadata))?", re.A)
GREATEST_VERSION = (1 << 63) - 1
CHUNK_BYTES = 1 << 16
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
PATHS = ("", "/versions/{version}", "/labels/{label}")
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": description}
    for status, description in {
        400: "The request does not fit the model, or is no JSON",
        404: "No such model or version",
        413: "The body is too large",
        415: "An encoding of the body other than gzip",
        429: "The model's answer, or what it needs for it, is too large",
        503: "Models are being loaded, or too many calls wait",
        504: "The call took too long",
    }.items()
}


def rest_router(host: ModelHost) -> APIRouter:
    """Routes of the API. Errors are `{"error": "..."}`; bodies are bounded while they arrive, gzip or not."""
    router = APIRouter(tags=["models (TensorFlow Serving)"])

    async def predict(request: Request) -> Response:
        return await _answered(host, request)

    async def status(request: Request) -> Response:
        return await _answered(host, request)

    for path in PATHS:
        for method in ("predict", "classify", "regress"):
            _document(router, f"/v1/models/{{name}}{path}:{method}", "POST", predict, BODIES[method])
        _document(router, f"/v1/models/{{name}}{path}", "GET", status, None)
        _document(router, f"/v1/models/{{name}}{path}/metadata", "GET", status, None)
    router.add_api_route("/v1/models{rest:path}", status, methods=METHODS, include_in_schema=False)
    return router


def _document(router: APIRouter, path: str, method: str, function: Any, body: dict[str, Any] | None) -> None:
    """A route that OpenAPI shows. Its parameters are read from the path by `_answered`."""
    kinds = {"version": {"type": "integer", "minimum": 0, "maximum": GREATEST_VERSION}}
    plain = {"type": "string", "pattern": "^[^/:]+$"}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": kinds.get(name, plain)}
        for name in re.findall(r"\{(\w+)\}", path)
    ]
    extra: dict[str, Any] = {"parameters": parameters}
    if body is not None:
        extra["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    responses: dict[int | str, dict[str, Any]] = {
        200: {"description": "The answer", "content": {"application/json": {"schema": {"type": "object"}}}}
    }
    router.add_api_route(
        path,
        function,
        methods=[method],
        openapi_extra=extra,
        responses={**responses, **ERRORS},
        name=f"{method} {path}",
    )


SIGNATURE = {"signature_name": {"type": "string"}}
EXAMPLES = {
    "type": "object",
    "properties": {**SIGNATURE, "examples": {"type": "array", "items": {"type": "object"}, "minItems": 1}},
    "required": ["examples"],
}
BODIES: dict[str, dict[str, Any]] = {
    "predict": {
        "type": "object",
        "properties": {**SIGNATURE, "instances": {"type": "array", "minItems": 1}, "inputs": {}},
        "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
    },
    "classify": EXAMPLES,
    "regress": EXAMPLES,
}


async def _answered(host: ModelHost, request: Request) -> Response:
    try:
        body = await _answer(host, request)
    except CallError as error:
        return error_response(HTTP_STATUS[error.code], error.message)
    except BodyError as error:
        return error_response(error.status, str(error))
    return Response(body, media_type="application/json")


def error_response(status: int, message: str) -> Response:
    """An error as TensorFlow Serving sends it."""
    headers = {"Retry-After": "1"} if status == HTTP_STATUS[Code.UNAVAILABLE] else None
    body = json.dumps({"error": message}, ensure_ascii=False).encode(errors="replace")
    return Response(body, status, headers, media_type="application/json")


async def _answer(host: ModelHost, request: Request) -> bytes:
    path = _raw_path(request)
    if request.method == "POST" and (found := PREDICTION.fullmatch(path)):
        body = await read_body(request, host.limits.body_bytes)
        return await host.call(f"json_{found['method'].lower()}", body, **_spec(found))
    if request.method == "GET" and (found := STATUS.fullmatch(path)):
        spec = _spec(found)
        if found["part"]:
            return await host.call("json_metadata", **spec)
        if not spec["name"]:
            raise invalid("Missing model name in request.")
        rows = [state.as_status() for state in host.states.of(spec["name"], spec["version"], spec["label"])]
        return json.dumps({"model_version_status": rows}, indent=1).encode()
    raise invalid(f"Malformed request: {request.method} {path}")


def _raw_path(request: Request) -> str:
    """As the client sent it: a %2F in a name is no slash."""
    raw = request.scope.get("raw_path")
    path = raw.decode("latin-1").split("?")[0] if raw else request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", ""))


def _spec(found: re.Match[str]) -> dict[str, Any]:
    version = found["version"]
    if version is not None and (len(version) > 19 or int(version) > GREATEST_VERSION):
        raise invalid(f"Failed to convert version: {version} to numeric.")
    label = unquote(found["label"]) if found["label"] else None
    return {"name": unquote(found["name"] or ""), "version": None if version is None else int(version), "label": label}


class BodyError(Exception):
    """A body that is not read: too large, or in an encoding that is not known."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body of a request, decompressed where it is gzip.

    Raises:
        BodyError: more than `max_bytes` (413), another encoding (415), damaged gzip (400).
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("gzip", "x-gzip", "identity", ""):
        raise BodyError(415, f"Content-Encoding {encoding} is not supported; use gzip or none.")
    parts: list[bytes] = []
    size = 0
    async for chunk in _unpacked(request) if "gzip" in encoding else request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise BodyError(413, f"The body has more than {max_bytes} bytes.")
        parts.append(chunk)
    return b"".join(parts)


async def _unpacked(request: Request) -> AsyncIterator[bytes]:
    """Contents of a gzip body in chunks of bounded size, whatever the ratio."""
    gunzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        async for chunk in request.stream():
            while chunk and not gunzip.eof:
                yield gunzip.decompress(chunk, CHUNK_BYTES)
                chunk = gunzip.unconsumed_tail
            if gunzip.eof and (chunk or gunzip.unused_data):
                raise BodyError(400, "The gzip body has something after its end.")
        while not gunzip.eof and (rest := gunzip.decompress(gunzip.unconsumed_tail, CHUNK_BYTES)):
            yield rest
    except zlib.error as error:
        raise BodyError(400, "The body is no gzip.") from error
    if not gunzip.eof:
        raise BodyError(400, "The gzip body ends too early.")
