"""The application: conversions, page, documentation, health and figures behind one border."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.concurrency import run_in_threadpool
from starlette.staticfiles import StaticFiles

from avsc_tf.service import routes
from avsc_tf.service.access import COOKIE
from avsc_tf.service.border import Border, needs_no_token
from avsc_tf.service.core import Service
from avsc_tf.service.models import model_router
from avsc_tf.service.refusals import MEANINGS, RefusedError, handle_refusals, told

_SITE = Path(__file__).parent / "site"
_ERROR = {"$ref": "#/components/schemas/Error"}
_ABOUT = """Converts a clip of the source speaker to a video of the target speaker, voice and face together.

Send a clip to `POST /v1/conversions`, follow the job it answers with, fetch the result. Errors are `{"error": "..."}`.
Where the service has tokens, each request needs `Authorization: Bearer TOKEN`. What is made is a synthetic video."""


class Login(BaseModel):
    """What the page sends."""

    model_config = ConfigDict(extra="forbid", strict=True)
    token: Annotated[str, StringConstraints(min_length=1, max_length=500)]


class Session(BaseModel):
    """Who the page is used by, and what it may send."""

    needs_token: bool
    name: str | None = Field(description="The token's name; null before login, and where there are no tokens")
    vocoders: list[str]
    vocoder: str
    max_bytes: int
    max_seconds: float
    retention_hours: float


class Health(BaseModel):
    """Whether conversions can be made, and what is in the way."""

    ready: bool
    checks: dict[str, str]


def make_app(service: Service, routers: Sequence[APIRouter] = ()) -> FastAPI:
    """The application of an opened service; it starts the service with itself and stops it at its end.

    Args:
        routers: of other protocols, behind the same border.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.stopping.set()
        await run_in_threadpool(service.stop)

    app = FastAPI(
        title="avsc_tf",
        version="1",
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=told(429),
    )
    app.state.service = service
    app.add_middleware(
        Border,  # type: ignore[arg-type]
        settings=service.settings,
        access=service.access,
        metrics=service.metrics,
        bound_host=lambda: service.bound_host,
    )
    handle_refusals(app)
    models = [model_router(service.models)] if service.models is not None else []
    for router in (routes.router, _router, *models, *routers):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=_SITE / "static"))
    if service.access.needs_token:
        _say_tokens(app)
    return app


_router = APIRouter()


@_router.get("/", include_in_schema=False)
def page() -> FileResponse:
    return FileResponse(_SITE / "page.html")


@_router.get("/docs", include_in_schema=False)
def docs() -> FileResponse:
    return FileResponse(_SITE / "docs.html")


@_router.get("/health/live", tags=["health"])
def live() -> dict[str, bool]:
    """Whether the server answers."""
    return {"live": True}


@_router.get("/health/ready", tags=["health"], responses={503: {"model": Health, "description": "Not now"}})
def ready(request: Request, response: Response) -> Health:
    """Whether conversions can be made: bundle loaded, process alive, consent valid, room on the disk."""
    checks = request.app.state.service.health()
    health = Health(ready=set(checks.values()) == {"ok"}, checks=checks)
    response.status_code = 200 if health.ready else 503
    return health


@_router.get("/metrics", tags=["health"], response_class=PlainTextResponse, responses=told(401))
def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    return Response(request.app.state.service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@_router.get("/session", tags=["page"])
def session(request: Request) -> Session:
    """What the page needs to know before anything is sent."""
    service: Service = request.app.state.service
    settings, identity = service.settings, request.state.identity
    return Session(
        needs_token=service.access.needs_token,
        name=identity.owner if identity is not None and service.access.needs_token else None,
        vocoders=list(settings.conversion.offered),
        vocoder=settings.conversion.vocoder,
        max_bytes=settings.upload.max_bytes,
        max_seconds=settings.clip.max_seconds,
        retention_hours=settings.jobs.retention_hours,
    )


@_router.post("/login", tags=["page"], status_code=204, responses=told(400, 401, 403, 413, 422))
def login(request: Request, body: Login) -> Response:
    """A cookie in place of a token, for the page: HttpOnly, SameSite=Strict."""
    service: Service = request.app.state.service
    name = service.access.by_token(body.token)
    if name is None:
        raise RefusedError(401, "this is no valid token", {"www-authenticate": "Bearer"})
    response = Response(status_code=204)
    access = service.settings.access
    response.set_cookie(
        COOKIE,
        service.access.session(name),
        max_age=round(access.session_hours * 3600),
        httponly=True,
        samesite="strict",
        secure=access.secure_cookie,
    )
    return response


@_router.post("/logout", tags=["page"], status_code=204, responses=told(403))
def logout() -> Response:
    """Take the cookie back."""
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


def _say_tokens(app: FastAPI) -> None:
    """Name the tokens in OpenAPI, and their lack wherever one is needed."""
    refused = {"description": MEANINGS[401], "content": {"application/json": {"schema": _ERROR}}}
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        schema = plain()
        schemes = {"token": {"type": "http", "scheme": "bearer"}}
        schema.setdefault("components", {})["securitySchemes"] = schemes
        schema["security"] = [{"token": []}]
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                if needs_no_token(path):
                    operation["security"] = []
                else:
                    operation["responses"].setdefault("401", refused)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
