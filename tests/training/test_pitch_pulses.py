"""Pulse trains say the truth about their pitch, and cover the range."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from avsc_tf.features.pitch import HIGHEST_F0_HZ, LOWEST_F0_HZ
from avsc_tf.training.wavenet import pitch_pulses


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_pitch_is_the_one_that_pyin_hears(seed):
    rate_hz = 16_000
    waveform, f0_hz = pitch_pulses._train(np.random.default_rng(seed), rate_hz)
    heard_hz, voiced, _ = librosa.pyin(waveform, fmin=55.0, fmax=500.0, sr=rate_hz, frame_length=2048, hop_length=160)
    true_hz = f0_hz[::160][: len(heard_hz)]
    both = voiced[: len(true_hz)] & (true_hz > 0)
    assert both.mean() > 0.6  # of frames; three quarters are voiced
    cents = 1200 * np.log2(heard_hz[: len(true_hz)][both] / true_hz[both])
    assert np.median(np.abs(cents)) < 15  # pYIN's own steps are 10 cents


def test_trains_cover_the_range_and_pause(tiny_config):
    mels, f0s_hz = pitch_pulses.pulse_trains(tiny_config, n=24, seed=5)
    assert all(mel.shape == (len(f0_hz), tiny_config.acoustic.n_mels) for mel, f0_hz in zip(mels, f0s_hz, strict=True))
    voiced = np.concatenate(f0s_hz)
    assert (voiced == 0).mean() == pytest.approx(0.25, abs=0.01)
    voiced = voiced[voiced > 0]
    assert LOWEST_F0_HZ <= voiced.min() < 75 and 360 < voiced.max() <= HIGHEST_F0_HZ
    again = pitch_pulses.pulse_trains(tiny_config, n=2, seed=5)
    np.testing.assert_array_equal(again[0][1], mels[1])
