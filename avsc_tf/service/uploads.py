"""Uploads, streamed to the disk under a name of the server's own; limits hold while they come."""

from __future__ import annotations

import asyncio
import hashlib
import re
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from avsc_tf.service.refusals import RefusedError
from avsc_tf.service.settings import UploadSettings

_BUFFER_BYTES = 1 << 20
_MAX_FIELDS, _MAX_FIELD_BYTES, _MAX_HEADER_BYTES = 8, 1000, 4000
_MAX_NAME_CHARACTERS = 80
_HEAD_BYTES = 64
RAW_TYPES = ("video/", "audio/", "application/octet-stream")


@dataclass
class Received:
    """What came: the file lies at `path`; `name` is for display alone."""

    path: Path
    n_bytes: int = 0
    sha256: str = ""
    name: str = ""
    media_type: str = ""
    fields: dict[str, str] = field(default_factory=dict)


async def receive_upload(request: Request, path: Path, settings: UploadSettings) -> Received:
    """Write a request's body, or its part "file", to `path`; the file is removed where anything is wrong.

    Raises:
        RefusedError: 400, 408, 411, 413, 415 or 422.
    """
    declared = request.headers.get("content-length")
    if declared is None and "transfer-encoding" not in request.headers:
        raise RefusedError(411, "say the body's length (Content-Length)")
    if declared is not None and int(declared) > settings.max_bytes + _MAX_FIELDS * _MAX_FIELD_BYTES * 2:
        raise _too_large(settings)
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    kind_name = kind.decode("latin-1").lower()
    is_form = kind_name == "multipart/form-data"
    if not is_form and not kind_name.startswith(RAW_TYPES):
        raise RefusedError(415, "send multipart/form-data with a part named file, or a body of video/* or audio/*")
    try:
        with path.open("xb") as file:
            received = Received(path)
            sink = _Sink(file, received, settings)
            async with asyncio.timeout(settings.max_seconds):
                body = _in_time(request.stream(), settings.idle_seconds)
                if is_form:
                    await _read_form(body, options.get(b"boundary", b""), sink)
                else:
                    async for chunk in body:
                        sink.write(chunk)
                        await sink.flush_if_full()
            await sink.finish()
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, TimeoutError):
            raise RefusedError(408, "the upload took too long", {"connection": "close"}) from error
        if isinstance(error, ClientDisconnect):
            raise RefusedError(400, "the connection ended within the upload") from error
        raise
    return received


async def _in_time(stream: AsyncIterator[bytes], idle_seconds: float) -> AsyncIterator[bytes]:
    while True:
        try:
            chunk = await asyncio.wait_for(anext(stream), idle_seconds)
        except StopAsyncIteration:
            return
        yield chunk


def _too_large(settings: UploadSettings) -> RefusedError:
    message = f"the upload is larger than {settings.max_bytes / 1e6:g} MB; send a shorter or smaller clip"
    return RefusedError(413, message, {"connection": "close"})


class _Sink:
    """Counts, hashes and buffers what is to be written."""

    def __init__(self, file: BinaryIO, received: Received, settings: UploadSettings) -> None:
        self._file, self._received, self._settings = file, received, settings
        self._digest, self._buffer, self._head = hashlib.sha256(), bytearray(), b""
        self.parts = 0

    def write(self, data: bytes) -> None:
        self._received.n_bytes += len(data)
        if self._received.n_bytes > self._settings.max_bytes:
            raise _too_large(self._settings)
        if len(self._head) < _HEAD_BYTES:
            self._head += data[: _HEAD_BYTES - len(self._head)]
            if len(self._head) == _HEAD_BYTES:
                self._know()
        self._buffer += data

    def _know(self) -> None:
        """Refuse at once what can be no recording."""
        self._received.media_type = media_type_of(self._head)
        if not self._received.media_type:
            raise RefusedError(415, "this is no MP4, MOV, WebM, MKV, AVI, MPEG, WAV, FLAC, Ogg or MP3 file")

    async def flush_if_full(self) -> None:
        if len(self._buffer) >= _BUFFER_BYTES:
            data, self._buffer = bytes(self._buffer), bytearray()
            await asyncio.to_thread(self._put, data)

    def _put(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)

    async def finish(self) -> None:
        if not self._received.n_bytes:
            raise RefusedError(400, "there is no file, or it is empty; send one as the part named file")
        if not self._received.media_type:
            self._know()
        await asyncio.to_thread(self._put, bytes(self._buffer))
        self._received.sha256 = self._digest.hexdigest()

    def field(self, name: str, value: bytes) -> None:
        try:
            self._received.fields[name] = value.decode()
        except UnicodeDecodeError as error:
            raise RefusedError(422, f"{name}: not UTF-8") from error

    def named(self, name: str) -> None:
        self._received.name = display_name(name)


