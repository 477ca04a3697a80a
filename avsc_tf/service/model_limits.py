"""What the model process may be asked for. Defaults suit one computer; docs/serve_models.md explains them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelLimits:
    """Bounds on calls of models.

    Attributes:
        concurrency: calls computed at a time; more wait.
        queue: calls that may wait; further ones are refused (UNAVAILABLE, 503).
        body_bytes: of one request, decompressed, and of one answer.
        elements: of all inputs of a call together, and of all outputs.
        call_seconds: for waiting and computing together (DEADLINE_EXCEEDED, 504).
        grace_seconds: past those, a computation that cannot be interrupted ends the process; it starts again.
        load_seconds: for loading all models.
        memory_bytes: that calls may take beyond what the loaded models do.
        graph_bytes: of one saved_model.pb.
        variables_bytes: of one model's variables, on disk.
    """

    concurrency: int = 2
    queue: int = 32
    body_bytes: int = 64 << 20
    elements: int = 8 << 20
    call_seconds: float = 60.0
    grace_seconds: float = 10.0
    load_seconds: float = 300.0
    memory_bytes: int = 8 << 30
    graph_bytes: int = 256 << 20
    variables_bytes: int = 4 << 30
