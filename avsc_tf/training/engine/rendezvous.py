"""The processes of a training wait for each other before TensorFlow does, which would wait for an hour, deaf to Ctrl-C.

The chief listens at the port that TensorFlow will have; each of the others tells it its number and waits for the word.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack

from avsc_tf.core.errors import TrainingError

WAIT_SECONDS = 600.0
POLL_SECONDS = 0.5  # also how soon Ctrl-C is heard
GO = b"go"


def meet(places: Sequence[str], number: int, *, seconds: float = WAIT_SECONDS) -> None:
    """Return once all processes are there.

    Args:
        places: "HOST:PORT" of each, the chief's first.
        number: which of them this is.

    Raises:
        TrainingError: after `seconds`, naming those that did not come; this port cannot be had.
    """
    if number == 0:
        _gather(places, time.monotonic() + seconds)
    else:
        _report(places, number, time.monotonic() + seconds)


def _gather(places: Sequence[str], end: float) -> None:
    port = _address(places[0])[1]
    try:
        server = socket.create_server(("", port))
    except OSError as error:
        raise TrainingError(f"{places[0]}: cannot listen at this port ({error.strerror}). Choose another.") from error
    with server, ExitStack() as connections:
        server.settimeout(POLL_SECONDS)
        arrived: dict[int, socket.socket] = {}
        while len(arrived) < len(places) - 1:
            if time.monotonic() > end:
                missing = ", ".join(place for k, place in enumerate(places) if k and k not in arrived)
                raise TrainingError(f"{missing}: did not come. Start the same command there, with its own index.")
            number, connection = _accepted(server, connections)
            if connection is not None and 0 < number < len(places):
                arrived[number] = connection
        for connection in arrived.values():
            connection.sendall(GO)


def _accepted(server: socket.socket, connections: ExitStack) -> tuple[int, socket.socket | None]:
    """One more process, its number and the way to it; None where nobody came, or somebody else."""
    try:
        connection = connections.enter_context(server.accept()[0])
        connection.settimeout(POLL_SECONDS)
        return int(connection.recv(16)), connection
    except (OSError, ValueError):
        return 0, None


def _report(places: Sequence[str], number: int, end: float) -> None:
    while time.monotonic() < end:
        try:
            with socket.create_connection(_address(places[0]), timeout=POLL_SECONDS) as connection:
                connection.sendall(str(number).encode())
                if _hears_go(connection, end):
                    return
        except OSError:
            pass
        time.sleep(POLL_SECONDS)
    raise TrainingError(
        f"{places[0]}: no word from the chief that all are there. Start the same command on {', '.join(places)}, "
        "each with its own index, and see that they reach each other."
    )


def _hears_go(connection: socket.socket, end: float) -> bool:
    """Whether the word came; not where the chief went away."""
    while time.monotonic() < end:
        try:
            return connection.recv(len(GO)) == GO
        except TimeoutError:
            continue
    return False


def _address(place: str) -> tuple[str, int]:
    host, _, port = place.rpartition(":")
    return host.strip("[]"), int(port)