async def _read_form(body: AsyncIterator[bytes], boundary: bytes, sink: _Sink) -> None:
    form = _Form(sink)
    try:
        parser = MultipartParser(boundary, form.callbacks(), max_size=float("inf"))
        async for chunk in body:
            if chunk:
                parser.write(chunk)
                await sink.flush_if_full()
        parser.finalize()
    except FormParserError as error:
        raise RefusedError(400, "the form cannot be read; it is not multipart/form-data as its header says") from error
    if not form.has_ended:
        raise RefusedError(400, "the form ends before its last boundary")


class _Form:
    """Parts of a form: one file, and a few short fields."""

    def __init__(self, sink: _Sink) -> None:
        self._sink = sink
        self._name, self._file_name, self._value = "", "", b""
        self._header, self._header_text, self._header_bytes = b"", b"", 0
        self._is_file = self.has_ended = self._has_file = False
        self._parts = 0

    def callbacks(self) -> Any:
        names = (
            "part_begin",
            "part_data",
            "part_end",
            "header_field",
            "header_value",
            "header_end",
            "headers_finished",
        )
        return {f"on_{name}": getattr(self, f"_{name}") for name in names} | {"on_end": self._end}

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > _MAX_FIELDS:
            raise RefusedError(400, f"a form may have {_MAX_FIELDS} parts")
        self._name, self._file_name, self._value, self._header_bytes, self._is_file = "", "", b"", 0, False

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header_text += data[start:end]

    def _count(self, n_bytes: int) -> None:
        self._header_bytes += n_bytes
        if self._header_bytes > _MAX_HEADER_BYTES:
            raise RefusedError(400, "a part's header is too long")

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._header_text)
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
            self._file_name = options.get(b"filename", b"").decode("utf-8", "replace")
        self._header, self._header_text = b"", b""

    def _headers_finished(self) -> None:
        self._is_file = self._name == "file"
        if self._is_file and self._has_file:
            raise RefusedError(400, "a form may have one part named file")
        if self._is_file:
            self._has_file = True
            self._sink.named(self._file_name)
        elif self._name not in ("vocoder", "seed"):
            raise RefusedError(422, "known parts are file, vocoder and seed")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._sink.write(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > _MAX_FIELD_BYTES:
            raise RefusedError(400, f"{self._name}: too long")

    def _part_end(self) -> None:
        if not self._is_file:
            self._sink.field(self._name, self._value)

    def _end(self) -> None:
        self.has_ended = True


def media_type_of(head: bytes) -> str:
    """What a file is, by its first bytes; "" for what is not taken."""
    box = head[4:8]
    if box == b"ftyp":
        return "video/quicktime" if head[8:12] == b"qt  " else "video/mp4"
    if box in (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
        return "video/quicktime"
    if head[:4] == b"\x1aE\xdf\xa3":
        return "video/webm" if b"webm" in head else "video/x-matroska"
    if head[:4] == b"RIFF":
        return {b"AVI ": "video/x-msvideo", b"WAVE": "audio/wav"}.get(head[8:12], "")
    for start, name in ((b"\0\0\1\xba", "video/mpeg"), (b"fLaC", "audio/flac"), (b"OggS", "audio/ogg")):
        if head.startswith(start):
            return name
    is_mp3 = head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 in (0xE2, 0xE4, 0xE6))
    return "audio/mpeg" if is_mp3 else ""


def display_name(name: str) -> str:
    """A client's file name made fit to be shown; it never becomes a path."""
    last = re.split(r"[\\/]", unicodedata.normalize("NFC", name))[-1]
    shown = "".join(c for c in last if unicodedata.category(c)[0] in "LNMPSZ" and c not in "<>&\"'`")
    return " ".join(shown.split())[:_MAX_NAME_CHARACTERS]
