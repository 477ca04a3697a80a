"""Conversions over HTTP: send a clip, follow it, fetch the result, cancel or remove it."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from avsc_tf.service.core import RETRY_SECONDS, Service
from avsc_tf.service.events import event_id, events
from avsc_tf.service.jobs import DONE, FINISHED, FullError, Job, KeyReusedError, check_room, new_id
from avsc_tf.service.refusals import RefusedError, told
from avsc_tf.service.shown import Conversion, Conversions, shown
from avsc_tf.service.storage import sync_file
from avsc_tf.service.uploads import Received, receive_upload

MAX_SEED = 2**31 - 1
_ANY = told(401, 403, 404, 422, 429)
_RANGE = re.compile(r"bytes=(?:(\d{1,15})-(\d{0,15})|-(\d{1,15}))")
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_MEDIA: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", "content": {"video/mp4": _BINARY, "*/*": _BINARY}},
    206: {"description": "A part of it, as the header Range asks", "content": {"video/mp4": _BINARY, "*/*": _BINARY}},
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events named state, each with a job",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    204: {"description": "The event of Last-Event-ID was the last"},
}
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "MP4, MOV, WebM, MKV, AVI, MPEG, WAV, FLAC, ..."},
        "vocoder": {"type": "string", "enum": ["wavenet", "griffin-lim"]},
        "seed": {"type": "integer", "minimum": 0, "maximum": MAX_SEED},
    },
    "additionalProperties": False,
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": _FORM}, "video/*": _BINARY, "audio/*": _BINARY},
    }
}
JobId = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{24}$", description="As POST answered")]
router = APIRouter(prefix="/v1/conversions", tags=["conversions"])


@router.post("", status_code=202, openapi_extra=_BODY, responses={
    200: {"model": Conversion, "description": "The job that was made before with the same Idempotency-Key"},
    **told(400, 401, 403, 408, 409, 411, 413, 415, 422, 429, 503, 507),
})  # fmt: skip
async def convert(
    request: Request,
    response: Response,
    vocoder: Annotated[
        str | None, Query(pattern="^(wavenet|griffin-lim)$", description="wavenet is the real voice")
    ] = None,
    seed: Annotated[int | None, Query(ge=0, le=MAX_SEED, description="Of the voice's random numbers")] = None,
    idempotency_key: Annotated[str | None, Header(pattern="^[!-~]{1,100}$")] = None,
) -> Conversion:
    """Send a clip, as a form with a part `file` or as the body itself; it is converted when its turn comes."""
    service, owner = _service(request), _owner(request)
    _only_known(request, "vocoder", "seed")
    await run_in_threadpool(_check_may_begin, service, owner)
    job_id = new_id()
    service.uploading[job_id] = _bytes_at_most(service, request)
    try:
        await run_in_threadpool(service.check_room, 0)
        part = service.storage.uploads / f"{job_id}.part"
        received = await receive_upload(request, part, service.settings.upload)
        asked = _asked(service, received, vocoder, seed)
        job = await run_in_threadpool(
            _accept, service, job_id, owner, received, {**asked, "idempotency_key": idempotency_key}
        )
    finally:
        del service.uploading[job_id]
    response.headers["location"] = f"/v1/conversions/{job.id}"
    response.status_code = 202 if job.id == job_id else 200
    service.pipeline.wake()
    return await run_in_threadpool(shown, service, job)


@router.get("", responses=told(401, 422, 429))
def conversions(request: Request, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> Conversions:
    """Your jobs, the latest first."""
    service = _service(request)
    _only_known(request, "limit")
    jobs = service.store.of_owner(_owner(request), limit)
    return Conversions(conversions=[shown(service, job) for job in jobs])


@router.get("/{job_id}", responses=_ANY)
def conversion(request: Request, job_id: JobId) -> Conversion:
    """State and progress of one job."""
    return shown(_service(request), _own(request, job_id))


@router.get("/{job_id}/events", response_class=StreamingResponse, responses={**_STREAM, **_ANY, **told(503)})
def follow(
    request: Request, job_id: JobId, last_event_id: Annotated[str | None, Header(max_length=100)] = None
) -> Response:
    """The job's state now and whenever it changes, until it has ended."""
    service, job = _service(request), _own(request, job_id)
    if job.state in FINISHED and last_event_id == event_id(service, job):
        return Response(status_code=204)
    if service.event_streams >= service.settings.jobs.max_event_streams:
        raise RefusedError(
            503, "too many open streams of events; ask for the state instead", {"retry-after": RETRY_SECONDS}
        )
    return StreamingResponse(events(service, job_id, last_event_id), media_type="text/event-stream")


@router.get("/{job_id}/result", response_class=FileResponse, responses={**_MEDIA, **_ANY, **told(409, 416)})
def result(request: Request, job_id: JobId) -> FileResponse:
    """The converted video, a synthetic one that says so; parts of it by Range."""
    service, job = _service(request), _own(request, job_id)
    path = service.storage.result(job)
    if job.state != DONE or path is None:
        raise RefusedError(
            409, f"there is no result: the job is {job.state}" + (f" ({job.error})" if job.error else "")
        )
    media_type = "video/mp4" if path.suffix == ".mp4" else "audio/wav"
    return _file(request, path, media_type, f"converted-{job.id[:8]}{path.suffix}")


