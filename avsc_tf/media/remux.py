"""A clip taken apart for a browser: its picture without sound or with another one, its sound alone.

H.264 that every browser shows is copied packet by packet, so a viewer sees the very pictures that were encoded; other
pictures are encoded anew. Titles, comments and other metadata of the file are left behind.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from avsc_tf.core.errors import MediaError
from avsc_tf.core.files import written_whole
from avsc_tf.media.container import first_stream, open_container, whole_packets
from avsc_tf.media.mux import audio_stream, encode_sound, write_video
from avsc_tf.media.orientation import orientation_of
from avsc_tf.media.video import read_frames

_BROWSER_FORMATS = ("yuv420p", "yuvj420p")


def copy_picture(path: Path, out: Path, *, waveform: np.ndarray | None, sample_rate_hz: int) -> bool:
    """Write `path`'s picture to the mp4 `out`, silent or with `waveform`, which begins with the first picture.

    Args:
        waveform: mono, float32 [samples], full scale 1; None: a silent film.
    Returns:
        Whether the pictures were copied as they are; they were encoded anew otherwise.
    Raises:
        MediaError: missing, without picture, truncated or damaged file.
    """
    may_copy = _plays_in_browsers(path)
    with open_container(path) as container:
        stream = first_stream(container, "video", path)
        fps = max(1, round(float(stream.average_rate or 25)))
        if may_copy:
            packets = [p for p in whole_packets(container, stream, path) if p.stream.index == stream.index and p.size]
            if packets and all(p.pts is not None and p.dts is not None and not p.is_discard for p in packets):
                _write_packets(out, stream, packets, waveform, sample_rate_hz)
                return True
    write_video(out, map(_even, read_frames(path, fps=fps)), waveform, fps=fps, sample_rate_hz=sample_rate_hz)
    return False


def write_aac(path: Path, waveform: np.ndarray, *, sample_rate_hz: int) -> None:
    """Write mono sound (float32 [samples], full scale 1) as AAC in an m4a; PATH appears only when it is whole.

    Raises:
        MediaError: a waveform that is not [samples], or has none.
    """
    if waveform.ndim != 1 or not len(waveform):
        raise MediaError(f"{path}: cannot write a waveform of shape {waveform.shape}; it must be mono and not empty")
    with (
        written_whole(path) as part,
        av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        audio = audio_stream(container, "aac", sample_rate_hz)
        encode_sound(container, audio, waveform, 0, len(waveform))
        container.mux(audio.encode())


def _plays_in_browsers(path: Path) -> bool:
    """H.264 of 8 bit in 4:2:0, upright, with square pixels."""
    with open_container(path) as container:
        stream = first_stream(container, "video", path)
        codec = stream.codec_context
        first = next(iter(container.decode(stream)), None)
        upright = first is not None and orientation_of(first).is_upright
        square = stream.sample_aspect_ratio in (None, 0, 1)
        return codec.name == "h264" and codec.pix_fmt in _BROWSER_FORMATS and upright and square


def _write_packets(
    out: Path, stream: Any, packets: list[Any], waveform: np.ndarray | None, sample_rate_hz: int
) -> None:
    first_pts = min(packet.pts for packet in packets)
    with (
        written_whole(out) as part,
        av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        video = container.add_stream_from_template(stream)
        audio = None if waveform is None else audio_stream(container, "aac", sample_rate_hz)
        n_written = 0
        for packet in packets:
            packet.pts -= first_pts
            packet.dts -= first_pts
            seconds = packet.dts * Fraction(packet.time_base)
            packet.stream = video
            container.mux(packet)
            if audio is not None and waveform is not None:
                due = max(0, int(seconds * sample_rate_hz))
                n_written = encode_sound(container, audio, waveform, n_written, due)
        if audio is not None and waveform is not None:
            encode_sound(container, audio, waveform, n_written, len(waveform))
            container.mux(audio.encode())


def _even(frame: np.ndarray) -> np.ndarray:
    """H.264 needs even sides: an odd last row or column is left out."""
    return np.ascontiguousarray(frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2])
