"""Opening and decoding containers with PyAV, so that every broken file ends in one `MediaError`."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain, dropwhile
from pathlib import Path
from typing import Any

import av
import av.error

from avsc_tf.errors import MediaError

_PROGRAM_END, _PACK_HEADER = 0xB9, 0xBA  # ISO 11172-1, start codes
PROGRAM_STREAM_SUFFIXES = (".mpg", ".mpeg", ".vob")
# A stream may end this much before its declared end: encoder priming, edit lists and rounded headers stay below it.
_DECLARED_TOLERANCE_SECONDS = Fraction(1, 4)
_options = {"protocol_whitelist": "file"}  # a file that names others (a playlist) fetches nothing from elsewhere
_SEEK_LEADS_SECONDS = (0, 1, 5, 20)  # key frames are sought by decoding time, which may lie before presentation


def restrict_containers(options: dict[str, str]) -> None:
    """Options of FFmpeg's demuxers for every file this process opens from now on, beside the protocol."""
    _options.update(options)


def require_file(path: Path) -> None:
    """Raise `MediaError` where there is no file to read."""
    if not path.is_file():
        raise MediaError(f"{path}: no such file. Check the name and the folder.")
    if path.stat().st_size == 0:
        raise MediaError(f"{path}: the file is empty. Copy the recording again.")


def check_program_stream(path: Path) -> None:
    """An MPEG program stream declares no duration, but each packet its length: the last one must be whole.

    Raises:
        MediaError: the file ends inside a packet.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        position = 0
        while data[position : position + 3] == b"\0\0\1" and position + 6 <= len(data):
            code = data[position + 3]
            if code == _PROGRAM_END:
                return
            if code == _PACK_HEADER:
                mpeg2 = data[position + 4] >> 6 == 1
                stuffing = data[position + 13] & 7 if mpeg2 and position + 13 < len(data) else 0
                position += 14 + stuffing if mpeg2 else 12
            else:
                position += 6 + int.from_bytes(data[position + 4 : position + 6], "big")
        if position > len(data):
            raise MediaError(f"{path}: ends inside a packet; the file is truncated. Copy the recording again.")


@contextmanager
def open_container(path: Path) -> Iterator[Any]:
    """An open PyAV container; every decoding error inside becomes a `MediaError` naming the file."""
    require_file(path)
    if path.suffix.lower() in PROGRAM_STREAM_SUFFIXES:
        check_program_stream(path)
    try:
        # "file:" because a name may hold a colon. Not `options`: PyAV then frees beyond the streams known at first.
        with av.open(f"file:{path}", metadata_errors="replace", container_options=dict(_options)) as container:
            yield container
    except (av.error.FFmpegError, EOFError) as error:
        why = getattr(error, "strerror", None) or error
        raise MediaError(
            f"{path}: cannot be decoded ({why}); it is truncated, damaged or no recording. "
            "Copy or export the recording again."
        ) from error


def first_stream(container: Any, kind: str, path: Path, track: int = 0) -> Any:
    """The stream of a kind that is read: the one that the file flags as default, else the first.

    Args:
        kind: "video" (cover pictures left out) or "audio".
        track: which of them, counted from 1; 0: the default one.
    Raises:
        MediaError: there is none, no such track, or one that no decoder knows.
    """
    streams = _tracks(container, kind)
    if not streams:
        what = {"video": "picture", "audio": "sound"}[kind]
        remedy = "Name a clip with both" + (", or put NAME.wav beside NAME's video." if kind == "audio" else ".")
        raise MediaError(f"{path}: holds no {what} (no {kind} stream). {remedy}")
    check_track(path, len(streams), track)
    stream = streams[track - 1] if track else next(filter(_is_default, streams), streams[0])
    if stream.codec_context is None:
        raise MediaError(f"{path}: the {kind} is coded in an unknown way. Export the recording again.")
    return stream


def check_track(path: Path, n_tracks: int, track: int) -> None:
    """Raise `MediaError` where a sound track, counted from 1, is none of a file's."""
    if track > n_tracks:
        tracks = f"{n_tracks} sound track{'s' if n_tracks > 1 else ''}"
        raise MediaError(f"{path}: holds {tracks}, but track {track} is wanted. Name one from 1 to {n_tracks}.")


def track_note(container: Any, stream: Any, track: int = 0) -> tuple[str, ...]:
    """A phrase that names the choice among several streams of one kind; nothing where there is one."""
    streams = _tracks(container, stream.type)
    if len(streams) == 1:
        return ()
    number = [s.index for s in streams].index(stream.index) + 1
    facts = (stream.language, stream.metadata.get("title"))
    named = ", ".join("".join(filter(str.isprintable, fact))[:40] for fact in facts if fact and fact != "und")
    why = "as wanted" if track else "the default one" if _is_default(stream) else "the first"
    what = {"video": "pictures", "audio": "sound tracks"}[stream.type]
    return (f"holds {len(streams)} {what}; number {number}{f' ({named})' if named else ''}, {why}, is used",)


