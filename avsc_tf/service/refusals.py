"""Answers that say no: a status, and what is wrong and what to do in one line of JSON, `{"error": ...}`."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match

from avsc_tf.core.errors import ServiceError


class Error(BaseModel):
    """What every refusal holds."""

    error: str


class RefusedError(ServiceError):
    """A request that is not taken."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}

    def response(self) -> JSONResponse:
        return JSONResponse({"error": str(self)}, self.status, self.headers)


MEANINGS = {
    400: "Not understood",
    401: "No valid token",
    403: "Not allowed: the request comes from another site, or the target's consent has ended",
    404: "No such thing, or another token's",
    408: "The upload took too long",
    409: "The job is not in the state for it, or the idempotency key was used for another request",
    411: "The length of the body is not said",
    413: "Too large",
    415: "Not a format that is taken",
    416: "The range lies outside of the file",
    422: "A parameter is wrong",
    429: "Too many requests or unfinished jobs; see Retry-After",
    503: "Cannot take it now; see Retry-After",
    504: "The computation takes too long",
    507: "No room on the disk",
}


def told(*statuses: int) -> dict[int | str, dict[str, object]]:
    """For OpenAPI."""
    return {status: {"model": Error, "description": MEANINGS[status]} for status in statuses}


def handle_refusals(app: FastAPI) -> None:
    """All refusals of an app look alike."""

    @app.exception_handler(RefusedError)
    def refused(_: Request, error: RefusedError) -> JSONResponse:
        return error.response()

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> JSONResponse:
        headers = {"allow": _methods(request)} if error.status_code == 405 else error.headers
        return JSONResponse({"error": str(error.detail)}, error.status_code, headers)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        """Where and why; never what was sent."""
        found = [f"{'.'.join(map(str, e['loc'][1:])) or 'body'}: {e['msg']}" for e in error.errors()]
        return JSONResponse({"error": "; ".join(found) or "not understood"}, 422)


def _methods(request: Request) -> str:
    """Of all routes of the address; the framework names those of the first one alone."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] != Match.NONE]
    return ", ".join(sorted({method for route in routes for method in getattr(route, "methods", None) or ()}))
