"""Headers that tell browsers to trust nothing but the page itself."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import Message, Send

COMMON = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def content_security_policy(**sources: str) -> str:
    """A policy that allows what is named (`script_src="'self'"`) and nothing else, neither framing nor another base."""
    named = "; ".join(f"{name.replace('_', '-')} {source}" for name, source in sources.items())
    return f"default-src 'none'; {named}; base-uri 'none'; frame-ancestors 'none'"


def sender_with(send: Send, headers: Callable[[int], dict[str, str]]) -> Send:
    """`send` that adds headers to the start of an answer; `headers` is given the status."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(name.encode(), value.encode()) for name, value in headers(message["status"]).items()]
            message["headers"] = [*message.get("headers", ()), *own]
        await send(message)

    return send_with_headers
