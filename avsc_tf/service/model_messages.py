"""Messages between the service and its model process: a line of JSON, then bytes. Nothing in them is executed.

A request: `id`, `method`, `name`, `version` or `label`, `seconds`; its body is the client's. A reply: `id`, `code`,
`message` where there is an error; its body goes to the client. The process also tells, unasked, `event` "models" with
the state of each version, and "ready".
"""

from __future__ import annotations

import json
from typing import Any

HEADER_BYTES = 1 << 20  # more than a table of models needs


def pack(header: dict[str, Any], body: bytes = b"") -> bytes:
    """One message."""
    return json.dumps(header, separators=(",", ":")).encode() + b"\n" + body


def unpack(frame: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and body of a message. Raises ValueError where it is none."""
    end = frame.index(b"\n", 0, HEADER_BYTES)
    header = json.loads(frame[:end])
    if not isinstance(header, dict):
        raise ValueError("the header of a message is not an object")
    return header, frame[end + 1 :]
