"""Whether a stream reaches the end that its file declares; one that does not was cut off."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from avsc_tf.core.errors import MediaError

# A stream may end this much before its declared end: encoder priming, edit lists and rounded headers stay below it.
_TOLERANCE_SECONDS = Fraction(1, 4)
_LONGEST_PACKET_SECONDS = Fraction(1)  # of sound; a longer one is a still picture
_COUNTED_FROM_ZERO = ("asf", "matroska,webm")  # the declared time is an end, also where streams begin later than 0
_UNDECLARED = ("aac", "ac3", "eac3", "dts", "amr")  # streams of frames; FFmpeg guesses their length from the bit rate
_MP3_HEADERS = (b"Xing", b"Info", b"VBRI")
_SEGMENT, _INFO, _CLUSTER, _DURATION = b"\x18\x53\x80\x67", b"\x15\x49\xa9\x66", b"\x1f\x43\xb6\x75", b"\x44\x89"
_HEAD_BYTES = 1 << 20  # of a file, in which its length is declared if anywhere


class PacketSpan:
    """From the begin of a stream's first packet to the end of its last one, in seconds of the file's clock.

    The last packet counts as long as the longest one, at least: FFmpeg cuts its duration where an edit list delays the
    stream, and fragments of MP4 may leave all durations out.
    """

    def __init__(self) -> None:
        self.begin: Fraction | None = None
        self._latest_begin = self._latest_end = self._longest = Fraction(0)

    @property
    def end(self) -> Fraction | None:
        """None without packets."""
        if self.begin is None:
            return None
        return max(self._latest_end, self._latest_begin + min(self._longest, _LONGEST_PACKET_SECONDS))

    def add(self, packet: Any) -> None:
        """Count a packet; one without a time counts for nothing."""
        if packet.pts is None or not packet.size:
            return
        begin = packet.pts * Fraction(packet.time_base)
        duration = (packet.duration or 0) * Fraction(packet.time_base)
        if self.begin is None:
            self.begin = self._latest_begin = begin
            self._latest_end = begin + duration
        self._longest = max(self._longest, duration or begin - self._latest_begin)
        self.begin = min(begin, self.begin)
        self._latest_begin = max(begin, self._latest_begin)
        self._latest_end = max(begin + duration, self._latest_end)


def check_declared_end(container: Any, stream: Any, spans: dict[int, PacketSpan], path: Path) -> None:
    """Compare the end of what was read with what the file declares.

    Args:
        spans: what was read, by the streams' indices.
    Raises:
        MediaError: the stream ends before its declared end.
    """
    found = _declared_end(container, stream, spans)
    if found is None:
        return
    begin, declared, reached = found
    if declared - reached > max(_TOLERANCE_SECONDS, (declared - begin) / 50) and _is_declared(container, path):
        raise MediaError(
            f"{path}: the {stream.type} ends at {float(reached):.2f} s, but the file declares {float(declared):.2f} s; "
            "it is truncated. Copy or export the recording again."
        )


def _declared_end(
    container: Any, stream: Any, spans: dict[int, PacketSpan]
) -> tuple[Fraction, Fraction, Fraction] | None:
    """Begin, declared end, and the end that was reached, in seconds; None where nothing is declared."""
    is_from_zero = container.format.name in _COUNTED_FROM_ZERO
    if stream.duration:
        span = spans.get(stream.index, PacketSpan())
        begin = (stream.start_time or 0) * Fraction(stream.time_base)
        if span.begin is not None:  # an edit list may hide the first packets, and the duration count them
            begin = min(begin, span.begin)
        counted_from = min(begin, Fraction(0)) if is_from_zero else begin
        reached = begin if span.end is None else span.end
        return begin, counted_from + stream.duration * Fraction(stream.time_base), reached
    if container.duration:  # the longest stream's
        reached = max((span.end for span in spans.values() if span.end is not None), default=Fraction(0))
        return Fraction(container.start_time or 0, av.time_base), Fraction(container.duration, av.time_base), reached
    return None


def _is_declared(container: Any, path: Path) -> bool:
    """Whether the file says how long it is; FFmpeg guesses from the bit rate where it does not."""
    name = container.format.name
    if name not in ("matroska,webm", "mp3"):
        return name not in _UNDECLARED
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return any(mark in head for mark in _MP3_HEADERS) if name == "mp3" else _matroska_declares_duration(head)


def _matroska_declares_duration(head: bytes) -> bool:
    """Whether Segment / Info / Duration is there (RFC 9559, 5.1.2); a live recording has none."""
    position = 0
    while position < len(head):
        name, position = _vint(head, position, keep_marker=True)
        size, position = _vint(head, position)
        identity = name.to_bytes(4, "big").lstrip(b"\0")
        if identity == _DURATION:
            return True
        if identity == _CLUSTER:
            return False
        if identity not in (_SEGMENT, _INFO):  # these two are entered
            position += size
    return False


def _vint(data: bytes, position: int, *, keep_marker: bool = False) -> tuple[int, int]:
    """Variable-size integer (RFC 8794, 4) and the position behind it; at the end of the data, 0."""
    if position >= len(data) or not data[position]:
        return 0, len(data)
    n_bytes = 9 - data[position].bit_length()
    value = int.from_bytes(data[position : position + n_bytes], "big")
    return (value if keep_marker else value - (1 << 7 * n_bytes)), position + n_bytes
