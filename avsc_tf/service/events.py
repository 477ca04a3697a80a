"""Server-sent events of one job: its state whenever that changes, and a sign of life in between.

An event's id names the state it told. Who comes again with it (Last-Event-ID) is told nothing twice, and 204, which
ends a browser's attempts, where the last word was said.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool

from avsc_tf.service.core import Service
from avsc_tf.service.jobs import FINISHED, Job
from avsc_tf.service.shown import shown

_POLL_SECONDS = 0.25
_HEARTBEAT_SECONDS = 10.0
_LONGEST_SECONDS = 1800.0  # then the client comes again
_RETRY_MS = 2000


def event_id(service: Service, job: Job) -> str:
    """Of what a job's event would say now; it changes at least once a second while the job goes on."""
    if job.state in FINISHED:
        return f"{job.state}-{job.starts}"
    board = service.pipeline.board
    progress = board.get(job.id)
    told = f"ahead-{service.store.ahead_of(job)}" if progress is None else f"{progress.number}-{int(time.monotonic())}"
    return f"{board.run}-{job.state}-{told}"


async def events(service: Service, job_id: str, last_id: str | None) -> AsyncIterator[bytes]:
    """The stream's bytes."""
    started = spoke = time.monotonic()
    yield f"retry: {_RETRY_MS}\n\n".encode()
    try:
        service.event_streams += 1
        while not service.stopping.is_set() and time.monotonic() - started < _LONGEST_SECONDS:
            said = await run_in_threadpool(_next, service, job_id, last_id)
            if said is not None:
                last_id, text, is_last = said
                spoke = time.monotonic()
                yield text
                if is_last:
                    return
            elif time.monotonic() - spoke > _HEARTBEAT_SECONDS:
                spoke = time.monotonic()
                yield b": still here\n\n"
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        service.event_streams -= 1


def _next(service: Service, job_id: str, last_id: str | None) -> tuple[str, bytes, bool] | None:
    job = service.store.get(job_id)
    if job is None:
        return "gone", b"id: gone\nevent: gone\ndata: {}\n\n", True
    now = event_id(service, job)
    if now == last_id:
        return None
    data = shown(service, job).model_dump_json()
    return now, f"id: {now}\nevent: state\ndata: {data}\n\n".encode(), job.state in FINISHED
