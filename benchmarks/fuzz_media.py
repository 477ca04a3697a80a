"""Broken media files through the decoder of the service: none may crash it, hang it or leave anything behind.

    python benchmarks/fuzz_media.py [--files 2000] [--seed 0] [--json FILE]

Small recordings of eight formats are made, and each file is one of them with seeded damage: flipped bits, truncation,
exchanged or repeated pieces, header fields (atom sizes, dimensions, durations, rates) set to edges, and pieces of two
formats joined. Each goes through the very sandbox of the server. Prints what became of them, and what the processes
hold before and after.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import shutil
import statistics
import struct
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from tqdm import tqdm

from avsc_tf.cli import run_tool
from avsc_tf.service.metrics import resident_bytes
from avsc_tf.service.processes import ProcessEndedError
from avsc_tf.service.sandbox import RefusedUploadError, Sandbox, Wanted
from avsc_tf.service.settings import ClipSettings, DecoderSettings

FORMATS = {  # suffix: picture and sound codec
    "mp4": ("libx264", "aac"),
    "mov": ("libx264", "pcm_s16le"),
    "mpg": ("mpeg1video", "mp2"),
    "webm": ("libvpx", "libopus"),
    "avi": ("mpeg4", "libmp3lame"),
    "mkv": ("mjpeg", "flac"),
}
EDGES = (0, 1, 2, 7, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
NAMES = (  # of boxes, chunks, elements and start codes
    *(b"mvhd", b"tkhd", b"mdhd", b"stsz", b"stts", b"stco", b"stsc", b"avc1", b"mp4a", b"elst", b"moov", b"mdat"),
    *(b"strh", b"strf", b"avih", b"idx1", b"fmt ", b"data", b"RIFF"),
    *(b"\x16\x54\xae\x6b", b"\x44\x89", b"\xb0", b"\xba", b"\xb5", b"\0\0\1\xb3", b"\0\0\1\xba", b"\0\0\1\xe0"),
)
WALL_SECONDS = 20.0


def make_seeds(folder: Path) -> dict[str, bytes]:
    """Half a second of each format."""
    rng = np.random.default_rng(1)
    frames = [np.clip(rng.normal(128, 40, (48, 64, 3)) + 2 * k, 0, 255).astype(np.uint8) for k in range(12)]
    sound = (0.3 * np.sin(np.arange(24000) / 20)).astype(np.float32)
    seeds = {}
    for suffix, codecs in FORMATS.items():
        path = folder / f"seed.{suffix}"
        _write(path, frames, sound, *codecs)
        seeds[suffix] = path.read_bytes()
    for suffix in ("wav", "flac"):
        soundfile.write(folder / f"seed.{suffix}", sound, 48000)
        seeds[suffix] = (folder / f"seed.{suffix}").read_bytes()
    return seeds


def _write(path: Path, frames: list[np.ndarray], sound: np.ndarray, picture_codec: str, sound_codec: str) -> None:
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream(picture_codec, rate=25)
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = "yuvj420p" if picture_codec == "mjpeg" else "yuv420p"
        audio: Any = container.add_stream(sound_codec, rate=48000)
        audio.layout = "mono"
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame.reformat(format=video.pix_fmt)))
        container.mux(video.encode())
        frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        size = audio.codec_context.frame_size
        pieces = av.AudioResampler(format=audio.format.name, layout="mono", rate=48000, frame_size=size or 1024)
        for piece in [*pieces.resample(frame), *pieces.resample(None)]:
            container.mux(audio.encode(piece))
        container.mux(audio.encode())


def mutated(seeds: dict[str, bytes], rng: np.random.Generator) -> tuple[str, bytes]:
    """The kind of damage, and a damaged file."""
    data = bytearray(seeds[list(seeds)[rng.integers(len(seeds))]])
    kind = ("flip", "cut", "swap", "repeat", "field", "splice")[rng.choice(6, p=[0.25, 0.1, 0.1, 0.05, 0.4, 0.1])]
    for _ in range(int(rng.integers(1, 4))):
        a, b = sorted(int(x) for x in rng.integers(0, len(data), 2))
        if kind == "flip":
            where = rng.integers(0, len(data) if rng.random() < 0.5 else min(len(data), 600), int(rng.integers(1, 40)))
            for place in where:
                data[place] ^= 1 << int(rng.integers(8))
        elif kind == "cut":
            data = data[: max(16, b)]
        elif kind == "swap":
            data = data[:a] + data[b:] + data[a:b]
        elif kind == "repeat":
            data = data[:b] + data[a:b][:4000] * int(rng.integers(1, 20)) + data[b:]
        elif kind == "field":
            _edit_field(data, rng)
        else:
            other = seeds[list(seeds)[rng.integers(len(seeds))]]
            data = data[:b] + other[int(rng.integers(len(other))) :]
    return kind, bytes(data)


def _edit_field(data: bytearray, rng: np.random.Generator) -> None:
    """An edge value of one to four bytes at or near a name of the format, its size field included."""
    places = [at for name in NAMES if (at := data.find(name)) >= 0]
    base = places[rng.integers(len(places))] if places and rng.random() < 0.9 else int(rng.integers(len(data)))
    place = max(0, min(len(data) - 4, base + int(rng.integers(-8, 90))))
    value, width = EDGES[rng.integers(len(EDGES))], int(rng.choice([1, 2, 4]))
    packed = struct.pack(">I" if rng.random() < 0.6 else "<I", value)
    data[place : place + width] = packed[-width:]


def held(pids: dict[str, int | None]) -> dict[str, dict[str, float]]:
    """Open files, children and memory of processes."""
    found = {}
    for name, pid in pids.items():
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        memory = resident_bytes(pid) / 2**20
        found[name] = {"files": len(os.listdir(f"/proc/{pid}/fd")), "children": len(children), "mib": round(memory, 1)}
    return found


def fuzz(n_files: int, seed: int, *, show: bool = False) -> dict[str, Any]:
    """Outcomes, times and what is held before and after."""
    rng = np.random.default_rng(seed)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    seeds = make_seeds(folder)
    sandbox = Sandbox(ClipSettings(max_seconds=20.0), DecoderSettings(wall_seconds=WALL_SECONDS, cpu_seconds=15))
    outcomes: collections.Counter[str] = collections.Counter()
    by_kind: collections.Counter[str] = collections.Counter()
    times, before, died = [], {}, 0
    try:
        for number in tqdm(range(n_files), desc="fuzz", disable=not show):
            kind, data = mutated(seeds, rng)
            by_kind[kind] += 1
            upload, work = folder / "upload", folder / "work"
            upload.write_bytes(data)
            work.mkdir()
            started = time.perf_counter()
            try:
                sandbox.decode(upload, work, Wanted(25, 48000, True, True))
                outcomes["clean"] += 1
            except RefusedUploadError as error:
                outcomes[error.kind] += 1
            except ProcessEndedError:
                died += 1
            times.append(time.perf_counter() - started)
            shutil.rmtree(work)
            if number == min(50, n_files // 4):
                before = held({"server": os.getpid(), "decoder": sandbox.pid})
        after = held({"server": os.getpid(), "decoder": sandbox.pid})
        left = sorted(path.name for path in folder.iterdir() if not path.name.startswith("seed."))
    finally:
        sandbox.close()
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "files": n_files,
        "seed": seed,
        "damage": dict(by_kind),
        "outcomes": dict(outcomes),
        "decoder_died": died,
        "longest_seconds": round(max(times), 2),
        "median_seconds": round(statistics.median(times), 3),
        "limit_seconds": WALL_SECONDS,
        "before": before,
        "after": after,
        "left_behind": [name for name in left if name != "upload"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    args = parser.parse_args()
    found = fuzz(args.files, args.seed, show=True)
    for name, value in found.items():
        print(f"{name:16} {value}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(run_tool(main))
