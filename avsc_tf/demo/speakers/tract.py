"""From glottis to lips: the voiced source and the resonances it passes.

The source is KLGLOTT88 (Klatt & Klatt 1990); the tract is a cascade of formants with a nasal pole and zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import sosfilt

from avsc_tf.demo.speakers.voices import Emotion, Voice

Array = NDArray[np.float64]

CONTROL_S = 0.001  # grid of the controls
LOWER_BANDWIDTHS_HZ = np.array([65.0, 90.0, 130.0])
NASAL_BANDWIDTHS_HZ = np.array([130.0, 90.0, 60.0])  # added in nasals, whose walls swallow sound
UPPER_BANDWIDTHS_HZ = np.array([160.0, 220.0, 320.0, 420.0])
LOUD_DB_PER_OCTAVE = 6.0  # above 300 Hz: brings the long-term spectrum towards that of real speech
TILT_DB_PER_OCTAVE = 4.0  # of a voice of tilt 1 besides
MAX_LIFT_DB = 36.0


def glottal_source(
    f0_hz: Array, voice: Voice, emotion: Emotion, rng: np.random.Generator, sample_rate_hz: int
) -> tuple[Array, Array]:
    """Derivative of the glottal flow (KLGLOTT88: 2x - 3x^2 over the open phase) and the open phase.

    The jump at closure is rounded over two samples (a polynomial step), or its aliases would
    sound as a rough whisper at high pitch.
    """
    cycles = np.cumsum(f0_hz) / sample_rate_hz
    n_cycles = int(cycles[-1]) + 2
    wander = rng.normal(0.0, 0.004 + emotion.jitter, n_cycles + 1)
    cycles = cycles + np.interp(cycles, np.arange(n_cycles + 1), wander)  # jitter
    number = np.maximum(np.floor(cycles), 0).astype(int)
    phase = cycles - np.floor(cycles)
    open_quotient = np.clip(voice.open_quotient - 0.18 * emotion.tilt, 0.3, 0.8)
    x = phase / open_quotient
    is_open = x < 1.0
    pulses = np.where(is_open, 2.0 * x - 3.0 * x**2, 0.0)
    distance = (phase - open_quotient) * sample_rate_hz / f0_hz  # samples after closure
    before = (distance >= -1.0) & (distance < 0.0)
    after = (distance >= 0.0) & (distance < 1.0)
    pulses[before] += 0.5 * (distance[before] + 1.0) ** 2
    pulses[after] -= 0.5 * (1.0 - distance[after]) ** 2
    shimmer = 1.0 + (0.02 + 3.0 * emotion.jitter) * rng.normal(0.0, 1.0, n_cycles + 2)
    return pulses * shimmer[np.minimum(number, n_cycles + 1)], is_open.astype(float)


def brighten(source: Array, voice: Voice, emotion: Emotion, sample_rate_hz: int) -> Array:
    """Spectral tilt of the voice, and the lift of all formants past the seventh (Fant 1959).

    A real tract has resonances without end; the ones left out of the cascade would raise 4 kHz by
    16 dB, and a cascade without them sounds muffled.
    """
    spectrum = np.fft.rfft(source)
    frequency_hz = np.fft.rfftfreq(len(source), 1.0 / sample_rate_hz)
    lift_db = 16.0 * (frequency_hz / (4000.0 * voice.formant_scale)) ** 2
    octaves = np.log2(np.clip(frequency_hz, 300.0, 8000.0) / 300.0)
    tilt_db = octaves * (LOUD_DB_PER_OCTAVE + TILT_DB_PER_OCTAVE * (voice.tilt + emotion.tilt))
    gain = 10.0 ** ((np.minimum(lift_db, MAX_LIFT_DB) + tilt_db) / 20.0)
    return np.fft.irfft(spectrum * gain, len(source))


def vocal_tract(source: Array, formants_hz: Array, nasality: Array, voice: Voice, *, sample_rate_hz: int) -> Array:
    """A cascade of seven formants with a nasal pole and zero; new coefficients each 1 ms."""
    sections = _sections(formants_hz, nasality, voice, sample_rate_hz)  # [controls, sections, 6]
    step = round(CONTROL_S * sample_rate_hz)
    output = np.empty_like(source)
    state = np.zeros((sections.shape[1], 2))
    for i, coefficients in enumerate(sections):
        block = slice(i * step, (i + 1) * step)
        output[block], state = sosfilt(coefficients, source[block], zi=state)
    return output


def _sections(lower_hz: Array, nasality: Array, voice: Voice, sample_rate_hz: int) -> Array:
    n = len(nasality)
    upper = np.broadcast_to(np.array(voice.upper_formants_hz, dtype=float), (n, 4))
    formants_hz = np.concatenate([lower_hz, upper], axis=1)
    nasal = nasality[:, None]
    lower_bandwidths = LOWER_BANDWIDTHS_HZ + nasal * NASAL_BANDWIDTHS_HZ
    bandwidths_hz = np.concatenate([lower_bandwidths, np.broadcast_to(UPPER_BANDWIDTHS_HZ, (n, 4))], axis=1)
    poles = _resonators(formants_hz, bandwidths_hz, sample_rate_hz)
    nasal_pole = _resonators(np.full((n, 1), 270.0), np.full((n, 1), 100.0), sample_rate_hz)
    zero_hz = 270.0 + 230.0 * nasal * voice.formant_scale
    nasal_zero = _resonators(zero_hz, np.full((n, 1), 100.0), sample_rate_hz)
    nasal_pole[..., :3] *= nasal_zero[..., 3:] / nasal_zero[..., :1]  # the zero cancels unless nasal
    return np.concatenate([poles, nasal_pole], axis=1)


def _resonators(frequency_hz: Array, bandwidth_hz: Array, sample_rate_hz: int) -> Array:
    """Second-order sections of unit gain at 0 Hz, [..., 6]."""
    radius = np.exp(-np.pi * bandwidth_hz / sample_rate_hz)
    a1 = -2.0 * radius * np.cos(2.0 * np.pi * frequency_hz / sample_rate_hz)
    a2 = radius**2
    sections = np.zeros((*frequency_hz.shape, 6))
    sections[..., 0] = 1.0 + a1 + a2
    sections[..., 3] = 1.0
    sections[..., 4] = a1
    sections[..., 5] = a2
    return sections
