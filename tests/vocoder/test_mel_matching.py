"""Spectral gains: towards the wanted mel, without touching what is right or the phases."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from scipy.signal import butter, sosfiltfilt

from avsc_tf.core.config import load_config
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.vocoder.mel_matching import match_mel


@pytest.fixture(scope="module")
def config():
    return load_config(f"{__file__.rsplit('/tests/', 1)[0]}/configs/demo.yaml")


def _mel(waveform, config):
    full = soxr.resample(waveform, 16000, 48000, quality="HQ")
    return mel_spectrogram(full, config.acoustic, config.timebase)


def _noise(n_video: int, seed: int) -> np.ndarray:
    """Below 6.5 kHz, which resampling leaves alone."""
    noise = np.random.default_rng(seed).normal(0, 0.05, 640 * n_video)
    noise = sosfiltfilt(butter(8, 6500, fs=16000, output="sos"), noise)
    return (noise * np.linspace(0.2, 1.0, len(noise))).astype(np.float32)


def test_a_right_spectrum_is_left_alone(config):
    waveform = _noise(11, seed=1)
    matched = match_mel(waveform, _mel(waveform, config), config, passes=2)
    inner = slice(800, -800)  # resampling is not exact at the edges
    assert np.abs(matched - waveform)[inner].max() < 0.01 * np.abs(waveform).max()  # two resamplings, float32


def test_every_pass_brings_the_mel_nearer(config):
    waveform, wanted = _noise(11, seed=1), _mel(_noise(11, seed=2)[::-1].copy(), config)
    errors = [np.abs(_mel(match_mel(waveform, wanted, config, passes=n), config) - wanted).mean() for n in range(4)]
    assert errors[1] < 0.6 * errors[0] and errors[3] < errors[2] < errors[1]


def test_a_gain_is_followed_exactly(config):
    waveform = _noise(9, seed=3)
    matched = match_mel(waveform, _mel(waveform, config) + 1.0, config, passes=1)
    inner = slice(800, -800)
    ratio = (matched * waveform)[inner].sum() / (waveform**2)[inner].sum()
    assert ratio == pytest.approx(np.e, rel=0.01)  # the same phases, e times as loud


def test_no_pass_changes_nothing_and_lengths_stay(config):
    waveform = _noise(7, seed=4)
    mel = _mel(waveform, config)
    assert match_mel(waveform, mel, config, passes=0) is waveform
    assert match_mel(waveform, mel, config, passes=1).shape == waveform.shape
