"""Recordings to be damaged, and the damage, for `fuzz_media.py`: number N of a seed is always the same file."""

from __future__ import annotations

import struct
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

FORMATS = {  # suffix: picture and sound codec
    "mp4": ("libx264", "aac"),
    "mov": ("libx264", "pcm_s16le"),
    "mpg": ("mpeg1video", "mp2"),
    "webm": ("libvpx", "libopus"),
    "vp9.webm": ("libvpx-vp9", "libvorbis"),
    "avi": ("mpeg4", "libmp3lame"),
    "mkv": ("mjpeg", "flac"),
    "hevc.mp4": ("libx265", "aac"),
    "mp3": ("", "libmp3lame"),
    "ogg": ("", "libvorbis"),
}
EDGES = (0, 1, 2, 7, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
NAMES = (  # of boxes, chunks, elements and start codes
    *(b"mvhd", b"tkhd", b"mdhd", b"stsz", b"stts", b"ctts", b"stco", b"stsc", b"stss", b"avc1", b"avcC", b"mp4a"),
    *(b"esds", b"elst", b"moov", b"mdat", b"trak", b"dref", b"ftyp", b"strh", b"strf", b"avih", b"idx1", b"movi"),
    *(b"fmt ", b"data", b"RIFF", b"fLaC", b"OggS", b"OpusHead", b"vorbis", b"Xing"),
    *(b"\x16\x54\xae\x6b", b"\x44\x89", b"\x2a\xd7\xb1", b"\xb0", b"\xba", b"\xb5", b"\x9f", b"\xa3"),
    *(b"\x1f\x43\xb6\x75", b"\0\0\1\xb3", b"\0\0\1\xba", b"\0\0\1\xe0", b"\0\0\1\xc0", b"\x9d\x01\x2a", b"\xff\xc0"),
)  # fmt: skip
DAMAGE = {
    "flip": 0.2,
    "cut": 0.1,
    "swap": 0.1,
    "repeat": 0.05,
    "delete": 0.05,
    "run": 0.05,
    "field": 0.35,
    "splice": 0.1,
}


def make_seeds(folder: Path) -> dict[str, bytes]:
    """Half a second of each format, by suffix."""
    rng = np.random.default_rng(1)
    frames = [np.clip(rng.normal(128, 40, (48, 64, 3)) + 2 * k, 0, 255).astype(np.uint8) for k in range(12)]
    sound = (0.3 * np.sin(np.arange(24000) / 20)).astype(np.float32)
    seeds = {}
    for suffix, codecs in FORMATS.items():
        path = folder / f"seed.{suffix}"
        write_recording(path, frames if codecs[0] else [], sound, *codecs)
        seeds[suffix] = path.read_bytes()
    for suffix in ("wav", "flac"):
        soundfile.write(folder / f"seed.{suffix}", sound, 48000)
        seeds[suffix] = (folder / f"seed.{suffix}").read_bytes()
    return seeds


def add_real(seeds: dict[str, bytes], folder: Path) -> None:
    """Two recordings of people, where the folder has them."""
    for name, path in (
        ("grid.mpg", folder / "grid" / "s1" / "bbaf2n.mpg"),
        ("vctk.wav", folder / "vctk" / "p225_003.wav"),
    ):
        if path.is_file():
            seeds[name] = path.read_bytes()


def write_recording(path: Path, frames: list[np.ndarray], sound: np.ndarray, picture_codec: str, codec: str) -> None:
    """25 frames a second and mono sound of 48 kHz, by PyAV."""
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream(picture_codec, rate=25) if frames else None
        audio: Any = container.add_stream(codec, rate=48000)
        audio.layout = "mono"
        if video is not None:
            video.height, video.width = frames[0].shape[:2]
            video.pix_fmt = "yuvj420p" if picture_codec == "mjpeg" else "yuv420p"
            if picture_codec == "libx265":
                video.options = {"x265-params": "log-level=none"}
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame.reformat(format=video.pix_fmt)))
        if video is not None:
            container.mux(video.encode())
        frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        size = audio.codec_context.frame_size
        pieces = av.AudioResampler(format=audio.format.name, layout="mono", rate=48000, frame_size=size or 1024)
        for piece in [*pieces.resample(frame), *pieces.resample(None)]:
            container.mux(audio.encode(piece))
        container.mux(audio.encode())


def mutated(seeds: dict[str, bytes], seed: int, number: int) -> tuple[str, str, bytes]:
    """The format, the kind of damage, and damaged file `number` of `seed`."""
    rng = np.random.default_rng((seed, number))
    suffix = list(seeds)[rng.integers(len(seeds))]
    data = bytearray(seeds[suffix])
    kind = list(DAMAGE)[rng.choice(len(DAMAGE), p=list(DAMAGE.values()))]
    for _ in range(int(rng.integers(1, 4))):
        a, b = sorted(int(x) for x in rng.integers(0, len(data), 2))
        if kind == "flip":
            n_first = len(data) if rng.random() < 0.5 else min(len(data), 600)
            for place in rng.integers(0, n_first, int(rng.integers(1, 40))):
                data[place] ^= 1 << int(rng.integers(8))
        elif kind == "cut":
            data = data[: max(16, b)]
        elif kind == "swap":
            data = data[:a] + data[b:] + data[a:b]
        elif kind == "repeat":
            data = data[:b] + data[a:b][:4000] * int(rng.integers(1, 20)) + data[b:]
        elif kind == "delete":
            data = data[:a] + data[min(b, a + 5000) :]
        elif kind == "run":
            n = min(b - a, 300)
            data[a : a + n] = rng.bytes(n) if rng.random() < 0.5 else bytes([int(rng.choice([0, 255]))]) * n
        elif kind == "field":
            _edit_field(data, rng)
        else:
            other = seeds[list(seeds)[rng.integers(len(seeds))]]
            data = data[:b] + other[int(rng.integers(len(other))) :]
        if len(data) < 16:
            break
    return suffix, kind, bytes(data)


def _edit_field(data: bytearray, rng: np.random.Generator) -> None:
    """An edge value of one to four bytes at or near a name of the format, its size field included."""
    places = [at for name in NAMES if (at := data.find(name)) >= 0]
    base = places[rng.integers(len(places))] if places and rng.random() < 0.9 else int(rng.integers(len(data)))
    place = max(0, min(len(data) - 4, base + int(rng.integers(-8, 90))))
    value, width = EDGES[rng.integers(len(EDGES))], int(rng.choice([1, 2, 4]))
    packed = struct.pack(">I" if rng.random() < 0.6 else "<I", value)
    data[place : place + width] = packed[-width:]


def all_seeds(real: Path | None) -> dict[str, bytes]:
    """Made ones, and real ones of a folder."""
    with tempfile.TemporaryDirectory(prefix="fuzz-seeds-") as folder:
        seeds = make_seeds(Path(folder))
    if real is not None:
        add_real(seeds, real)
    return seeds
