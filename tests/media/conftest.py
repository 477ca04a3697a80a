"""Synthetic clips whose frames carry their number, so that the choice of a frame can be read from its pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

N_BITS = 8
WIDTH, HEIGHT = 96, 64  # different on each axis


def paint_number(number: int, *, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Bits of the number as bright and dark columns, the highest first: uint8 [height, width, 3]."""
    bits = [(number >> (N_BITS - 1 - k)) & 1 for k in range(N_BITS)]
    row = np.repeat(np.array(bits, np.uint8) * 200 + 20, width // N_BITS)
    return np.broadcast_to(row[None, :, None], (height, width, 3)).copy()


@pytest.fixture
def read_number() -> Callable[[np.ndarray], int]:
    """The painted number, from the middle of each column."""

    def read(frame: np.ndarray) -> int:
        width = frame.shape[1] // N_BITS
        columns = frame[frame.shape[0] // 2, width // 2 :: width, 1]
        return int("".join("1" if value > 128 else "0" for value in columns), 2)

    return read


@pytest.fixture
def write_clip(tmp_path: Path) -> Callable[..., Path]:
    """Write a clip: `seconds` are the frames' presentation times; `sound` [samples] begins at `sound_seconds`."""

    def write(
        name: str,
        seconds: Sequence[Fraction | float],
        *,
        sound: np.ndarray | None = None,
        sound_rate_hz: int = 48000,
        sound_seconds: float = 0.0,
        sound_codec: str = "flac",
        sound_layout: str = "mono",
        key_frames: int = 250,
        images: Sequence[np.ndarray] | None = None,
        video_codec: str = "libx264",
        ticks: int = 120000,
        faststart: bool = False,
        pixel_aspect: Fraction = Fraction(1),
        container_format: str | None = None,
        video_options: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        options = {"movflags": "faststart"} if faststart else {}
        with av.open(str(path), "w", format=container_format, options=options) as container:
            video = audio = None
            if len(seconds):
                rate = Fraction(len(seconds) - 1, 1) / Fraction(seconds[-1] - seconds[0]) if len(seconds) > 1 else 25
                video = container.add_stream(video_codec, rate=Fraction(rate).limit_denominator(1001))
                video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
                video.time_base = video.codec_context.time_base = Fraction(1, ticks)
                video.codec_context.sample_aspect_ratio = pixel_aspect
                if video_codec == "libx264":
                    video.options = {"qp": "10", "preset": "ultrafast", "bf": "2", "g": str(key_frames)}
                if video_options is not None:
                    video.options = video_options
            if sound is not None:
                audio = container.add_stream(sound_codec, rate=sound_rate_hz, layout=sound_layout)
                audio.time_base = Fraction(1, sound_rate_hz)
                audio.bit_rate = 128000  # WMA has no default
            for number, second in enumerate(seconds):
                image = paint_number(number) if images is None else images[number]
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = round(Fraction(second) * ticks), Fraction(1, ticks)
                container.mux(video.encode(frame))
            if sound is not None:
                _write_sound(container, audio, sound, sound_rate_hz, round(sound_seconds * sound_rate_hz))
            for stream in (video, audio):
                if stream is not None:
                    container.mux(stream.encode(None))
        return path

    return write


def _write_sound(container, stream, sound: np.ndarray, rate_hz: int, first_pts: int) -> None:
    resampler = av.AudioResampler(format=stream.codec_context.format, layout=stream.codec_context.layout, rate=rate_hz)
    fifo = av.AudioFifo()
    layout = stream.codec_context.layout
    planes = np.clip(np.round(sound * 32768), -32768, 32767).astype(np.int16)[None].repeat(layout.nb_channels, 0)
    frame = av.AudioFrame.from_ndarray(planes, format="s16p", layout=layout.name)
    frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
    for part in resampler.resample(frame):
        fifo.write(part)
    position = first_pts
    while (piece := fifo.read(1024, partial=True)) is not None:
        piece.pts, piece.time_base = position, Fraction(1, rate_hz)
        position += piece.samples
        container.mux(stream.encode(piece))
