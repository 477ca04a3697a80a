"""Speech-like sound, pictures with edges, texture, flat parts and motion, and files made of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from avsc_tf.media.mux import write_sound, write_video
from avsc_tf.provenance.marking import Provenance

ROOT = Path(__file__).resolve().parents[2]
RATE_HZ, FPS = 16_000, 25
BUNDLE = "sha256:0123"


def speech_like(seconds: float, rate_hz: int, seed: int = 0) -> np.ndarray:
    """Buzz and noise in syllables with pauses, bands that move, and a faint room: float32 [samples]."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    pitch_hz = 120 + 25 * np.sin(2 * np.pi * 0.7 * t + rng.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    formant_hz = 900 + 500 * np.sin(2 * np.pi * 2.3 * t + rng.uniform(0, 6))
    voice = np.zeros(len(t))
    for harmonic in range(1, int(min(7000, rate_hz / 2.2) / 145)):
        distance = (harmonic * pitch_hz - formant_hz) / 700
        voice += np.cos(harmonic * phase + rng.uniform(0, 6)) * (0.02 + np.exp(-(distance**2)))
    breath = rng.normal(size=len(t)) * 0.4
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * t + rng.uniform(0, 6)) + 0.4, 0, 1)
    sound = (voice + breath) * syllables + 0.01 * rng.normal(size=len(t))
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


def moving_pictures(n: int, size: tuple[int, int] = (128, 128), seed: int = 0) -> list[np.ndarray]:
    """A shaded background and a textured oval that sways: uint8 [height, width, 3] each."""
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    ground = np.stack([150 + 40 * x / width, 160 - 30 * y / height, 140 + 0 * x], axis=-1)
    texture = cv2.GaussianBlur(rng.normal(0, 60, (height, width)).astype(np.float32), (0, 0), width / 100)
    skin = np.stack([200 + texture, 150 + texture, 120 + 0.7 * texture], axis=-1)
    frames = []
    for number in range(n):
        centre = width * (0.5 + 0.04 * np.sin(number / 9)), height * (0.5 + 0.02 * np.sin(number / 7))
        inside = ((x - centre[0]) / (0.28 * width)) ** 2 + ((y - centre[1]) / (0.38 * height)) ** 2
        oval = np.clip((1.05 - inside) * 10, 0, 1)[..., None]
        frames.append(np.clip(ground * (1 - oval) + skin * oval, 0, 255).astype(np.uint8))
    return frames


@pytest.fixture
def attacks(monkeypatch: pytest.MonkeyPatch):
    """The benchmark's attacks, by real codecs."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import provenance_attacks

    yield provenance_attacks
    sys.modules.pop("provenance_attacks", None)


@pytest.fixture(scope="session")
def signed_video(tmp_path_factory: pytest.TempPathFactory, signing_folder: Path) -> Path:
    """Three seconds, marked, encoded and signed as a conversion is."""
    return make_file(tmp_path_factory.mktemp("signed") / "clip.mp4")


def make_file(
    path: Path,
    *,
    seconds: float = 3.0,
    has_sound: bool = True,
    provenance: Provenance | None = None,
    sound_bundle: str = BUNDLE,
    finish: Callable[[Path], None] | None = None,
) -> Path:
    """A marked and signed file, mp4 or wav by its name."""
    provenance = provenance or Provenance()
    wave = provenance.marked_sound(speech_like(seconds, RATE_HZ), sound_bundle, sample_rate_hz=RATE_HZ)
    conversion = {"bundle": BUNDLE, "seed": 7, "vocoder": "wavenet", "consents": [{"who": "Mary Example"}]}

    def sign(part: Path) -> None:
        provenance.sign(part, suffix=path.suffix, conversion=conversion)

    if path.suffix == ".wav":
        write_sound(path, wave, sample_rate_hz=RATE_HZ, finish=finish or sign)
        return path
    frames = provenance.marked_frames(moving_pictures(round(seconds * FPS)), BUNDLE)
    sound = wave if has_sound else None
    write_video(path, frames, sound, fps=FPS, sample_rate_hz=RATE_HZ, finish=finish or sign)
    return path
