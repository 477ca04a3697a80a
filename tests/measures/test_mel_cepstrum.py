"""Mel-cepstra against SPTK's figures, and the distortion against pymcd's; laws that the recipe promises."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from scipy.signal import butter, sosfilt

from avsc_tf.core.errors import AlignmentError
from avsc_tf.measures import mel_cepstrum as mc

RATE_HZ = 16_000
ALPHA = 0.41


def syllables(seed: int, f0_hz: float, formant_hz: float) -> np.ndarray:
    """0.75 s of harmonics under one formant, loud three times, with a little noise; float64 and the same everywhere."""
    t = np.arange(RATE_HZ * 3 // 4) / RATE_HZ
    noise = np.random.RandomState(seed).standard_normal(len(t))  # its stream is frozen by NumPy's policy
    harmonics = sum(
        np.sin(2 * np.pi * k * f0_hz * t + k * k) / (1 + ((k * f0_hz - formant_hz) / 300.0) ** 2) for k in range(1, 20)
    )
    return 0.2 * harmonics * np.sin(4 * np.pi * t) ** 2 + 0.002 * noise


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Mel-cepstra of two such voices, [151, 25] and [126, 25]."""
    a, b = syllables(7, 110.0, 900.0), syllables(8, 130.0, 1400.0)[:10_000]
    return mc.mel_cepstra(a, RATE_HZ, alpha=ALPHA), mc.mel_cepstra(b, RATE_HZ, alpha=ALPHA)


def test_mel_cepstra_are_those_of_sptk(pair):
    """pysptk 1.0.1: conversion.sp2mc(power, 24, 0.41) of a plain NumPy STFT of the same signal; printed to 1e-8.

    The power is floored at 1e-8 of its largest value there as here.
    """
    a, b = pair
    assert a.shape == (151, 25) and b.shape == (126, 25)
    shown = [0, 1, 2, 5, 12, 24]
    assert a[20, shown] == pytest.approx(
        [-3.81966816, 3.26868924, -0.26986892, 0.13627183, 0.01824644, -0.01170645], abs=1e-8
    )
    assert a[75, shown] == pytest.approx(
        [-3.86465572, 3.40247927, -0.210974106, 0.147264734, -1.91459670e-4, 0.0711920331], abs=1e-8
    )


def test_frequency_transform_is_sptks_freqt():
    """pysptk 1.0.1: freqt([0.7, -0.4, 0.25, 0.1, -0.05, 0.02, 0.3], 9, 0.31)."""
    cepstrum = np.array([0.7, -0.4, 0.25, 0.1, -0.05, 0.02, 0.3])
    expected = [0.60286585, -0.19528889, 0.35605028, -0.02771874, 0.2049441,
                0.06998959, -0.14943665, 0.05284947, 0.04718133, -0.08809379]  # fmt: skip
    assert mc.frequency_transform(6, 9, 0.31) @ cepstrum == pytest.approx(expected, abs=1e-8)
    assert np.array_equal(mc.frequency_transform(6, 6, 0.0), np.eye(7))


def test_transformed_spectrum_is_the_same_on_the_warped_axis():
    """What the transform is for: sum c_n cos(n w) = sum c~_n cos(n w~); 60 coefficients leave 0.3^60 of the tail."""
    cepstrum, alpha = np.array([0.3, -0.5, 0.2, 0.1, -0.05]), 0.3
    omega = np.linspace(0, np.pi, 17)
    warped = omega + 2 * np.arctan2(alpha * np.sin(omega), 1 - alpha * np.cos(omega))
    there = mc.frequency_transform(4, 60, alpha) @ cepstrum
    found = there @ np.cos(np.outer(np.arange(61), warped))
    assert found == pytest.approx(cepstrum @ np.cos(np.outer(np.arange(5), omega)), abs=1e-9)


def test_alpha_is_that_of_pysptk():
    """pysptk 1.0.1: util.mcepalpha, which looks through steps of 0.001."""
    found = [mc.mel_alpha(rate) for rate in (8000, 16_000, 22_050, 24_000, 44_100, 48_000)]
    assert found == pytest.approx([0.312, 0.410, 0.455, 0.466, 0.544, 0.554], abs=1e-9)


