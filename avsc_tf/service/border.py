"""What every request passes before the application: host, rate, token, origin, size; and what every answer carries."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from avsc_tf.service.access import COOKIE, Access, RateLimiter
from avsc_tf.service.metrics import Metrics
from avsc_tf.service.refusals import RefusedError
from avsc_tf.service.settings import LOOPBACK, ServiceSettings
from avsc_tf.web.headers import COMMON, content_security_policy, sender_with

UPLOADS = "/v1/conversions"
_OPEN = ("/", "/docs", "/openapi.json", "/login", "/logout", "/session")  # what is asked for before a token is there
_OPEN_FOLDERS = ("/static/", "/health/")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_PAGE_POLICY = content_security_policy(
    script_src="'self'",
    style_src="'self'",
    media_src="'self' blob:",
    connect_src="'self'",
    img_src="'self' data:",
    form_action="'self'",
)
_DATA_POLICY = content_security_policy(sandbox="")  # media that strangers made, opened by themselves


class Border:
    """Middleware around everything."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: ServiceSettings,
        access: Access,
        metrics: Metrics,
        bound_host: Callable[[], str],
    ) -> None:
        self._app, self._settings, self._access, self._metrics = app, settings, access, metrics
        self._bound_host = bound_host
        self._limiter = RateLimiter(settings.jobs.requests_per_minute, settings.jobs.burst_requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, seen = time.perf_counter(), {"status": 500}

        def headers(status: int) -> dict[str, str]:
            seen["status"] = status
            self._metrics.latency.labels(_route(scope)).observe(time.perf_counter() - started)
            policy = _DATA_POLICY if scope["path"].startswith("/v1/") else _PAGE_POLICY
            return {**COMMON, "content-security-policy": policy, "cache-control": "no-store"}

        answer = sender_with(send, headers)
        try:
            refusal = self._refusal(scope)
            if refusal is not None:
                await refusal.response()(scope, receive, answer)
            else:
                await self._app(scope, self._limited(scope, receive), answer)
        finally:
            self._metrics.requests.labels(_route(scope), _method(scope), str(seen["status"])).inc()

    def _refusal(self, scope: Scope) -> RefusedError | None:
        """Why the request is not let in; who asks is noted in the scope where it is."""
        headers = Headers(scope=scope)
        if not self._is_known_host(headers.get("host", "")):
            return RefusedError(421, "this service is not known by that host name (access.hosts)")
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE)
        identity = self._access.identify(headers.get("authorization"), cookie)
        address = scope["client"][0] if scope.get("client") else "unknown"
        is_named = identity is not None and self._access.needs_token
        client = f"token {identity.owner}" if identity is not None and is_named else f"address {address}"
        path = scope["path"]
        if not path.startswith(_OPEN_FOLDERS):
            wait = self._limiter.wait_seconds(client)
            if wait:
                retry = {"retry-after": str(max(1, math.ceil(wait)))}
                return RefusedError(429, "too many requests; wait a little", retry)
        if identity is None and not needs_no_token(path):
            return RefusedError(401, "a token is needed: Authorization: Bearer TOKEN", {"www-authenticate": "Bearer"})
        by_browser = identity is None or identity.by_cookie
        if scope["method"] not in _SAFE_METHODS and by_browser and not _is_same_origin(headers):
            return RefusedError(403, "the request comes from a page of another site")
        scope["state"] = {**scope.get("state", {}), "identity": identity}
        return None

    def _is_known_host(self, asked: str) -> bool:
        """Without tokens, a page of another site must not reach this machine under a name of its own."""
        known = set(self._settings.access.hosts)
        if not known and (self._access.needs_token or self._bound_host() not in LOOPBACK):
            return True
        name = asked.rpartition(":")[0] if asked.rpartition(":")[2].isdigit() else asked
        return name.strip("[]").lower() in {*known, *LOOPBACK, self._bound_host()}

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """Bodies of bounded size; uploads have a limit of their own."""
        if scope["path"] == UPLOADS:
            return receive
        most, count = self._settings.upload.max_other_bytes, 0

        async def receive_limited() -> Message:
            nonlocal count
            message = await receive()
            count += len(message.get("body", b""))
            if count > most:
                raise HTTPException(413, f"a body may have {most} bytes")
            return message

        return receive_limited


def needs_no_token(path: str) -> bool:
    """Whether anybody may ask for an address."""
    return path in _OPEN or path.startswith(_OPEN_FOLDERS)


def _is_same_origin(headers: Headers) -> bool:
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or origin.partition("://")[2] == headers.get("host")


def _route(scope: Scope) -> str:
    """The route's pattern, so that figures stay few whatever is asked for."""
    route: Any = scope.get("route")
    return str(getattr(route, "path", "")) or "other"


def _method(scope: Scope) -> str:
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return scope["method"] if scope["method"] in known else "other"
