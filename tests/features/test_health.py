"""Sound health against published values, an independent meter, and damage done on purpose."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import butter, lfilter, sosfilt

from avsc_tf.features.health import (
    MAX_SNR_DB,
    QUIETEST_LUFS,
    clipped_share,
    loudness_lufs,
    sound_health,
)
from avsc_tf.media.audio import read_audio

RATE_HZ = 48000


def sine(hz: float, seconds: float, *, rate_hz: int = RATE_HZ, amplitude: float = 1.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def speech_like(rng: np.random.Generator, *, lead: float = 0.3, tail: float = 0.4, noise: float = 1e-4) -> np.ndarray:
    """Buzz of 120 Hz in syllables of 5 a second between 1.5 kHz-wide formants, pauses around it, noise over all."""
    n = round(1.7 * RATE_HZ)
    buzz = np.zeros(n)
    buzz[:: RATE_HZ // 120] = 1.0
    voice = sosfilt(butter(2, [150, 1500], "bandpass", fs=RATE_HZ, output="sos"), buzz)
    t = np.arange(n) / RATE_HZ
    voice *= 0.55 + 0.45 * np.sin(2 * np.pi * 5 * t - np.pi / 2)
    voice *= 0.6 / np.abs(voice).max()
    pauses = [np.zeros(round(seconds * RATE_HZ)) for seconds in (lead, tail)]
    x = np.concatenate([pauses[0], voice, pauses[1]])
    return x + noise * rng.standard_normal(len(x))


@pytest.mark.parametrize("rate_hz", [44100, 48000, 96000])
def test_full_scale_sine_has_its_known_loudness(rate_hz: int) -> None:
    # ITU-R BS.1770-4: a 997 Hz sine of 0 dBFS in one channel reads -3.01 LKFS; the filters are exact at 48 kHz and
    # bend a little towards Nyquist at other rates.
    tolerance = 0.005 if rate_hz == 48000 else 0.03
    assert loudness_lufs(sine(997, 3, rate_hz=rate_hz), rate_hz) == pytest.approx(-3.01, abs=tolerance)
    assert loudness_lufs(sine(997, 3, rate_hz=rate_hz, amplitude=0.1), rate_hz) == pytest.approx(-23.01, abs=tolerance)


def _bs1770_by_hand(x: np.ndarray) -> float:
    """Mono, 48 kHz, with the coefficients printed in the recommendation (tables 1 and 2)."""
    shelf = [1.53512485958697, -2.69169618940638, 1.19839281085285], [1.0, -1.69065929318241, 0.73248077421585]
    high_pass = [1.0, -2.0, 1.0], [1.0, -1.99004745483398, 0.99007225036621]
    y = lfilter(*high_pass, lfilter(*shelf, x))
    n, step = round(0.4 * RATE_HZ), round(0.1 * RATE_HZ)
    powers = np.array([np.mean(y[i : i + n] ** 2) for i in range(0, len(y) - n + 1, step)])
    level = lambda power: -0.691 + 10 * np.log10(power)  # noqa: E731
    kept = powers[level(powers) > -70]
    kept = kept[level(kept) > level(kept.mean()) - 10]
    return float(level(kept.mean()))


def test_loudness_follows_the_recommendation(rng: np.random.Generator) -> None:
    for seconds in (0.0, 1.3):  # with a pause that the gate must leave out
        x = speech_like(rng, tail=seconds, noise=1e-3)
        # The meter takes its last block by rounding, so one of 20 to 30 blocks may be another.
        assert loudness_lufs(x, RATE_HZ) == pytest.approx(_bs1770_by_hand(x), abs=0.1)


@pytest.mark.parametrize("n", [1, 2, 3, 100, 19199, 19200, 19201])
def test_clips_shorter_than_a_block(n: int) -> None:
    x = sine(997, 1)[:n]
    health = sound_health(x, RATE_HZ)
    assert QUIETEST_LUFS <= health.loudness_lufs < 3
    assert math.isfinite(health.snr_db) and health.seconds == n / RATE_HZ
    if n > 5000:  # the filters have settled; a short block is as loud as a long one
        assert health.loudness_lufs == pytest.approx(-3.01, abs=0.1)


def test_silence_is_finite() -> None:
    health = sound_health(np.zeros(RATE_HZ), RATE_HZ)
    assert health.loudness_lufs == QUIETEST_LUFS
    assert (health.clipped_share, health.dc_offset, health.hum_hz) == (0, 0, None)
    assert health.leading_silence_seconds == health.trailing_silence_seconds == 1


def test_true_peak_lies_between_the_samples() -> None:
    t = np.arange(RATE_HZ)
    x = 0.5 * np.sin(2 * np.pi * t / 4 + np.pi / 4)  # samples at 0.5 * sqrt(1/2), crests at 0.5
    health = sound_health(x, RATE_HZ)
    assert health.peak_dbfs == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=1e-6)
    # The hard beginning rings by less than half a decibel above the tone's own crests.
    assert -6.1 < health.true_peak_dbfs < -5.5


def test_clipping_of_made_speech(rng: np.random.Generator) -> None:
    x = speech_like(rng)
    peak = np.abs(x).max()
    assert clipped_share(x) == 0
    assert clipped_share(x / peak * 0.999) == 0
    shares = [clipped_share(np.clip(x / peak * gain, -1, 1)) for gain in (1.25, 2, 4)]
    assert 0 < shares[0] < shares[1] < shares[2]
    by_count = np.mean(np.abs(x / peak * 4) >= 1)
    # Tops of one or two samples do not count; they are the smaller part at four times full scale.
    assert 0.8 * by_count < shares[2] <= by_count


def test_clipping_of_integers_one_side_and_one_channel(rng: np.random.Generator) -> None:
    x = speech_like(rng) * 3
    both = np.clip(np.rint(x * 32768), -32768, 32767).astype(np.int16)
    assert clipped_share(both) == pytest.approx(clipped_share(np.clip(x, -1, 1)), rel=0.02)  # 32767 is not 1
    whole = x / np.abs(x).max()
    assert clipped_share(whole) == 0
    assert clipped_share(np.minimum(whole, 0.75)) == clipped_share(np.maximum(-whole, -0.75)) > 0  # one side alone
    stereo = np.stack([x / np.abs(x).max(), np.clip(x, -1, 1)], axis=1)
    assert clipped_share(stereo) == clipped_share(stereo[:, 1]) > 0


def test_quiet_equal_samples_are_no_clipping() -> None:
    x = np.rint(sine(50, 1, amplitude=0.05) * 2**15) / 2**15  # 16-bit rounding makes runs at every crest
    assert clipped_share(x) == 0


def test_clipping_is_looked_for_in_the_recorded_samples(rng: np.random.Generator) -> None:
    x = speech_like(rng)
    recorded = np.clip(np.stack([x, 4 * x], axis=1), -1, 1)
    health = sound_health(recorded.mean(axis=1), RATE_HZ, as_recorded=recorded)
    assert health.clipped_share == clipped_share(recorded[:, 1]) > 0


def test_snr_falls_with_added_noise(rng: np.random.Generator) -> None:
    clean, noise = speech_like(rng, noise=0), rng.standard_normal(round(2.4 * RATE_HZ))
    estimates = {level: sound_health(clean + level * noise, RATE_HZ).snr_db for level in (1e-4, 1e-3, 1e-2, 1e-1)}
    assert sorted(estimates.values(), reverse=True) == list(estimates.values())
    # 20 dB more noise is 20 dB less, but for which frames count as speech: the middle rises with the noise.
    assert estimates[1e-4] - estimates[1e-3] == pytest.approx(20, abs=3)
    assert estimates[1e-3] - estimates[1e-2] == pytest.approx(20, abs=3)
    voice = clean[np.abs(clean) > 0]
    true_db = 10 * np.log10(np.mean(voice**2) / 1e-4)
    # The estimate compares the upper half of the levels, so it lies a few decibels above the mean over all speech.
    assert 0 < estimates[1e-2] - true_db < 5


def test_snr_ignores_padding_and_level(rng: np.random.Generator) -> None:
    x = speech_like(rng, noise=1e-3)
    padded = np.concatenate([np.zeros(24000), x, np.zeros(36000)])
    assert sound_health(padded, RATE_HZ).snr_db == pytest.approx(sound_health(x, RATE_HZ).snr_db, abs=1)  # frame grid
    assert sound_health(x / 8, RATE_HZ).snr_db == pytest.approx(sound_health(x, RATE_HZ).snr_db, abs=1e-6)
    gated = np.where(np.abs(speech_like(rng, noise=0)) > 0, 1, 0) * speech_like(rng, noise=0)
    inside = np.concatenate([gated[14400:-19200], np.zeros(48000), gated[14400:-19200]])
    assert sound_health(inside, RATE_HZ).snr_db == MAX_SNR_DB


def test_silence_around_the_speech(rng: np.random.Generator) -> None:
    for lead, tail in ((0.3, 0.4), (0.0, 0.8), (0.62, 0.0)):
        health = sound_health(speech_like(rng, lead=lead, tail=tail, noise=3e-4), RATE_HZ)
        # The first syllable swells and the last one fades: within 60 ms of the border, in whole frames of 20 ms.
        assert health.leading_silence_seconds == pytest.approx(lead, abs=0.061)
        assert health.trailing_silence_seconds == pytest.approx(tail, abs=0.061)
    x = speech_like(rng, lead=0.5, noise=3e-4)
    x[4800:4900] += 0.5  # a click of 2 ms is no speech
    assert sound_health(x, RATE_HZ).leading_silence_seconds == pytest.approx(0.5, abs=0.061)


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_hum_is_told_from_noise_and_voice(rng: np.random.Generator, mains_hz: float) -> None:
    x = speech_like(rng, noise=3e-4)
    assert sound_health(x, RATE_HZ).hum_hz is None
    hum = sum(sine(k * mains_hz, len(x) / RATE_HZ, amplitude=3e-3 / k) for k in (1, 2, 3))
    health = sound_health(x + hum, RATE_HZ)
    assert health.hum_hz == mains_hz
    true_dbfs = 10 * math.log10(sum((3e-3 / k) ** 2 / 2 for k in (1, 2, 3)))
    assert health.hum_dbfs == pytest.approx(true_dbfs, abs=1)  # leakage between harmonics of 0.16 s pieces


def test_dc_offset(rng: np.random.Generator) -> None:
    x = speech_like(rng)
    plain, moved = sound_health(x, RATE_HZ), sound_health(x + 0.05, RATE_HZ)
    assert moved.dc_offset - plain.dc_offset == pytest.approx(0.05, abs=1e-9)
    assert moved.snr_db == pytest.approx(plain.snr_db, abs=0.01)  # an offset is no noise


@pytest.mark.parametrize(("x", "rate_hz"), [(np.zeros(0), 48000), (np.zeros((3, 2)), 48000), (np.zeros(3), 0)])
def test_what_is_no_sound_is_refused(x: np.ndarray, rate_hz: int) -> None:
    with pytest.raises(ValueError, match=r"must be \[samples\] at a positive rate"):
        sound_health(x, rate_hz)


def test_real_speech(shared_data) -> None:
    for name in ("grid/s1/bbaf2n.mpg", "vctk/p225_003.wav"):
        x = read_audio(shared_data / name, sample_rate_hz=RATE_HZ)
        health = sound_health(x, RATE_HZ)
        # Studio recordings: none is clipped, noisy, humming or quiet.
        assert (health.clipped_share, health.hum_hz) == (0, None)
        assert -30 < health.loudness_lufs < -14 and 30 < health.snr_db < 60
        clipped = sound_health(np.clip(4 * x, -1, 1), RATE_HZ)
        assert clipped.clipped_share > 0.002
        noisy = x + 0.05 * np.random.default_rng(3).standard_normal(len(x))
        assert sound_health(noisy, RATE_HZ).snr_db < 20
    begin, end = (
        int(shared_data.joinpath("grid/s1_align/bbaf2n.align").read_text(encoding="utf-8").split()[i]) for i in (1, -3)
    )
    health = sound_health(read_audio(shared_data / "grid/s1/bbaf2n.mpg", sample_rate_hz=RATE_HZ), RATE_HZ)
    # Word labels are in 1/25000 s, set by forced alignment; a plosive's closure or breath may lie between.
    assert health.leading_silence_seconds == pytest.approx(begin / 25000, abs=0.15)
    assert health.seconds - health.trailing_silence_seconds == pytest.approx(end / 25000, abs=0.15)
