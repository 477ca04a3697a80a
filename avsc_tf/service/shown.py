"""A job as clients see it."""

from __future__ import annotations

import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from avsc_tf.service.core import Service
from avsc_tf.service.jobs import DONE, FINISHED, QUEUED, Job

_EXAMPLE: dict[str, Any] = {
    "id": "vXb0cU3mJ0a6Z1Qq0m2T8kNw",
    "state": "converting",
    "stage": "speak",
    "progress": 0.41,
    "seconds_left": 12.5,
    "ahead": 0,
    "vocoder": "wavenet",
    "seed": 0,
    "name": "holiday.mp4",
    "media_type": "video/mp4",
    "upload_bytes": 1482331,
    "clip_seconds": 2.68,
    "created_at": "2026-01-31T12:00:00Z",
    "finished_at": None,
    "result_bytes": 0,
    "notes": [],
    "error": None,
    "error_kind": None,
    "links": {
        "self": "/v1/conversions/vXb0cU3mJ0a6Z1Qq0m2T8kNw",
        "events": "/v1/conversions/vXb0cU3mJ0a6Z1Qq0m2T8kNw/events",
        "source": "/v1/conversions/vXb0cU3mJ0a6Z1Qq0m2T8kNw/source",
    },
}


class Conversion(BaseModel):
    """A job."""

    id: str = Field(description="Cannot be guessed; whoever has no token needs nothing else to see the job")
    state: Literal["queued", "checking", "converting", "done", "failed", "cancelled"]
    stage: str | None = Field(description="Within checking and converting: check, read, speak, paint, finish")
    progress: float = Field(ge=0, le=1, description="Share of the whole job")
    seconds_left: float | None = Field(description="An estimate, from jobs before it")
    ahead: int = Field(description="Unfinished jobs before it")
    vocoder: str
    seed: int
    name: str = Field(description="The file's name, made fit to be shown")
    media_type: str
    upload_bytes: int
    clip_seconds: float | None
    created_at: datetime.datetime
    finished_at: datetime.datetime | None
    result_bytes: int
    notes: list[str] = Field(description="What to know of the result")
    error: str | None
    error_kind: str | None
    links: dict[str, str]

    model_config = {"json_schema_extra": {"examples": [_EXAMPLE]}}


class Conversions(BaseModel):
    """The jobs of whoever asks, the latest first."""

    conversions: list[Conversion]


def _time(seconds: float | None) -> datetime.datetime | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def shown(service: Service, job: Job) -> Conversion:
    """The job with its progress."""
    board = service.pipeline.board
    progress = None if job.state in FINISHED else board.get(job.id)
    here = f"/v1/conversions/{job.id}"
    links = {"self": here, "events": f"{here}/events", "source": f"{here}/source"}
    if job.state == DONE:
        links["result"] = f"{here}/result"
    created = _time(job.created_at)
    assert created is not None
    return Conversion(
        id=job.id,
        state=job.state,  # type: ignore[arg-type]
        stage=None if progress is None else progress.stage,
        progress=1.0 if job.state == DONE else 0.0 if progress is None else round(board.overall(progress), 3),
        seconds_left=None if progress is None else round(board.seconds_left(progress), 1),
        ahead=service.store.ahead_of(job) if job.state == QUEUED else 0,
        vocoder=job.vocoder,
        seed=job.seed,
        name=job.name,
        media_type=job.media_type,
        upload_bytes=job.upload_bytes,
        clip_seconds=None if job.clip_seconds is None else round(job.clip_seconds, 3),
        created_at=created,
        finished_at=_time(job.finished_at),
        result_bytes=job.result_bytes,
        notes=job.notes.splitlines(),
        error=job.error,
        error_kind=job.error_kind,
        links=links,
    )
