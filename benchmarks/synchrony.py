"""Error of the measured offset and drift between a camera's own sound and the sound recorded apart.

    python benchmarks/synchrony.py [DIR...] [--trials N] [--json FILE]

DIR holds speech (clips or sound files); without one, noise with the rhythm of speech is made. Each trial lays a session
out of it, records it twice, by a studio microphone and by a far, echoing, noisy, narrow-band camera with automatic
gain, at a random offset of either sign and a random drift, and compares what is measured with what was laid. Wrong
recordings (other sentences) must be refused. Prints a line each.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.signal
import soxr
from bench_cli import parse_arguments

from avsc_tf.cli.running import run_tool
from avsc_tf.core.config import SyncConfig
from avsc_tf.core.errors import MediaError
from avsc_tf.media.audio import read_audio
from avsc_tf.media.clips import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from avsc_tf.media.synchrony import RATE_HZ, measure_synchrony

SMOKE = "--trials 1 --json {out}/found.json"

WORLD_HZ = 16000


@dataclass(frozen=True)
class Room:
    """How the camera hears."""

    name: str
    echo_seconds: float  # until 60 dB down
    echo_level: float  # energy of the echo over that of the direct sound
    noise_db: float  # speech over noise
    band_hz: tuple[float, float]
    automatic_gain: bool


ROOMS = (
    Room("studio", 0.2, 0.1, 40.0, (50.0, 7600.0), False),
    Room("room", 0.4, 1.0, 15.0, (120.0, 6000.0), True),
    Room("hall, telephone band", 0.8, 4.0, 5.0, (300.0, 3400.0), True),
)


def made_speech(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Noise and pulses with the rhythm, pauses and moving bands of speech: float32 [samples] at WORLD_HZ."""
    pieces = []
    while sum(len(piece) for piece in pieces) < seconds * WORLD_HZ:
        n = int(rng.uniform(0.06, 0.25) * WORLD_HZ)
        pulses = np.zeros(n)
        pulses[:: int(WORLD_HZ / rng.uniform(90, 240))] = 8.0
        source = rng.standard_normal(n) * 0.5 + pulses * rng.integers(2)
        centre = float(np.exp(rng.uniform(np.log(300), np.log(5000))))
        band = scipy.signal.butter(2, (0.7 * centre, min(1.4 * centre, 7500)), "bandpass", fs=WORLD_HZ, output="sos")
        pieces.append(scipy.signal.sosfilt(band, source) * np.hanning(n) * 10 ** rng.uniform(-1.2, 0))
        if rng.random() < 0.15:
            pieces.append(np.zeros(int(rng.uniform(0.1, 1.5) * WORLD_HZ)))
    return np.concatenate(pieces)[: int(seconds * WORLD_HZ)].astype(np.float32)


