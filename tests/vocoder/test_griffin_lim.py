"""Griffin-Lim: exact length, same sound for the same seed, a spectrum close to the one asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avsc_tf.core.config import Config, load_config
from avsc_tf.core.timebase import Timebase
from avsc_tf.features.acoustic import mel_filterbank, mel_spectrogram
from avsc_tf.vocoder.griffin_lim import griffin_lim, magnitude_from_mel

N_FRAMES = 11


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(Path(__file__).resolve().parents[2] / "configs" / "paper.yaml")


@pytest.fixture(scope="module")
def timebase(config: Config) -> Timebase:
    return config.timebase


@pytest.fixture
def log_mel(config: Config, timebase: Timebase, rng: np.random.Generator) -> np.ndarray:
    """A gliding harmonic tone with a silent end and a little noise."""
    n_samples = timebase.samples_in(N_FRAMES)
    pitch_hz = np.linspace(120, 180, n_samples)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / timebase.sample_rate_hz
    tone = sum(np.sin(k * phase) / k for k in range(1, 20)) * (np.arange(n_samples) < 0.8 * n_samples)
    return mel_spectrogram(0.1 * tone + 0.002 * rng.standard_normal(n_samples), config.acoustic, timebase)


def test_length_type_and_level(config: Config, timebase: Timebase, log_mel: np.ndarray) -> None:
    waveform = griffin_lim(log_mel, config.acoustic, timebase, n_iterations=2, seed=1)
    assert waveform.shape == (N_FRAMES * 1920,)
    assert waveform.dtype == np.float32
    assert np.isfinite(waveform).all()


def test_same_seed_same_sound(config: Config, timebase: Timebase, log_mel: np.ndarray) -> None:
    first, again, other = (
        griffin_lim(log_mel, config.acoustic, timebase, n_iterations=2, seed=seed) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_analysed_again_it_is_close(config: Config, timebase: Timebase, log_mel: np.ndarray) -> None:
    waveform = griffin_lim(log_mel, config.acoustic, timebase, seed=1)
    again = mel_spectrogram(waveform, config.acoustic, timebase)
    error = np.abs(again - log_mel)
    assert error.mean() < 0.15  # nepers; 0.09 on real speech at 60 iterations, 0.4 for one iteration
    # Framing: moved by one mel frame, it must fit worse.
    assert np.abs(again[1:] - log_mel[:-1]).mean() > error.mean()
    assert np.abs(again[:-1] - log_mel[1:]).mean() > error.mean()


def test_last_frame_sounds_as_long_as_the_others(config: Config, timebase: Timebase) -> None:
    steady = np.full((24, config.acoustic.n_mels), -2.0, np.float32)
    waveform = griffin_lim(steady, config.acoustic, timebase, seed=1)
    power = (waveform.reshape(24, -1) ** 2).mean(axis=1)
    assert power[-1] > 0.2 * np.median(power)  # a missing frame leaves half a window of silence: below 0.05


def test_magnitudes_are_positive_fit_and_stay_in_band(config: Config, log_mel: np.ndarray) -> None:
    mel = np.exp(log_mel).T
    magnitude = magnitude_from_mel(mel, config.acoustic, config.time.sample_rate_hz)
    bank = mel_filterbank(config.acoustic, config.time.sample_rate_hz)
    assert magnitude.shape == (1025, N_FRAMES * 8)
    assert magnitude.min() >= 0
    assert not magnitude[bank.sum(axis=0) == 0].any()
    fit = np.log(np.maximum(bank @ magnitude, config.acoustic.log_floor))
    assert np.abs(fit - log_mel.T).mean() < 0.01  # nepers; the pseudo-inverse clipped at 0 gives the same


def test_no_frames_no_samples(config: Config, timebase: Timebase) -> None:
    assert griffin_lim(np.zeros((0, 80), np.float32), config.acoustic, timebase).shape == (0,)


def test_wrong_number_of_bands(config: Config, timebase: Timebase) -> None:
    with pytest.raises(ValueError, match=r"must be \[frames, 80\], got \[5, 79\]"):
        griffin_lim(np.zeros((5, 79)), config.acoustic, timebase)