def _tracks(container: Any, kind: str) -> list[Any]:
    """Streams of a kind, but covers, and those in unknown codings where there are others."""
    streams = [s for s in getattr(container.streams, kind) if s.type == kind and not _is_cover_picture(s)]
    return [s for s in streams if s.codec_context is not None] or streams


def _is_default(stream: Any) -> bool:
    return bool(stream.disposition & stream.disposition.__class__.default)


def has_sound(path: Path) -> bool:
    """Whether the file holds a stream of sound."""
    with open_container(path) as container:
        return bool(container.streams.audio)


def has_picture(path: Path) -> bool:
    """Whether the file holds a moving picture; the cover of a record is none."""
    with open_container(path) as container:
        return any(not _is_cover_picture(stream) for stream in container.streams.video)


def _is_cover_picture(stream: Any) -> bool:
    return stream.type == "video" and bool(stream.disposition & stream.disposition.__class__.attached_pic)


def decode_stream(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """Frames of a stream in order of presentation; a stream that ends before its declared end raises.

    Packets of all streams are read, because some containers (Matroska) declare only the end of the longest.
    """
    packets = (p for p in whole_packets(container, stream, path) if p.stream.index == stream.index)
    yield from decode_packets(packets, path)


def decode_from(container: Any, stream: Any, path: Path, seconds: Fraction) -> Iterator[Any] | None:
    """Frames from one that begins at or before `seconds` of the file's clock; None where it cannot be entered there.

    The same frames, bit by bit, as `decode_stream` gives: decoding begins at a key frame, and pictures that stand
    before it in time (they may lean on others before it) are left out.
    """
    for lead_seconds in _SEEK_LEADS_SECONDS:
        try:
            container.seek(int((seconds - lead_seconds) / Fraction(stream.time_base)), stream=stream)
        except av.error.FFmpegError:
            return None
        frames = _from_key_frame(container, stream, path)
        first = next(frames, None)
        if first is not None and first.pts is not None and first.pts * Fraction(first.time_base) <= seconds:
            return chain([first], frames)
    return None


def _from_key_frame(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    packets = (p for p in whole_packets(container, stream, path) if p.stream.index == stream.index)
    rest = dropwhile(lambda p: p.size and (not p.is_keyframe or p.pts is None), packets)
    key = next(rest, None)
    if key is None or not key.size:
        return
    for frame in decode_packets(chain([key], rest), path):
        if frame.pts is None or frame.pts >= key.pts:
            yield frame


def decode_packets(packets: Iterable[Any], path: Path) -> Iterator[Any]:
    """Frames of one stream's packets.

    Raises:
        MediaError: a program stream's last packet is damaged: it was cut between two packets of one picture, which
            nothing else shows. Damaged pictures before the last are shown as the decoder mends them.
    """
    damaged: set[int | None] = set()
    last_pts: int | None = None
    for packet in packets:
        last_pts = packet.pts if packet.size else last_pts
        for frame in packet.decode():
            if frame.is_corrupt:
                damaged.add(frame.pts)
            yield frame
    if last_pts in damaged and path.suffix.lower() in PROGRAM_STREAM_SUFFIXES:
        raise MediaError(f"{path}: ends inside a picture; the file is truncated. Copy the recording again.")


def whole_packets(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """Packets of all streams, the last one of each empty.

    Raises:
        MediaError: a packet is cut short, or `stream` ends before its declared end.
    """
    ends: dict[int, Fraction] = {}  # stream index -> end of its last packet, seconds
    for packet in container.demux():
        if packet.is_corrupt and packet.size:
            raise MediaError(
                f"{path}: a {packet.stream.type} packet at {_seconds_text(packet)} is cut short; the file is "
                "truncated or damaged. Copy or export the recording again."
            )
        if packet.pts is not None and packet.size:
            end = (packet.pts + (packet.duration or 0)) * Fraction(packet.time_base)
            ends[packet.stream.index] = max(end, ends.get(packet.stream.index, end))
        yield packet
    _check_declared_end(container, stream, ends, path)


def _seconds_text(packet: Any) -> str:
    return "an unknown time" if packet.pts is None else f"{float(packet.pts * packet.time_base):.2f} s"


def _check_declared_end(container: Any, stream: Any, ends: dict[int, Fraction], path: Path) -> None:
    if stream.duration:
        start = (stream.start_time or 0) * Fraction(stream.time_base)
        declared = start + stream.duration * Fraction(stream.time_base)
        reached = ends.get(stream.index, start)
    elif container.duration:
        declared = Fraction(container.duration, av.time_base)  # Matroska: the end of the longest stream
        reached = max(ends.values(), default=Fraction(0))
    else:
        return
    lasting = declared - Fraction(container.start_time or 0, av.time_base)
    if declared - reached > max(_DECLARED_TOLERANCE_SECONDS, lasting / 50):
        raise MediaError(
            f"{path}: the {stream.type} ends at {float(reached):.2f} s, but the file declares {float(declared):.2f} s; "
            "it is truncated. Copy or export the recording again."
        )
