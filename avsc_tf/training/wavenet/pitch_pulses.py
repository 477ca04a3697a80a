"""Pulse trains of known pitch, beside the speech that the pitch estimator learns from.

A few dozen voices leave gaps: hardly a frame below 100 Hz. Pulses cover the whole range evenly, with random spectral
slopes, resonances and noise, and pauses between.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from avsc_tf.core.config import Config
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.pitch import HIGHEST_F0_HZ, LOWEST_F0_HZ

Floats = NDArray[np.float32]

SECONDS = 2.0
VOICED_SHARE = 0.75  # of each train; the rest is noise alone
GLIDE_OCTAVES = 0.4
SLOPES = (0.0, 1.5)  # amplitude of harmonic k: k ** -slope
RESONANCES_HZ = ((250.0, 900.0), (800.0, 2500.0), (2000.0, 4000.0))
BANDWIDTHS_HZ = (60.0, 250.0)
TOP_HZ = 8000.0


def pulse_trains(config: Config, *, n: int, seed: int) -> tuple[list[Floats], list[Floats]]:
    """`n` natural-log mel spectrograms [frames, n_mels] and their F0 [frames] in Hz, 0 where unvoiced."""
    rng, timebase = np.random.default_rng([seed, 411]), config.timebase
    mels, f0s_hz = [], []
    for _ in range(n):
        waveform, f0_hz = _train(rng, timebase.sample_rate_hz)
        n_frames = timebase.mel_frames_in(timebase.video_frames_in(len(waveform)))
        mels.append(mel_spectrogram(waveform, config.acoustic, timebase)[:n_frames])
        f0s_hz.append(f0_hz[:: timebase.hop_samples][:n_frames].astype(np.float32))
    return mels, f0s_hz


def _train(rng: np.random.Generator, rate_hz: int) -> tuple[Floats, NDArray[np.float64]]:
    """Waveform and F0 at each sample."""
    n = round(SECONDS * rate_hz)
    middle = np.log2(LOWEST_F0_HZ) + rng.random() * np.log2(HIGHEST_F0_HZ / LOWEST_F0_HZ)
    glide = GLIDE_OCTAVES * rng.uniform(-1, 1) * np.linspace(-0.5, 0.5, n)
    f0_hz = np.clip(2.0 ** (middle + glide), LOWEST_F0_HZ, HIGHEST_F0_HZ)
    phase = 2 * np.pi * np.cumsum(f0_hz) / rate_hz
    slope = rng.uniform(*SLOPES)
    harmonics = range(1, int(TOP_HZ / f0_hz.max()) + 1)
    sound = sum(np.cos(k * phase + rng.uniform(0, 2 * np.pi)) * k**-slope for k in harmonics)
    for low_hz, high_hz in RESONANCES_HZ:
        radius = np.exp(-np.pi * rng.uniform(*BANDWIDTHS_HZ) / rate_hz)
        angle = 2 * np.pi * rng.uniform(low_hz, high_hz) / rate_hz
        sound = 0.3 * sound + lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], sound)
    start = int(rng.random() * (1 - VOICED_SHARE) * n)
    voiced = (np.arange(n) >= start) & (np.arange(n) < start + VOICED_SHARE * n)
    sound = 10 ** rng.uniform(-1.5, -0.3) * voiced * sound / np.abs(sound).max()
    noise = 10 ** rng.uniform(-4.5, -2.5) * rng.normal(size=n)
    return (sound + noise).astype(np.float32), np.where(voiced, f0_hz, 0.0)