@router.get("/{job_id}/source", response_class=FileResponse, responses={**_MEDIA, **_ANY, **told(416)})
def source(request: Request, job_id: JobId) -> FileResponse:
    """The clip as it was sent."""
    service, job = _service(request), _own(request, job_id)
    return _file(request, service.storage.upload(job.id), job.media_type, f"source-{job.id[:8]}")


@router.delete("/{job_id}", status_code=204, responses=_ANY)
def remove(request: Request, job_id: JobId) -> Response:
    """Cancel a job that has not ended, also one under way; remove one that has, with its files."""
    service, job = _service(request), _own(request, job_id)
    if not service.pipeline.cancel(job.id) and service.store.remove(job.id):
        service.storage.forget(job)
    return Response(status_code=204)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _owner(request: Request) -> str:
    owner: str = request.state.identity.owner
    return owner


def _own(request: Request, job_id: str) -> Job:
    """Another token's job is as unknown as none."""
    job = _service(request).store.get(job_id)
    if job is None or job.owner != _owner(request):
        raise RefusedError(404, "there is no such job")
    return job


def _only_known(request: Request, *names: str) -> None:
    unknown = sorted(set(request.query_params) - set(names))
    if unknown:
        raise RefusedError(422, f"unknown parameter; known are {', '.join(names)}")


def _bytes_at_most(service: Service, request: Request) -> int:
    most = service.settings.upload.max_bytes
    declared = request.headers.get("content-length", "")
    return min(most, int(declared)) if declared.isdigit() else most


def _check_may_begin(service: Service, owner: str) -> None:
    service.check_consent()
    problem = service.pipeline.problem
    if problem is not None:
        raise RefusedError(503, "conversions cannot be made now: the networks are not loaded", {"retry-after": "60"})
    if len(service.uploading) >= service.settings.upload.max_concurrent:
        raise RefusedError(503, "too many uploads at once", {"retry-after": RETRY_SECONDS})
    limits = service.settings.jobs
    try:
        check_room(*service.store.room(owner), max_queued=limits.max_queued, max_own=limits.max_per_client)
    except FullError as error:
        raise _full(error) from error


def _full(error: FullError) -> RefusedError:
    return RefusedError(429 if error.is_client else 503, str(error), {"retry-after": RETRY_SECONDS})


def _asked(service: Service, received: Received, vocoder: str | None, seed: int | None) -> dict[str, Any]:
    """Parameters of the address or the form; never of both."""
    for name, value in (("vocoder", vocoder), ("seed", seed)):
        if value is not None and name in received.fields:
            received.path.unlink()
            raise RefusedError(422, f"{name}: is there twice, in the address and in the form")
    chosen = vocoder or received.fields.get("vocoder") or service.settings.conversion.vocoder
    text = received.fields.get("seed", str(service.settings.conversion.seed if seed is None else seed))
    offered = service.settings.conversion.offered
    if chosen not in offered or not re.fullmatch(r"\d{1,10}", text, re.ASCII) or int(text) > MAX_SEED:
        received.path.unlink()
        wrong = f"seed: from 0 to {MAX_SEED}" if chosen in offered else f"vocoder: one of {', '.join(offered)}"
        raise RefusedError(422, wrong)
    return {"vocoder": chosen, "seed": int(text)}


def _accept(service: Service, job_id: str, owner: str, received: Received, asked: dict[str, Any]) -> Job:
    """The upload in its place on the disk first, then the job."""
    place, limits = service.storage.upload(job_id), service.settings.jobs
    sync_file(received.path)
    received.path.rename(place)
    sync_file(place.parent)
    values = {**asked, "name": received.name, "media_type": received.media_type}
    values |= {"upload_bytes": received.n_bytes, "upload_sha256": received.sha256}
    job = None
    try:
        job = service.store.add(job_id, owner, values, max_queued=limits.max_queued, max_own=limits.max_per_client)
    except FullError as error:
        raise _full(error) from error
    except KeyReusedError as error:
        raise RefusedError(409, str(error)) from error
    finally:
        if job is None or job.id != job_id:
            place.unlink()
    if job.id == job_id:
        service.metrics.accepted.inc()
        service.metrics.uploaded_bytes.inc(received.n_bytes)
    return job


def _file(request: Request, path: Any, media_type: str, name: str) -> FileResponse:
    """Range is heeded where it is a single one that can be; another is left aside, as RFC 9110 has it."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise RefusedError(404, "the file was removed") from error
    asked = request.headers.get("range")
    found = None if asked is None else _RANGE.fullmatch(asked)
    start, end, last = found.groups() if found else (None, None, None)
    is_good = found is not None and not (start and end and int(start) > int(end))
    if is_good and (int(start) >= size if start else int(last or 0) == 0):
        raise RefusedError(416, f"the file has {size} bytes", {"content-range": f"bytes */{size}"})
    if not is_good:
        request.scope["headers"] = [(k, v) for k, v in request.scope["headers"] if k != b"range"]
    return FileResponse(path, media_type=media_type, filename=name, content_disposition_type="inline")
