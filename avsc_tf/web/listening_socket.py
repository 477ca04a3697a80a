"""The socket a server listens on."""

from __future__ import annotations

import socket


def listen(host: str, port: int, *, error: type[Exception]) -> tuple[socket.socket, str]:
    """A listening socket and the address people open, `http://HOST:PORT/`.

    Args:
        port: 0 takes a free one.
        error: raised where the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as reason:
        raise error(f"--host {host} --port {port}: cannot listen there ({reason}). Name another port.") from reason
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    return listening, f"http://{shown}:{listening.getsockname()[1]}/"
