"""The server that raters meet: the page and its media, who they are, where they stand, and their answers.

Nothing that is sent names a system or an utterance, and no answers can be read but a rater's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from avsc_tf.core.errors import ListeningError
from avsc_tf.listening.design import (
    MEDIA_NAME,
    PREFERENCES,
    SITE_NAME,
    Design,
    media_name,
    modality_of,
    read_design,
)
from avsc_tf.listening.plan import Page
from avsc_tf.listening.store import AnswerStore, RaterState, RefusedError
from avsc_tf.web.headers import COMMON, content_security_policy, sender_with
from avsc_tf.web.listening_socket import listen

MAX_BODY_BYTES = 2048
_POLICY = content_security_policy(
    script_src="'unsafe-inline'",
    style_src="'unsafe-inline'",
    media_src="'self'",
    connect_src="'self'",
    img_src="data:",
    form_action="'none'",
)
_HEADERS = {"content-security-policy": _POLICY, **COMMON}


class Consent(BaseModel):
    """What a rater says before the first page."""

    model_config = ConfigDict(extra="forbid", strict=True)
    consent: bool


class Answer(BaseModel):
    """One answer; `seconds` that the page had been in view."""

    model_config = ConfigDict(extra="forbid", strict=True)
    page: int = Field(ge=1, le=10_000)
    question: str = Field(max_length=40)
    value: int = Field(ge=1, le=5)
    seconds: float = Field(ge=0, allow_inf_nan=False)


def serve(test: Path, db: Path, *, host: str = "127.0.0.1", port: int = 8765) -> None:
    """Serve the test in folder TEST and keep answers in the file DB, until interrupted.

    Args:
        port: 0 takes a free one; the address is printed.
    Raises:
        ListeningError: as `make_app`, or where the address cannot be listened on.
    """
    app = make_app(test, db)
    listening, address = listen(host, port, error=ListeningError)
    with listening:
        print(f"{address} shows {test}; answers go to {db}; Ctrl-C ends it", flush=True)
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
        uvicorn.Server(config).run(sockets=[listening])


def make_app(test: Path, db: Path) -> FastAPI:
    """The application. Raises ListeningError where TEST is no test or DB that of another one."""
    design = read_design(test)
    site = test / SITE_NAME
    if not site.is_dir():
        raise ListeningError(f"{site}: no such folder. Build the test again.")
    store = AnswerStore(db, design)
    app = FastAPI(title=design.title, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(_Border)

    @app.exception_handler(RefusedError)
    def refused(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error)}, getattr(error, "status", 422))

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": _told(error)}, 422)

    @app.post("/api/raters", status_code=201)
    def register(body: Consent) -> dict[str, Any]:
        if not body.consent:
            raise RefusedError(422, "a rater must agree to take part")
        return _public(design, store.register())

    @app.get("/api/raters/{rater}")
    def state(rater: str) -> dict[str, Any]:
        return _public(design, store.state(rater))

    @app.post("/api/raters/{rater}/answers")
    def answer(rater: str, body: Answer) -> dict[str, bool]:
        store.answer(rater, body.page, body.question, body.value, body.seconds)
        return {"saved": True}

    app.mount("/", StaticFiles(directory=site, html=True))
    return app


def _told(error: Exception) -> str:
    """Where and why, of what pydantic found; never what was sent."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    return "; ".join(f"{'.'.join(map(str, e['loc'][1:])) or 'body'}: {e['msg']}" for e in found) or "not understood"


def _public(design: Design, state: RaterState) -> dict[str, Any]:
    """What a rater's page is told: questions with the files they are about."""
    return {
        "test": design.test,
        "rater": state.rater,
        "code": state.code,
        "pages": [{"questions": [_question(page, question) for question in page.questions]} for page in state.pages],
        "answers": state.answers,
    }


def _question(page: Page, question: str) -> dict[str, Any]:
    clips = {"X": page.x, "A": page.a, "B": page.b} if question in PREFERENCES else {"": page.subject}
    modality = modality_of(question)
    sources = [(label, f"{MEDIA_NAME}/{media_name(name, modality)}") for label, name in clips.items() if name]
    return {"id": question, "modality": modality, "clips": [{"label": label, "src": src} for label, src in sources]}


class _Border:
    """Refuses bodies that are too large before they are read, and puts the security headers on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        cache = "max-age=86400, immutable" if scope["path"].startswith(f"/{MEDIA_NAME}/") else "no-store"
        send_with_headers = sender_with(send, lambda status: {**_HEADERS, "cache-control": cache})
        body = b""
        while scope["method"] not in ("GET", "HEAD"):
            message = await receive()
            body += message.get("body", b"")
            if len(body) > MAX_BODY_BYTES:
                too_large = JSONResponse({"error": f"a body may have {MAX_BODY_BYTES} bytes"}, 413)
                await too_large(scope, receive, send_with_headers)
                return
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                break
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_body() -> Message:
            return waiting.pop() if waiting else await receive()

        await self._app(scope, receive_body, send_with_headers)
