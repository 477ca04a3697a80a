"""Picture to arrays: any frame rate, also variable, resampled by presentation time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from avsc_tf.core.errors import MediaError
from avsc_tf.media.colours import RgbConverter, colours_of
from avsc_tf.media.container import (
    decode_from,
    decode_packets,
    decode_stream,
    first_stream,
    is_program_stream,
    is_timed_by_storage,
    open_container,
    require_file,
    track_note,
    whole_packets,
)
from avsc_tf.media.orientation import Orientation, orientation_of

# Codecs whose packets are one shown frame each (VP9 and AV1 hide frames in them, AVI's MPEG-4 packs two into one).
_ONE_PACKET_A_FRAME = ("h264", "hevc", "mpeg1video", "mpeg2video", "mjpeg", "prores", "ffv1")
MAX_STILL_SECONDS = 600  # a screen recording may stand for minutes; more is what damaged timestamps claim


@dataclass(frozen=True)
class VideoInfo:
    """What a file shows; width and height in square pixels after rotation, times in seconds."""

    width: int
    height: int
    n_frames: int  # as recorded, before resampling
    start_seconds: Fraction  # presentation time of the first frame
    shown_seconds: Fraction  # from the first frame's start to the last one's end

    def frames_at(self, fps: int) -> int:
        """Frames that `read_frames` gives: those whose centre (i + 0.5) / fps is shown."""
        return frames_in(self.shown_seconds, fps)


def frames_in(seconds: Fraction, fps: int) -> int:
    """Frames whose centre (i + 0.5) / fps lies before `seconds`."""
    return int(-((Fraction(1, 2) - seconds * fps) // 1))


@dataclass(frozen=True)
class _Shown:
    """A decoded frame, when it appears and when the next one does (seconds), and its width in square pixels."""

    frame: Any
    start: Fraction
    end: Fraction
    width: int
    converter: RgbConverter
    orientation: Orientation

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as shown."""
        return self.orientation.size(self.width, self.frame.height)

    def rgb(self) -> np.ndarray:
        """uint8 [height, width, 3] as shown."""
        return self.orientation.apply(self.converter(self.frame, width=self.width))


def first_frame_seconds(path: Path) -> Fraction | None:
    """Presentation time of the first picture, or None where there is no picture."""
    with open_container(path) as container:
        try:
            stream = first_stream(container, "video", path)
        except MediaError:
            return None
        frame = next(decode_stream(container, stream, path), None)
        if frame is None or frame.pts is None:
            return Fraction(0)
        return frame.pts * Fraction(frame.time_base)


def picture_notes(path: Path) -> tuple[str, ...]:
    """What a user should know of the picture that is read from a file: a phrase for each choice made.

    Raises:
        MediaError: missing, without picture, damaged at its beginning, or coloured in a way that cannot be read.
    """
    with open_container(path) as container:
        stream = first_stream(container, "video", path)
        frame = next(iter(container.decode(stream)), None)
        if frame is None:
            return track_note(container, stream)
        colours = colours_of(frame, stream.codec_context, path)
        notes = (*((colours.note,) if colours.note else ()), *orientation_of(frame).notes)
        return (*track_note(container, stream), *notes)


def probe_video(path: Path) -> VideoInfo:
    """What `read_frames` will give, from the packets' times where these tell all, else by decoding and keeping nothing.

    Raises:
        MediaError: missing, without picture, truncated or damaged file; a frame shown longer than `MAX_STILL_SECONDS`.
    """
    path = Path(path)
    return _probe_packets(path) or _probe_frames(path)


def _probe_packets(path: Path) -> VideoInfo | None:
    """Without decoding more than the first frame; None where a packet may not be a frame."""
    with open_container(path) as container:
        stream = first_stream(container, "video", path)
        if stream.codec_context.name not in _ONE_PACKET_A_FRAME or is_timed_by_storage(container, stream):
            return None
        usual, aspect = _usual_seconds(stream), stream.sample_aspect_ratio or 1
        first, packets = None, []
        last_group: list[Any] = []  # from the last key frame on
        for packet in whole_packets(container, stream, path):
            if packet.stream.index != stream.index:
                continue
            if first is None:
                first = next(iter(packet.decode()), None)
            if packet.size:
                packets.append((packet.pts, packet.duration, packet.is_discard))
            last_group = [packet] if packet.is_keyframe else [*last_group, packet]
        if is_program_stream(path):  # whether they are cut shows in the last picture alone
            deque(decode_packets(last_group, path), maxlen=0)
    times = {pts for pts, _, is_discard in packets if not is_discard}
    if first is None or first.pts is None or None in times or len(times) < len(packets) or first.interlaced_frame:
        return None
    starts = sorted(times)
    if first.pts != starts[0] or packets[0][0] != starts[0]:
        return None
    tick = Fraction(first.time_base)
    duration = dict((pts, duration) for pts, duration, _ in packets)[starts[-1]]
    end = starts[-1] * tick + ((duration or 0) * tick or usual)
    still, after = max(pairwise([*(pts * tick for pts in starts), end]), key=lambda pair: pair[1] - pair[0])
    _check_still(path, still, after)
    size = orientation_of(first).size(round(first.width * aspect), first.height)
    return VideoInfo(*size, len(times), starts[0] * tick, end - starts[0] * tick)


