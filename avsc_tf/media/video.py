"""Picture to arrays: any frame rate, also variable, resampled by presentation time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from avsc_tf.errors import MediaError
from avsc_tf.media.container import decode_stream, first_stream, open_container, require_file


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
        return int(-((Fraction(1, 2) - self.shown_seconds * fps) // 1))


@dataclass(frozen=True)
class _Shown:
    """A decoded frame, when it appears and when the next one does (seconds), and its width in square pixels."""

    frame: Any
    start: Fraction
    end: Fraction
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height after rotation."""
        size = (self.width, self.frame.height)
        return size[::-1] if self.frame.rotation % 180 else size

    def rgb(self) -> np.ndarray:
        """uint8 [height, width, 3]; `rotation` counts degrees counterclockwise, as numpy.rot90 does."""
        image = self.frame.to_ndarray(format="rgb24", width=self.width, height=self.frame.height)
        return np.ascontiguousarray(np.rot90(image, self.frame.rotation // 90))


def first_frame_seconds(path: Path) -> Fraction | None:
    """Presentation time of the first picture, or None where there is no picture."""
    with open_container(path) as container:
        try:
            stream = first_stream(container, "video", path)
        except MediaError:
            return None
        frame = next(iter(container.decode(stream)), None)
        if frame is None or frame.pts is None:
            return Fraction(0)
        return frame.pts * Fraction(frame.time_base)


def probe_video(path: Path) -> VideoInfo:
    """Decode once, keeping nothing, to know what `read_frames` will give.

    Raises:
        MediaError: missing, without picture, truncated or damaged file.
    """
    path = Path(path)
    first: _Shown | None = None
    n_frames = 0
    for shown in _shown_frames(path):
        first = first or shown
        n_frames += 1
    if first is None:
        raise MediaError(_no_frames(path))
    return VideoInfo(*first.size, n_frames, first.start, shown.end - first.start)


def _no_frames(path: Path) -> str:
    return f"{path}: the picture has no frames. Copy or export the recording again."


def read_frames(path: Path, *, fps: int) -> Iterator[np.ndarray]:
    """Frames at a constant rate: number `i` is the picture on screen at (i + 0.5) / fps after the first appears.

    Each recorded frame stays until the next one's presentation time, the last for its own duration; nothing is
    blended. Rotation and pixel aspect stored in the file are applied. One frame is held at a time.

    Yields:
        uint8 [height, width, 3], RGB.
    Raises:
        MediaError: missing file (at once); without picture, truncated or damaged (while reading).
    """
    path = Path(path)
    require_file(path)
    return _resample(path, fps)


def _resample(path: Path, fps: int) -> Iterator[np.ndarray]:
    first: _Shown | None = None
    index = 0
    for shown in _shown_frames(path):
        first = first or shown
        if shown.size != first.size:
            raise MediaError(
                f"{path}: the picture's size changes at {float(shown.start):.2f} s. Export it at one size."
            )
        image: np.ndarray | None = None
        while first.start + Fraction(2 * index + 1, 2 * fps) < shown.end:
            image = shown.rgb() if image is None else image
            yield image
            index += 1
    if first is None:
        raise MediaError(_no_frames(path))


def _shown_frames(path: Path) -> Iterator[_Shown]:
    """All frames in order of presentation."""
    with open_container(path) as container:
        stream = first_stream(container, "video", path)
        rate = stream.average_rate or stream.guessed_rate
        usual = 1 / Fraction(rate) if rate else Fraction(1, 25)
        aspect = stream.sample_aspect_ratio or 1
        previous: tuple[Any, Fraction] | None = None
        for frame in decode_stream(container, stream, path):
            start = _start(frame, previous, usual)
            if previous is not None:
                yield _Shown(*previous, start, round(previous[0].width * aspect))
            previous = (frame, start)
        if previous is not None:
            frame, start = previous
            duration = (frame.duration or 0) * Fraction(frame.time_base or 0)
            yield _Shown(frame, start, start + (duration or usual), round(frame.width * aspect))


def _start(frame: Any, previous: tuple[Any, Fraction] | None, usual: Fraction) -> Fraction:
    """Presentation time; a frame without one, or with one that goes back, follows the previous at the usual rate."""
    seconds = None if frame.pts is None else frame.pts * Fraction(frame.time_base)
    if previous is None:
        return Fraction(0) if seconds is None else seconds
    return previous[1] + usual if seconds is None or seconds < previous[1] else seconds