def test_distortion_is_that_of_pymcd(pair):
    """pymcd 0.2.1's sum over the exact path (fastdtw 0.3.4's `dtw`) of the frames that sound: 144 and 123 of them.

    pymcd itself would read the spectrum by WORLD, to order 13, and pair by an approximate DTW.
    """
    a, b = pair
    found = mc.mel_cepstral_distortion(a, b)
    assert found.mean_db == pytest.approx(10.0280273895657, rel=1e-9)
    assert found.path.shape == (146, 2)
    assert (len(mc.sounding(a)), len(mc.sounding(b))) == (144, 123)


def test_distortion_of_one_shifted_coefficient_by_hand(pair):
    """0.3 nepers more of c5 in every frame: 10 / ln 10 * sqrt(2) * 0.3 where frames are paired with themselves."""
    a, _ = pair
    other = a.copy()
    other[:, 5] += 1e-3
    mean_db, path = mc.mel_cepstral_distortion(other, a)
    assert np.array_equal(path[:, 0], path[:, 1])
    assert mean_db == pytest.approx(10 / np.log(10) * np.sqrt(2) * 1e-3, rel=1e-6)


def test_distortion_does_not_hear_loudness_and_tempo(pair):
    a, b = pair
    louder = a + 1.7 * np.eye(25)[0]
    mean_db, path = mc.mel_cepstral_distortion(louder, a)
    assert mean_db == 0.0
    slower = np.repeat(b, 2, axis=0)
    assert mc.mel_cepstral_distortion(slower, b).mean_db == 0.0
    assert len(path) == len(mc.sounding(a))


def test_silence_before_and_after_changes_nothing(pair):
    a, _ = pair
    wave = syllables(7, 110.0, 900.0)
    quiet = 1e-4 * np.random.RandomState(1).standard_normal(4000)
    padded = mc.mel_cepstra(np.concatenate([quiet, wave, quiet]), RATE_HZ, alpha=ALPHA)
    assert mc.mel_cepstral_distortion(padded, a).mean_db < 0.2  # frames at the edges hold both
    first = mc.sounding(padded)[0]
    assert first == pytest.approx(50 + mc.sounding(a)[0], abs=2)  # 4000 samples are 50 frames of 5 ms


def test_level_of_white_noise_is_its_power():
    """Variance 0.01 is -20 dB; a periodogram's logarithm is 2.5 dB low (Euler's constant), smoothing or not."""
    noise = 0.1 * np.random.RandomState(3).standard_normal(RATE_HZ)
    level = mc.level_db(mc.mel_cepstra(noise, RATE_HZ))
    assert level.mean() == pytest.approx(-20.0 - 2.5, abs=1.0)


def test_waveforms_are_compared_at_16_khz(pair):
    """What lies above 8 kHz has no say: at 48 kHz, loud noise from 9 kHz up changes next to nothing."""
    a, b = syllables(7, 110.0, 900.0), syllables(8, 130.0, 1400.0)[:10_000]
    at_16 = mc.waveform_distortion(a, b, RATE_HZ).mean_db
    assert at_16 == mc.mel_cepstral_distortion(*pair).mean_db
    high, low = soxr.resample(a, RATE_HZ, 48_000), soxr.resample(b, RATE_HZ, 48_000)
    hiss = sosfilt(
        butter(12, 9000, "highpass", fs=48_000, output="sos"), np.random.RandomState(2).normal(size=len(high))
    )
    there_and_back = mc.waveform_distortion(high + 0.1 * hiss, low, 48_000).mean_db
    assert there_and_back == pytest.approx(at_16, rel=0.1)  # the resampler's slope takes the last tenth of the band
    full_band = mc.mel_cepstral_distortion(mc.mel_cepstra(high + 0.1 * hiss, 48_000), mc.mel_cepstra(low, 48_000))
    assert full_band.mean_db > 2 * at_16


def test_nothing_to_compare(pair):
    a, _ = pair
    mean_db, path = mc.mel_cepstral_distortion(a[:0], a)
    assert np.isnan(mean_db) and path.shape == (0, 2)
    silent = mc.mel_cepstra(np.zeros(400), RATE_HZ)
    assert np.isfinite(silent).all()


def test_too_long_a_pair_is_refused():
    long = np.zeros((5001, 25))
    with pytest.raises(AlignmentError, match="Cut the recordings"):
        mc.mel_cepstral_distortion(long, long)