def _probe_frames(path: Path) -> VideoInfo:
    first: _Shown | None = None
    n_frames = 0
    for shown in _shown_frames(path):
        first = first or shown
        n_frames += 1
    if first is None:
        raise MediaError(_no_frames(path))
    return VideoInfo(*first.size, n_frames, first.start, shown.end - first.start)


def _check_still(path: Path, start: Fraction, end: Fraction) -> None:
    if end - start > MAX_STILL_SECONDS:
        raise MediaError(
            f"{path}: one frame is shown from {float(start):.2f} s to {float(end):.2f} s; a timestamp that claims more "
            f"than {MAX_STILL_SECONDS} s is taken for damage. Export the recording again at a constant frame rate."
        )


def _no_frames(path: Path) -> str:
    return f"{path}: the picture has no frames. Copy or export the recording again."


def read_frames(
    path: Path, *, fps: int, start_seconds: Fraction = Fraction(0), n_frames: int | None = None
) -> Iterator[np.ndarray]:
    """Frames at a constant rate: number `i` is what is on screen at start + (i + 0.5) / fps after the first appears.

    Each recorded frame stays until the next one's presentation time, the last for its own duration; nothing is
    blended. Orientation, pixel aspect and colours stored in the file are applied (`orientation`, `colours`). One frame
    is held at a time. A later start is sought, not decoded up to, and gives the same bytes.

    Args:
        start_seconds: on the clock that begins with the first picture.
        n_frames: how many; None reads to the end.
    Yields:
        uint8 [height, width, 3], RGB.
    Raises:
        MediaError: missing file (at once); while reading: without picture, truncated or damaged, a frame shown longer
            than `MAX_STILL_SECONDS`, colours that cannot be read, fewer frames left.
    """
    path = Path(path)
    require_file(path)
    return _resample(path, fps, Fraction(start_seconds), n_frames)


def _resample(path: Path, fps: int, start_seconds: Fraction, n_frames: int | None) -> Iterator[np.ndarray]:
    first: _Shown | None = None
    index = 0
    clock_start = first_frame_seconds(path) if start_seconds else None
    for shown in _shown_frames(path, None if clock_start is None else clock_start + start_seconds):
        first = first or shown
        if clock_start is None:
            clock_start = first.start
        if shown.size != first.size:
            raise MediaError(
                f"{path}: the picture's size changes at {float(shown.start):.2f} s. Export it at one size."
            )
        image: np.ndarray | None = None
        while index != n_frames and clock_start + start_seconds + Fraction(2 * index + 1, 2 * fps) < shown.end:
            image = shown.rgb() if image is None else image
            yield image
            index += 1
        if index == n_frames:
            return
    if first is None:
        raise MediaError(_no_frames(path))
    if n_frames is not None:
        raise MediaError(
            f"{path}: {n_frames} frames of 1/{fps} s from {float(start_seconds):.2f} s are wanted, but only {index} "
            "can be decoded; the file is damaged or shorter than that. Copy the recording again."
        )


def _shown_frames(path: Path, seconds: Fraction | None = None) -> Iterator[_Shown]:
    """Frames in order of presentation: all, or from one that appears at or before `seconds` of the file's clock."""
    with open_container(path) as container:
        stream = first_stream(container, "video", path)
        frames = None if seconds is None else decode_from(container, stream, path, seconds)
        if frames is not None:
            yield from _with_ends(stream, frames, path)
            return
    with open_container(path) as container:
        stream = first_stream(container, "video", path)
        yield from _with_ends(stream, decode_stream(container, stream, path), path)


def _with_ends(stream: Any, frames: Iterable[Any], path: Path) -> Iterator[_Shown]:
    usual, aspect = _usual_seconds(stream), stream.sample_aspect_ratio or 1
    converter, orientation = RgbConverter(stream.codec_context, path), Orientation()

    def shown(frame: Any, start: Fraction, end: Fraction) -> _Shown:
        nonlocal orientation
        _check_still(path, start, end)
        orientation = orientation_of(frame, orientation)
        return _Shown(frame, start, end, round(frame.width * aspect), converter, orientation)

    previous: tuple[Any, Fraction] | None = None
    for frame in frames:
        start = _start(frame, previous, usual)
        if previous is not None:
            yield shown(*previous, start)
        previous = (frame, start)
    if previous is not None:
        frame, start = previous
        duration = (frame.duration or 0) * Fraction(frame.time_base or 0)
        yield shown(frame, start, start + (duration or usual))


def _usual_seconds(stream: Any) -> Fraction:
    """Duration of a frame that says none itself."""
    rate = stream.average_rate or stream.guessed_rate
    return 1 / Fraction(rate) if rate else Fraction(1, 25)


def _start(frame: Any, previous: tuple[Any, Fraction] | None, usual: Fraction) -> Fraction:
    """Presentation time; a frame without one, or with one that goes back, follows the previous at the usual rate."""
    seconds = None if frame.pts is None else frame.pts * Fraction(frame.time_base)
    if previous is None:
        return Fraction(0) if seconds is None else seconds
    return previous[1] + usual if seconds is None or seconds < previous[1] else seconds
