"""When each phone is spoken and how the pitch moves: durations and F0 of an utterance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avsc_tf.core.errors import ConfigError
from avsc_tf.demo.speakers.phones import ARTICULATIONS, PAUSE, Phone, TimedPhone
from avsc_tf.demo.speakers.voices import Emotion, Voice

Array = NDArray[np.float64]

PHONE_NOISE = 0.11  # log standard deviation of single durations
TEMPO_NOISE = 0.09  # the same of a whole utterance: two takes never have one length
PAUSE_NOISE = 0.35
FINAL_LENGTHENING = 1.5  # of the last vowel before a pause
ACCENT_LOG_F0 = 0.55  # height of a fully accented vowel, in units of the voice's range


def time_phones(phones: list[Phone], voice: Voice, emotion: Emotion, *, rng: np.random.Generator) -> list[TimedPhone]:
    """Give every phone its times, the first starting at 0 s.

    Phone lengths vary with voice and mood, phone by phone and utterance by utterance.

    Raises:
        ConfigError: a phone is not in `ARTICULATIONS`.
    """
    tempo = np.exp(rng.normal(0.0, TEMPO_NOISE)) / (voice.rate * emotion.rate)
    seconds = [
        tempo * _nominal_seconds(phones, index, voice) * np.exp(rng.normal(0.0, _noise(phone)))
        for index, phone in enumerate(phones)
    ]
    ends = np.cumsum(seconds)
    starts = np.concatenate([[0.0], ends[:-1]])
    return [
        TimedPhone(phone.symbol, float(start), float(end))
        for phone, start, end in zip(phones, starts, ends, strict=True)
    ]


def _noise(phone: Phone) -> float:
    return PAUSE_NOISE if phone.symbol == PAUSE else PHONE_NOISE


def _nominal_seconds(phones: list[Phone], index: int, voice: Voice) -> float:
    phone = phones[index]
    if phone.symbol not in ARTICULATIONS:
        known = " ".join(ARTICULATIONS)
        raise ConfigError(f"phone {phone.symbol!r}: not in the inventory; use one of {known}")
    articulation = ARTICULATIONS[phone.symbol]
    seconds = articulation.seconds if phone.seconds is None else phone.seconds
    if phone.symbol == PAUSE:
        return seconds * voice.pause_scale
    if articulation.kind != "vowel":
        return seconds / np.sqrt(voice.vowel_stretch)
    before_pause = index + 1 < len(phones) and phones[index + 1].symbol == PAUSE
    return seconds * voice.vowel_stretch * (FINAL_LENGTHENING if before_pause else 1.0)


def stretch(phones: list[TimedPhone], *, start_s: float, end_s: float) -> list[TimedPhone]:
    """Move and scale an utterance so that its speech fills `start_s` to `end_s`.

    The outer pauses become what is left: 0 to `start_s`, and nothing after `end_s`.
    """
    speech = [phone for phone in phones if phone.symbol != PAUSE]
    old_start, old_end = speech[0].start_s, speech[-1].end_s
    scale = (end_s - start_s) / (old_end - old_start)

    def moved(time_s: float) -> float:
        return start_s + (time_s - old_start) * scale

    inner = [p for p in phones if old_start <= p.start_s and p.end_s <= old_end]
    spoken = [TimedPhone(p.symbol, moved(p.start_s), moved(p.end_s)) for p in inner]
    return [TimedPhone(PAUSE, 0.0, start_s), *spoken]


def pitch_contour(
    times_s: Array,
    phones: list[Phone],
    timed: list[TimedPhone],
    voice: Voice,
    emotion: Emotion,
    *,
    rng: np.random.Generator,
) -> Array:
    """F0 in Hz at `times_s`, also where it will not be heard.

    Each breath group falls from its start to its end, later groups start lower (declination);
    accented vowels rise above that line; a slow random drift keeps takes apart.
    """
    line = _declination(times_s, timed)
    melody = line + ACCENT_LOG_F0 * _accents(times_s, phones, timed)
    drift = 0.12 * _slow_noise(times_s, rng=rng, period_s=0.4)
    half_range = voice.f0_range * emotion.f0_range_scale
    return voice.f0_hz * emotion.f0_scale * np.exp(half_range * (melody + drift))


def _declination(times_s: Array, timed: list[TimedPhone]) -> Array:
    line = np.zeros_like(times_s)
    knots_s: list[float] = []
    heights: list[float] = []
    for order, (start_s, end_s) in enumerate(breath_groups(timed)):
        knots_s += [start_s, start_s + 0.25 * (end_s - start_s), end_s]
        heights += [0.35 - 0.2 * order, 0.55 - 0.2 * order, -0.55 - 0.1 * order]
    if knots_s:
        line = np.interp(times_s, knots_s, heights)
    return line


def breath_groups(timed: list[TimedPhone]) -> list[tuple[float, float]]:
    """Start and end in seconds of each stretch of speech between pauses."""
    groups: list[tuple[float, float]] = []
    for before, phone in zip([None, *timed[:-1]], timed, strict=True):
        if phone.symbol == PAUSE:
            continue
        if before is None or before.symbol == PAUSE:
            groups.append((phone.start_s, phone.end_s))
        else:
            groups[-1] = (groups[-1][0], phone.end_s)
    return groups


def _accents(times_s: Array, phones: list[Phone], timed: list[TimedPhone]) -> Array:
    vowels = [
        (0.5 * (time.start_s + time.end_s), phone.tone)
        for phone, time in zip(phones, timed, strict=True)
        if ARTICULATIONS[phone.symbol].kind == "vowel"
    ]
    if not vowels:
        return np.zeros_like(times_s)
    centres_s, tones = zip(*vowels, strict=True)
    return smooth(np.interp(times_s, centres_s, tones), times_s, window_s=0.12)


def _slow_noise(times_s: Array, *, rng: np.random.Generator, period_s: float) -> Array:
    knots_s = np.arange(0.0, times_s[-1] + 2 * period_s, period_s)
    return np.interp(times_s, knots_s, rng.normal(0.0, 1.0, len(knots_s)))


def smooth(values: Array, times_s: Array, *, window_s: float) -> Array:
    """Smooth evenly sampled `values` (along axis 0) by a Hann window of `window_s` seconds."""
    step_s = times_s[1] - times_s[0]
    half = max(1, round(0.5 * window_s / step_s))
    window = np.hanning(2 * half + 1)
    window /= window.sum()
    padding = [(half, half)] + [(0, 0)] * (values.ndim - 1)
    padded = np.pad(values, padding, mode="edge")
    return np.apply_along_axis(np.convolve, 0, padded, window, mode="valid")
