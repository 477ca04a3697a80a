"""A formant synthesiser in the line of Klatt (1980): glottal pulses and noise through resonators.

Every control (formants, amplitudes, pitch) lives on a 1 ms grid and is smooth, so there are no clicks
but the bursts that plosives ask for; silence is silence but for a faint room floor. The true times
of all phones come back with the sound, which no recording can offer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from avsc_tf.core.errors import ConfigError
from avsc_tf.demo.speakers.phones import ARTICULATIONS, NOISE_BANDS_HZ, Articulation, Phone, TimedPhone
from avsc_tf.demo.speakers.prosody import breath_groups, pitch_contour, smooth, time_phones
from avsc_tf.demo.speakers.tract import CONTROL_S, brighten, glottal_source, vocal_tract
from avsc_tf.demo.speakers.voices import Emotion, Voice

Array = NDArray[np.float64]

F0_HOP_S = 0.005
LOWEST_RATE_HZ = 24000
BURST_S = 0.006
NEUTRAL_FORMANTS_HZ = np.array([520.0, 1500.0, 2600.0])  # where a lazy mouth drifts to
SPEECH_RMS = 0.07  # of a neutral utterance's speech, relative to full scale
FLOOR_RMS = 1e-4  # room noise, -80 dB of full scale
ASPIRATION_LEVEL = 0.25
FRICATION_LEVEL = 0.5  # relative to the rms of the voiced sound
MURMUR_HZ = 280.0  # what a voiced closure lets through


@dataclass(frozen=True)
class Speech:
    """An utterance. `f0_hz[k]` belongs to time `k * 5 ms` and is 0 where nothing is voiced."""

    waveform: NDArray[np.float32]  # [samples], within -1 to 1
    f0_hz: NDArray[np.float32]  # [samples / (5 ms)]
    phones: list[TimedPhone]
    sample_rate_hz: int


@dataclass(frozen=True)
class _Controls:
    """What the synthesiser does at each millisecond; all arrays [controls] unless noted."""

    times_s: Array
    formants_hz: Array  # [controls, 3]
    voicing: Array
    aspiration: Array
    closure: Array  # 1 where only the murmur of a voiced closure is heard
    nasality: Array
    noise: dict[str, Array]  # band -> amplitude


def synthesize(
    phones: list[Phone],
    voice: Voice,
    emotion: Emotion,
    *,
    rng: np.random.Generator,
    sample_rate_hz: int = 48000,
) -> Speech:
    """Speak `phones`; timing, pitch and noise are drawn from `rng`.

    Raises:
        ConfigError: a phone is not in the inventory, or the rate is not a multiple of 1 kHz from 24 kHz up.
    """
    timed = time_phones(phones, voice, emotion, rng=rng)
    return synthesize_timed(phones, timed, voice, emotion, rng=rng, sample_rate_hz=sample_rate_hz)


def synthesize_timed(
    phones: list[Phone],
    timed: list[TimedPhone],
    voice: Voice,
    emotion: Emotion,
    *,
    rng: np.random.Generator,
    sample_rate_hz: int = 48000,
) -> Speech:
    """Speak `phones` at the times already chosen; the waveform ends with the last phone."""
    if sample_rate_hz < LOWEST_RATE_HZ or sample_rate_hz % 1000:
        raise ConfigError(
            f"sample_rate_hz {sample_rate_hz}: speech is made at multiples of 1000 from {LOWEST_RATE_HZ} up, where its "
            "highest formant fits; resample afterwards"
        )
    hop_samples = round(F0_HOP_S * sample_rate_hz)
    n_hops = int(np.ceil(timed[-1].end_s / F0_HOP_S - 1e-6))
    controls = _controls(timed, voice, emotion, n_controls=round(n_hops * F0_HOP_S / CONTROL_S))
    f0_hz = pitch_contour(controls.times_s, phones, timed, voice, emotion, rng=rng)
    n_samples = n_hops * hop_samples
    waveform = _render(controls, f0_hz, voice, emotion, rng, n_samples, sample_rate_hz)
    waveform = _level(waveform, timed, emotion, sample_rate_hz)
    waveform += rng.normal(0.0, FLOOR_RMS, n_samples)
    per_hop = round(F0_HOP_S / CONTROL_S)
    heard = np.where(controls.voicing > 0.2, f0_hz, 0.0)[::per_hop][:n_hops]
    return Speech(np.tanh(waveform).astype(np.float32), heard.astype(np.float32), timed, sample_rate_hz)


def _controls(timed: list[TimedPhone], voice: Voice, emotion: Emotion, *, n_controls: int) -> _Controls:
    times_s = (np.arange(n_controls) + 0.5) * CONTROL_S
    ends_s = [phone.end_s for phone in timed]
    index = np.clip(np.searchsorted(ends_s, times_s, side="right"), 0, len(timed) - 1)
    plan = [ARTICULATIONS[phone.symbol] for phone in timed]
    # seconds until the phone ends: tells a plosive's closure from its release
    left_s = np.array(ends_s)[index] - times_s
    release_s = np.array([_release_seconds(a, t) for a, t in zip(plan, timed, strict=True)])[index]
    is_plosive = np.array([a.kind == "plosive" for a in plan])[index]
    since_release_s = release_s - left_s
    shut = is_plosive & (since_release_s < 0)

    def per_control(name: str) -> Array:
        return np.array([getattr(a, name) for a in plan], dtype=float)[index]

    def eased(values: Array, window_s: float) -> Array:
        return smooth(values, times_s, window_s=window_s)

    targets = _formant_targets(plan, emotion)[index]
    release = np.where(shut, 0.0, 1.0)
    voicing = per_control("voicing") * np.where(is_plosive & ~shut, 0.8, 1.0)
    return _Controls(
        times_s=times_s,
        formants_hz=eased(targets, 0.055) * voice.formant_scale,
        voicing=eased(voicing * _intensity(times_s, timed), 0.018),
        aspiration=eased(per_control("aspiration") * release, 0.014),
        closure=eased((shut & (per_control("voicing") > 0)).astype(float), 0.010),
        nasality=eased(per_control("nasal"), 0.030),
        noise=_noise_amplitudes(plan, index, release, is_plosive, since_release_s, eased),
    )


def _release_seconds(articulation: Articulation, phone: TimedPhone) -> float:
    """A release keeps its length, but never takes more than 70 % of a shortened plosive."""
    return min(articulation.release_seconds, 0.7 * (phone.end_s - phone.start_s))


def _formant_targets(plan: list[Articulation], emotion: Emotion) -> Array:
    """Targets in Hz, [phones, 3]: pauses wait at the next sound, consonants lean to the next vowel."""
    targets = np.array([a.formants_hz for a in plan], dtype=float)
    vowels = np.array([a.kind == "vowel" for a in plan])
    space = NEUTRAL_FORMANTS_HZ + emotion.vowel_space * (targets - NEUTRAL_FORMANTS_HZ)
    targets[vowels] = space[vowels]
    following = NEUTRAL_FORMANTS_HZ
    for i in reversed(range(len(plan))):
        if vowels[i]:
            following = targets[i]
        else:
            share = 0.5 if plan[i].kind == "pause" else plan[i].coarticulation
            targets[i] = (1.0 - share) * targets[i] + share * following
    return targets


def _intensity(times_s: Array, timed: list[TimedPhone]) -> Array:
    """Each breath group fades by 5 dB to its end, as lungs empty."""
    fade = np.ones_like(times_s)
    for start_s, end_s in breath_groups(timed):
        inside = (times_s >= start_s) & (times_s < end_s)
        progress = (times_s[inside] - start_s) / (end_s - start_s)
        fade[inside] = 10.0 ** (-5.0 * progress**2 / 20.0)
    return fade


def _noise_amplitudes(
    plan: list[Articulation],
    index: NDArray[np.intp],
    release: Array,
    is_plosive: NDArray[np.bool_],
    since_release_s: Array,
    eased: Callable[[NDArray, float], Array],
) -> dict[str, Array]:
    """Frication of each band: steady in fricatives and affricates, a short burst where a plosive opens."""
    frication = np.array([a.frication for a in plan])[index] * release
    voiced = np.array([a.voicing > 0 for a in plan])[index]
    just_released = is_plosive & (since_release_s >= 0) & (since_release_s < BURST_S)
    burst = np.where(voiced, 0.3, 0.6) * just_released
    amplitudes = {}
    for band in NOISE_BANDS_HZ:
        in_band = np.array([a.noise_band == band for a in plan])[index]
        amplitudes[band] = eased(in_band * frication, 0.016) + eased(in_band * burst, 0.004)
    return amplitudes


def _render(
    controls: _Controls,
    f0_hz: Array,
    voice: Voice,
    emotion: Emotion,
    rng: np.random.Generator,
    n_samples: int,
    sample_rate_hz: int,
) -> Array:
    times_s = np.arange(n_samples) / sample_rate_hz

    def per_sample(values: Array) -> Array:
        return np.interp(times_s, controls.times_s, values)

    pulses, is_open = glottal_source(per_sample(f0_hz), voice, emotion, rng, sample_rate_hz)
    breath = (voice.breath + emotion.breath) * (0.35 + 0.65 * is_open)
    hiss = rng.normal(0.0, 1.0, n_samples)
    source = per_sample(controls.voicing) * (pulses + breath * hiss)
    source += ASPIRATION_LEVEL * per_sample(controls.aspiration) * hiss
    shut = per_sample(controls.closure)
    murmur = sosfilt(butter(2, MURMUR_HZ, fs=sample_rate_hz, output="sos"), source)
    source = brighten((1.0 - shut) * source + shut * murmur, voice, emotion, sample_rate_hz)
    tract = vocal_tract(source, controls.formants_hz, controls.nasality, voice, sample_rate_hz=sample_rate_hz)
    tract *= 1.0 / max(np.sqrt(np.mean(tract[tract != 0.0] ** 2)), 1e-9)
    buzz = 1.0 - 0.6 * per_sample(controls.voicing) * (1.0 - is_open)
    return tract + buzz * _frication(controls, voice, rng, n_samples, sample_rate_hz, per_sample)


def _frication(
    controls: _Controls,
    voice: Voice,
    rng: np.random.Generator,
    n_samples: int,
    sample_rate_hz: int,
    per_sample: Callable[[Array], Array],
) -> Array:
    """Noise made in the mouth, past the resonators: one band-pass filter a place of articulation."""
    total = np.zeros(n_samples)
    for band, (low_hz, high_hz, level) in NOISE_BANDS_HZ.items():
        white = rng.normal(0.0, 1.0, n_samples)  # drawn always: the other bands keep their noise
        if not controls.noise[band].any():
            continue
        scale = voice.formant_scale**0.5
        edges_hz = [low_hz * scale, min(high_hz * scale, 0.45 * sample_rate_hz)]
        shape = butter(2, edges_hz, "bandpass", fs=sample_rate_hz, output="sos")
        noise = sosfilt(shape, white)
        level /= np.sqrt(np.mean(noise**2))
        total += FRICATION_LEVEL * level * per_sample(controls.noise[band]) * noise
    return total


def _level(waveform: Array, timed: list[TimedPhone], emotion: Emotion, sample_rate_hz: int) -> Array:
    """Set the loudness of the speech, pauses not counted, by the mood."""
    groups = breath_groups(timed)
    spoken = [waveform[round(a * sample_rate_hz) : round(b * sample_rate_hz)] for a, b in groups]
    rms = np.sqrt(np.mean(np.concatenate(spoken) ** 2)) if spoken else 1.0
    return waveform * (SPEECH_RMS * 10.0 ** (emotion.gain_db / 20.0) / max(rms, 1e-9))
