"""Opening and decoding containers with PyAV, so that every broken file ends in one `MediaError`."""

from __future__ import annotations

import mmap
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from heapq import heappop, heappush
from itertools import chain, dropwhile
from pathlib import Path
from typing import Any

import av
import av.error

from avsc_tf.core.errors import MediaError
from avsc_tf.media.declared_end import PacketSpan, check_declared_end

_PROGRAM_END, _PACK_HEADER = 0xB9, 0xBA  # ISO 11172-1, start codes
# Entered in the middle, these give the same frames and samples. Others keep no times of presentation, or give a packet
# that begins in the middle of a coded frame the time of the next one (MPEG program streams).
_ENTERED_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts")
# Packets may be timed in order of storage, not of presentation; which of their times begins with the sound.
_TIMES_OF_STORAGE = {"avi": "dts", "mxf": "pts"}
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


def is_program_stream(path: Path) -> bool:
    """Whether the file is an MPEG program stream (.mpg, .vob, .mod and others), by its first bytes."""
    with path.open("rb") as file:
        return file.read(4) == bytes((0, 0, 1, _PACK_HEADER))


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
    if is_program_stream(path):
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
        remedy = "Name a clip with both" + (", or lay its sound beside it as NAME.wav." if kind == "audio" else ".")
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
    if is_timed_by_storage(container, stream):
        yield from _timed_in_order(packets, path, _TIMES_OF_STORAGE[container.format.name])
    else:
        yield from decode_packets(packets, path)


def is_timed_by_storage(container: Any, stream: Any) -> bool:
    """Whether frames have the times of the packets in order, since the file may keep no times of presentation.

    FFmpeg assumes such times for every codec that can reorder frames, and delays pictures that are not reordered, too.
    """
    can_reorder = stream.type == "video" and stream.codec_context.codec.reorder
    return can_reorder and container.format.name in _TIMES_OF_STORAGE


def _timed_in_order(packets: Iterable[Any], path: Path, kind: str) -> Iterator[Any]:
    """Frames in order of presentation with the packets' times in order: the earliest that no frame has had yet.

    Where packets have the time of their own frame, that is the same; else B frames would go back in time.

    Args:
        kind: "pts" or "dts".
    """
    times: list[int] = []  # a heap

    def noted() -> Iterator[Any]:
        for packet in packets:
            if packet.size and (time := getattr(packet, kind)) is not None:
                heappush(times, time)
            yield packet

    for frame in decode_packets(noted(), path):
        if times:
            frame.pts = heappop(times)
        yield frame


def decode_from(container: Any, stream: Any, path: Path, seconds: Fraction) -> Iterator[Any] | None:
    """Frames from one that begins at or before `seconds` of the file's clock; None where it cannot be entered there.

    The same frames, bit by bit, as `decode_stream` gives: decoding begins at a key frame, and pictures that stand
    before it in time (they may lean on others before it) are left out.
    """
    if container.format.name not in _ENTERED_FORMATS:
        return None
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
    if last_pts in damaged and is_program_stream(path):
        raise MediaError(f"{path}: ends inside a picture; the file is truncated. Copy the recording again.")


def whole_packets(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """Packets of all streams, the last one of each empty.

    Raises:
        MediaError: a packet is cut short, or `stream` ends before its declared end.
    """
    spans: dict[int, PacketSpan] = defaultdict(PacketSpan)
    for packet in container.demux():
        if packet.is_corrupt and packet.size:
            raise MediaError(
                f"{path}: a {packet.stream.type} packet at {_seconds_text(packet)} is cut short; the file is "
                "truncated or damaged. Copy or export the recording again."
            )
        spans[packet.stream.index].add(packet)
        yield packet
    check_declared_end(container, stream, spans, path)


def _seconds_text(packet: Any) -> str:
    return "an unknown time" if packet.pts is None else f"{float(packet.pts * packet.time_base):.2f} s"
