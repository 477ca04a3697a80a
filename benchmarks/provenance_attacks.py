"""What may happen to a video on its way, by real codecs: re-encoded, resized, cropped, slowed, or several of these."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
import soxr

Frames = list[np.ndarray]


@dataclass(frozen=True)
class Clip:
    """Pictures and sound, as arrays; either may be None."""

    frames: Frames | None
    waveform: np.ndarray | None
    fps: float
    sample_rate_hz: int

    def cut(self, start_seconds: float, seconds: float) -> Clip:
        """An excerpt."""
        frames, waveform, rate = self.frames, self.waveform, self.sample_rate_hz
        first = round(start_seconds * self.fps)
        begin, end = int(start_seconds * rate), int((start_seconds + seconds) * rate)
        return replace(
            self,
            frames=None if frames is None else frames[first : first + max(1, round(seconds * self.fps))],
            waveform=None if waveform is None else waveform[begin:end],
        )


def through_sound_codec(clip: Clip, codec: str, bits_per_second: int, container: str) -> Clip:
    """Encoded and decoded again; Opus at 48 kHz, MP3 and AAC at the clip's rate."""
    if clip.waveform is None:
        return clip
    rate = 48_000 if codec == "libopus" else clip.sample_rate_hz
    wave = clip.waveform if rate == clip.sample_rate_hz else soxr.resample(clip.waveform, clip.sample_rate_hz, rate)
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = bits_per_second
        layout = {"aac": "fltp", "libmp3lame": "fltp", "libopus": "flt"}[codec]
        for at in range(0, len(wave), rate):
            chunk = np.ascontiguousarray(wave[None, at : at + rate], dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(chunk, format=layout, layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    file.seek(0)
    with av.open(file) as source:
        parts = [f.to_ndarray().reshape(-1) for f in source.decode(audio=0)]
    return replace(clip, waveform=np.concatenate(parts).astype(np.float32), sample_rate_hz=rate)


def through_h264(clip: Clip, crf: int, *, preset: str = "medium", x264: str = "", fps: float = 0) -> Clip:
    """Encoded and decoded again, as x264 does it by default."""
    if clip.frames is None:
        return clip
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream: Any = out.add_stream("libx264", rate=Fraction(fps or clip.fps).limit_denominator(1000))
        stream.height, stream.width = clip.frames[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": str(crf), "preset": preset, "x264-params": x264}
        for frame in clip.frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        out.mux(stream.encode())
    file.seek(0)
    with av.open(file) as source:
        return replace(clip, frames=[f.to_ndarray(format="rgb24") for f in source.decode(video=0)])


def resized(clip: Clip, share: float) -> Clip:
    """Every side `share` as long, even."""
    if clip.frames is None:
        return clip
    size = tuple(2 * round(n * share / 2) for n in clip.frames[0].shape[1::-1])
    return replace(clip, frames=[cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in clip.frames])


def cropped(clip: Clip, share: float, rng: np.random.Generator) -> Clip:
    """A part of every frame, `share` of its height and width, anywhere."""
    if clip.frames is None:
        return clip
    height, width = clip.frames[0].shape[:2]
    h, w = 2 * round(height * share / 2), 2 * round(width * share / 2)
    y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    return replace(clip, frames=[frame[y : y + h, x : x + w] for frame in clip.frames])


def noisy(clip: Clip, rng: np.random.Generator, *, snr_db: float, levels: float) -> Clip:
    """White noise in the sound, and in each pixel of each frame."""
    frames, waveform = clip.frames, clip.waveform
    if frames is not None:
        frames = [np.clip(f + rng.normal(0, levels, f.shape), 0, 255).astype(np.uint8) for f in frames]
    if waveform is not None:
        power = float(np.mean(waveform**2)) * 10 ** (-snr_db / 10)
        waveform = (waveform + rng.normal(0, np.sqrt(power), len(waveform))).astype(np.float32)
    return replace(clip, frames=frames, waveform=waveform)


def faster(clip: Clip, share: float) -> Clip:
    """Sound and picture played faster by `share`, the pitch with them."""
    wave = clip.waveform
    if wave is not None:
        wave = soxr.resample(wave, (1 + share) * clip.sample_rate_hz, clip.sample_rate_hz).astype(np.float32)
    return replace(clip, waveform=wave, fps=clip.fps * (1 + share))


def at_30_fps(clip: Clip) -> Clip:
    """Frames repeated where there are too few."""
    if clip.frames is None:
        return clip
    n = round(len(clip.frames) * 30 / clip.fps)
    frames = [clip.frames[min(len(clip.frames) - 1, int(k * clip.fps / 30))] for k in range(n)]
    return through_h264(replace(clip, frames=frames, fps=30), 23)


def aac(clip: Clip, kilobits: int) -> Clip:
    return through_sound_codec(clip, "aac", kilobits * 1000, "mp4")


def all_together(clip: Clip) -> Clip:
    """AAC at 96 kb/s, resized to 75 %, H.264 at crf 28."""
    return through_h264(resized(aac(clip, 96), 0.75), 28)


Attack = Callable[[Clip, np.random.Generator], Clip]
SOUND, PICTURE = "sound", "picture"
# What an attack touches: the other stream need not be measured again.
ATTACKS: dict[str, tuple[Attack, Sequence[str]]] = {
    "as written": (lambda c, r: c, (SOUND, PICTURE)),
    "AAC 96 kb/s": (lambda c, r: aac(c, 96), (SOUND,)),
    "H.264 crf 28": (lambda c, r: through_h264(c, 28), (PICTURE,)),
    "resized to 75 %": (lambda c, r: resized(c, 0.75), (PICTURE,)),
    "all three together": (lambda c, r: all_together(c), (SOUND, PICTURE)),
    "AAC 48 kb/s": (lambda c, r: aac(c, 48), (SOUND,)),
    "MP3 64 kb/s": (lambda c, r: through_sound_codec(c, "libmp3lame", 64_000, "mp3"), (SOUND,)),
    "Opus 32 kb/s": (lambda c, r: through_sound_codec(c, "libopus", 32_000, "ogg"), (SOUND,)),
    "noise (20 dB, 8 levels)": (lambda c, r: noisy(c, r, snr_db=20, levels=8), (SOUND, PICTURE)),
    "5 % faster": (lambda c, r: faster(c, 0.05), (SOUND,)),
    "H.264 crf 35": (lambda c, r: through_h264(c, 35), (PICTURE,)),
    "resized to 50 %, crf 23": (lambda c, r: through_h264(resized(c, 0.5), 23), (PICTURE,)),
    "cropped to 85 %": (lambda c, r: cropped(c, 0.85, r), (PICTURE,)),
    "cropped to 85 %, crf 23": (lambda c, r: through_h264(cropped(c, 0.85, r), 23), (PICTURE,)),
    "25 to 30 fps, crf 23": (lambda c, r: at_30_fps(c), (PICTURE,)),
}
