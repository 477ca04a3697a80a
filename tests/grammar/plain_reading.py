"""The clip as plain PyAV decodes it, each frame at its own timestamp: what the builder is checked against."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def picture_times(path: Path) -> tuple[list[Any], list[Fraction]]:
    """Decoded frames and their times on the file's clock."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
    if path.suffix.lower() != ".avi":
        return frames, [frame.pts * Fraction(frame.time_base) for frame in frames]
    with av.open(str(path)) as container:  # no presentation times: the k-th picture is shown at the k-th chunk's time
        packets = [packet for packet in container.demux(container.streams.video[0]) if packet.size]
        return frames, [packet.dts * Fraction(packet.time_base) for packet in packets]


def sound_on_the_clock(path: Path, track: int, start_seconds: Fraction) -> tuple[np.ndarray, int]:
    """float64 [channels, samples] from `start_seconds` of the file's clock; what comes later overwrites."""
    with av.open(str(path)) as container:
        frames = list(container.decode(container.streams.audio[track]))
    rate_hz = frames[0].sample_rate
    resampler = av.AudioResampler(format="fltp")
    placed, at = [], 0
    for frame in frames:
        if frame.pts is not None:  # WMA: only the first of a packet's frames has a time
            at = round((frame.pts * Fraction(frame.time_base) - start_seconds) * rate_hz)
        placed += [(at, part.to_ndarray()) for part in resampler.resample(frame)]
        at += frame.samples
    end = max(at + part.shape[1] for at, part in placed)
    sound = np.zeros((len(placed[0][1]), end))
    for at, part in placed:
        if at + part.shape[1] > 0:
            sound[:, max(0, at) : at + part.shape[1]] = part[:, max(0, -at) :]
    return sound, rate_hz


def loudest_channel(path: Path, track: int, start_seconds: Fraction) -> tuple[np.ndarray, int]:
    """float64 [samples] from `start_seconds` on, and their rate."""
    sound, rate_hz = sound_on_the_clock(path, track, start_seconds)
    return sound[np.argmax(np.mean(sound**2, axis=1))], rate_hz
