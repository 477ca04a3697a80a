"""Exported models over HTTP, at the addresses and in the JSON of TensorFlow Serving's REST API.

The SavedModels live in a process of their own (`model_worker`); this one never loads TensorFlow. When that process
ends, or a computation cannot be interrupted in time, the call it had gets 503, and the next one starts it again.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from avsc_tf.core.errors import BundleError
from avsc_tf.service.processes import MAX_LINE_BYTES, LineProcess, ProcessEndedError
from avsc_tf.service.refusals import RefusedError, told
from avsc_tf.service.settings import ModelSettings

GRACE_SECONDS = 15.0  # TensorFlow is interrupted between two operations, and waits 10 s for memory


@dataclass
class ModelVersion:
    """A folder NAME/NUMBER with a SavedModel, and its signatures as JSON once it is loaded."""

    name: str
    number: int
    folder: Path
    signatures: dict[str, Any] | None = None


class ModelHost:
    """All versions of all models of a folder, computed by one process within a `with` block.

    Raises:
        BundleError: no NAME/NUMBER/saved_model.pb in the folder; on entry: one of them cannot be loaded.
    """

    def __init__(self, folder: Path, settings: ModelSettings, hidden_variables: Sequence[str] = ()) -> None:
        graphs = [path for path in folder.absolute().glob("*/*/saved_model.pb") if path.parts[-2].isdecimal()]
        if not graphs:
            raise BundleError(f"{folder}: no model in it; expected NAME/1/saved_model.pb. avsc export makes them.")
        found = [ModelVersion(path.parts[-3], int(path.parts[-2]), path.parent) for path in graphs]
        self.versions = sorted(found, key=lambda version: (version.name, version.number))
        self.settings, self._hidden = settings, set(hidden_variables)
        self.calls, self.restarts = 0, -1
        self.process: LineProcess | None = None
        self._turn = asyncio.Lock()  # a computation uses all cores: calls are computed one after another

    def __enter__(self) -> ModelHost:
        try:
            self._running()
        except ProcessEndedError as error:
            self.__exit__()
            raise BundleError(f"{self.versions[0].folder.parents[1]}: {error}") from error
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process is not None:
            self.process.kill()

    def find(self, name: str, number: int | None = None) -> list[ModelVersion]:
        """That version of a model, or all of them, the newest first. Raises RefusedError (404)."""
        found = [v for v in reversed(self.versions) if v.name == name and number in (None, v.number)]
        if not found:
            raise RefusedError(404, f"there is no model {name}" + ("" if number is None else f" of version {number}"))
        return found

    async def predict(self, version: ModelVersion, body: str) -> Response:
        """Answer to the JSON of a request. Raises RefusedError (503, 504)."""
        if self.calls > self.settings.queue:
            raise RefusedError(503, "too many calls wait; try again", {"retry-after": "1"})
        deadline = time.monotonic() + self.settings.call_seconds
        self.calls += 1
        try:
            async with self._turn:
                answer = await run_in_threadpool(self._ask, self.versions.index(version), body, deadline)
        except ProcessEndedError as error:
            raise RefusedError(503, f"{error}; try again", {"retry-after": "1"}) from error
        finally:
            self.calls -= 1
        sys.stderr.write(answer.get("log", ""))
        return Response(answer["body"], answer["status"], media_type="application/json")

    def _ask(self, index: int, body: str, deadline: float) -> dict[str, Any]:
        try:
            process = self._running()
            seconds = deadline - time.monotonic()
            if seconds <= 0:
                raise RefusedError(504, f"the call waited for {self.settings.call_seconds:g} s")
            process.say({"model": index, "seconds": seconds, "body": body})
            answer = process.hear(seconds + GRACE_SECONDS)
            if answer is None:
                raise ProcessEndedError("the computation could not be interrupted, so its process was ended")
        except ProcessEndedError:
            self.__exit__()
            raise
        return answer

    def _running(self) -> LineProcess:
        """The process with its models loaded; started where it does not run. Raises ProcessEndedError."""
        if self.process is not None and self.process.is_alive():
            return self.process
        self.__exit__()
        limits = {"elements": self.settings.elements, "memory_bytes": self.settings.memory_bytes}
        self.process = process = LineProcess(
            "avsc_tf.service.model_worker",
            json.dumps({"folders": [str(version.folder) for version in self.versions], **limits}),
            environment={name: value for name, value in os.environ.items() if name not in self._hidden},
            quiet=True,
            max_line_bytes=MAX_LINE_BYTES + 64 * self.settings.elements,  # more than numbers take in JSON
        )
        self.restarts += 1
        deadline = time.monotonic() + self.settings.load_seconds
        for version in self.versions:
            answer = process.hear(max(0.0, deadline - time.monotonic())) or {"error": "it is not loaded in time"}
            if "error" in answer:
                raise ProcessEndedError(f"{version.name}/{version.number}: {answer['error']}")
            version.signatures = answer["signatures"]
        return process


def _newest(name: str) -> tuple[str, int | None]:
    return name, None


def _numbered(name: str, version: int) -> tuple[str, int | None]:
    return name, version


def model_router(host: ModelHost) -> APIRouter:
    """Status, signatures and predictions of the newest or of a numbered version of each model."""
    router = APIRouter(tags=["models"], responses=told(404, 422))
    schema = {"type": "object", "properties": {"signature_name": {"type": "string"}, "instances": {}, "inputs": {}}}
    body = {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
    for path, read in (("/v1/models/{name}", _newest), ("/v1/models/{name}/versions/{version}", _numbered)):
        asked = Depends(read)

        @router.post(f"{path}:predict", responses=told(400, 413, 503, 504), openapi_extra=body)
        async def predict(request: Request, model: Any = asked) -> Response:
            version = host.find(*model)[0]
            return await host.predict(version, (await request.body()).decode(errors="replace"))

        @router.get(f"{path}/metadata")
        def metadata(model: Any = asked) -> dict[str, Any]:
            version = host.find(*model)[0]
            spec = {"name": version.name, "signature_name": "", "version": str(version.number)}
            return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": version.signatures}}}

        @router.get(path)
        def status(model: Any = asked) -> dict[str, Any]:
            good = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
            return {"model_version_status": [{"version": str(v.number), **good} for v in host.find(*model)]}

    return router
