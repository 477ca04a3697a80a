"""Who speaks, and in what mood: the voices and emotions of the demo corpus."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Voice:
    """A speaker's larynx, vocal tract and habits of timing."""

    f0_hz: float  # middle of the pitch range
    f0_range: float  # natural-log half range of the phrase melody
    formant_scale: float  # 1 = the table of phones.py; larger = shorter vocal tract
    upper_formants_hz: tuple[float, float, float, float]  # F4 to F7
    rate: float  # 1 = the durations of phones.py
    vowel_stretch: float  # vowels against consonants
    pause_scale: float
    breath: float  # noise in the voiced source, relative to the pulses
    tilt: float  # -1 dull to 1 bright
    open_quotient: float  # share of the glottal cycle with flow


@dataclass(frozen=True)
class Emotion:
    """What a mood does to a voice (after Scherer's summaries of vocal emotion; sizes chosen by ear)."""

    f0_scale: float = 1.0
    f0_range_scale: float = 1.0
    rate: float = 1.0
    gain_db: float = 0.0
    tilt: float = 0.0
    breath: float = 0.0
    jitter: float = 0.0  # relative period noise
    vowel_space: float = 1.0  # formant distance from the neutral vowel


VOICES: dict[str, Voice] = {
    "source": Voice(225.0, 0.20, 1.15, (3900, 4900, 6600, 8200), 1.12, 0.92, 0.9, 0.045, 0.05, 0.62),
    "target": Voice(172.0, 0.16, 1.01, (3500, 4300, 5600, 7200), 1.10, 1.08, 1.15, 0.015, 0.30, 0.52),
    # for pretraining the WaveNet only
    "extra1": Voice(200.0, 0.22, 1.09, (3700, 4700, 6200, 7900), 1.18, 1.00, 1.0, 0.030, 0.15, 0.58),
    "extra2": Voice(112.0, 0.18, 0.90, (3250, 4000, 5200, 6700), 1.05, 1.00, 1.0, 0.020, 0.25, 0.50),
    "extra3": Voice(138.0, 0.24, 0.94, (3400, 4200, 5400, 7000), 1.15, 1.05, 0.9, 0.030, 0.10, 0.56),
}

# The order is fixed: an emotion's place in it enters the random seeds.
EMOTIONS: dict[str, Emotion] = {
    "neutral": Emotion(),
    "happiness": Emotion(1.15, 1.4, 1.06, 2.0, 0.20, 0.0, 0.0, 1.05),
    "happiness_strong": Emotion(1.32, 1.8, 1.12, 4.0, 0.35, 0.0, 0.002, 1.10),
    "sadness": Emotion(0.93, 0.65, 0.90, -3.0, -0.30, 0.06, 0.002, 0.93),
    "sadness_strong": Emotion(0.88, 0.5, 0.80, -6.0, -0.50, 0.12, 0.004, 0.87),
    "anger": Emotion(1.08, 1.3, 1.08, 3.0, 0.40, 0.0, 0.005, 1.06),
    "anger_strong": Emotion(1.20, 1.6, 1.16, 6.0, 0.60, 0.0, 0.010, 1.12),
}