def hear(world: np.ndarray, room: Room, rng: np.random.Generator) -> np.ndarray:
    """What the camera records: direct sound first, then its echo, noise, gain and band; the same samples long."""
    n = int(room.echo_seconds * WORLD_HZ)
    echo = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    echo[: WORLD_HZ // 200] = 0.0  # the first wall is 5 ms further
    echo *= np.sqrt(room.echo_level / (echo**2).sum())
    echo[0] = 1.0
    sound = scipy.signal.fftconvolve(world, echo)[: len(world)]
    noise = np.cumsum(rng.standard_normal(len(world) + 1))[1:] * 0.05 + rng.standard_normal(len(world))
    noise -= scipy.signal.sosfilt(scipy.signal.butter(1, 20, fs=WORLD_HZ, output="sos"), noise)
    sound = sound + noise * sound.std() / noise.std() * 10 ** (-room.noise_db / 20)
    if room.automatic_gain:
        level = scipy.signal.lfilter([1 / 8000], [1, 1 / 8000 - 1], np.abs(sound)) + 0.01
        sound = np.tanh(0.3 * sound / level)
    sos = scipy.signal.butter(4, room.band_hz, "bandpass", fs=WORLD_HZ, output="sos")
    return (0.2 * scipy.signal.sosfiltfilt(sos, sound)).astype(np.float32)


def record_apart(
    world: np.ndarray, before: np.ndarray, *, offset_seconds: float, drift_ppm: float, rate_hz: int
) -> tuple[np.ndarray, float]:
    """What the studio microphone's recorder keeps, and the offset laid (whole samples of it).

    Args:
        before: what was said before the camera was started.
    """
    samples = soxr.resample(np.concatenate([before, world]), WORLD_HZ, rate_hz * (1 + drift_ppm * 1e-6))
    first = round(len(before) / WORLD_HZ * rate_hz * (1 + drift_ppm * 1e-6))
    kept = first - round(offset_seconds * rate_hz)
    exact = len(before) / WORLD_HZ * (1 + drift_ppm * 1e-6) - kept / rate_hz
    return samples[max(0, kept) :], exact


def sessions(speech: np.ndarray, seconds: float, trials: int, room: Room, max_offset_seconds: float, seed: int):
    """Camera's and separate sound at RATE_HZ, offset and drift laid, for each trial."""
    for trial in range(trials):
        rng = np.random.default_rng((seed, trial))
        offset, drift = rng.uniform(-1, 1) * max_offset_seconds, rng.uniform(-100, 100)
        lead = int(max_offset_seconds * WORLD_HZ) + 1
        start = int(rng.integers(0, len(speech)))
        laid = np.take(speech, np.arange(start, start + lead + int(seconds * WORLD_HZ)), mode="wrap")
        separate, exact = record_apart(laid[lead:], laid[:lead], offset_seconds=offset, drift_ppm=drift, rate_hz=48000)
        camera = soxr.resample(hear(laid[lead:], room, rng), WORLD_HZ, RATE_HZ)
        yield camera, soxr.resample(separate, 48000, RATE_HZ), exact, drift


def errors_ms(camera: np.ndarray, separate: np.ndarray, offset_seconds: float, drift_ppm: float) -> float:
    """Largest error over the session of where the separate sound is laid, in milliseconds."""
    found = measure_synchrony(camera, separate, SyncConfig(), place="trial")
    times = np.array([0.0, len(camera) / RATE_HZ])
    laid = offset_seconds + times * (1 + drift_ppm * 1e-6)
    return float(np.abs([found.separate_seconds(t) for t in times] - laid).max() * 1000)


def _measured(trials: Iterator[tuple[np.ndarray, np.ndarray, float, float]]) -> dict[str, float]:
    found, refused, began = [], 0, time.process_time()
    for trial in trials:
        try:
            found.append(errors_ms(*trial))
        except MediaError:
            refused += 1
    seconds = (time.process_time() - began) / (len(found) + refused)
    nothing = float("nan")
    return {
        "trials": len(found) + refused,
        "refused": refused,
        "median_ms": float(np.median(found)) if found else nothing,
        "max_ms": max(found, default=nothing),
        "cpu_seconds": seconds,
    }


def wrong_recordings(sounds: list[np.ndarray], trials: int, seed: int) -> dict[str, int]:
    """Pairs of different recordings; none may be taken for one."""
    accepted = 0
    for trial in range(trials):
        rng = np.random.default_rng((seed, trial))
        first, second = rng.choice(len(sounds), 2, replace=False)
        camera = soxr.resample(hear(sounds[first], ROOMS[trial % len(ROOMS)], rng), WORLD_HZ, RATE_HZ)
        try:
            measure_synchrony(camera, soxr.resample(sounds[second], WORLD_HZ, RATE_HZ), SyncConfig(), place="trial")
            accepted += 1
        except MediaError:
            pass
    return {"trials": trials, "accepted": accepted}


def _speech_of(folders: list[Path]) -> list[np.ndarray]:
    known = (*VIDEO_SUFFIXES, *AUDIO_SUFFIXES)
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix in known]
    return [read_audio(path, sample_rate_hz=WORLD_HZ) for path in files]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--trials", type=int, default=20, help="of each row")
    parser.add_argument("--json", type=Path)
    args = parse_arguments(__file__, parser, argv, smoke=SMOKE)
    rng = np.random.default_rng(1)
    sounds = _speech_of(args.folders) or [made_speech(3.0, rng) for _ in range(100)]
    speech = np.concatenate(sounds)
    rows: dict[str, dict] = {}
    for room in ROOMS:
        for seconds, offset in ((3.0, 1.0), (10.0, 5.0), (120.0, 45.0)):
            name = f"{room.name}, {seconds:g} s, offset to {offset:g} s"
            rows[name] = _measured(sessions(speech, seconds, args.trials, room, offset, 7))
            print(name, rows[name], flush=True)
    rows["wrong recordings"] = wrong_recordings(sounds, 10 * args.trials, 11)
    print("wrong recordings", rows["wrong recordings"])
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
