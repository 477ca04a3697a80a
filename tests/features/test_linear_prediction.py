"""Linear prediction from the mel against an all-pole signal and slow sums."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from avsc_tf.core.config import load_config
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.linear_prediction import predict, prediction_coefficients


@pytest.fixture(scope="module")
def config():
    root = __file__.rsplit("/tests/", 1)[0]
    return load_config(f"{root}/configs/demo.yaml", ["wavenet.prediction_order=8", "wavenet.pre_emphasis=0"])


def _resonant_noise(n_samples: int) -> np.ndarray:
    """White noise through resonances at 700 and 1900 Hz, 16 kHz."""
    poles = [0.97 * np.exp(2j * np.pi * f / 16000) for f in (700, 1900)]
    filter_ = np.real(np.poly([*poles, *np.conj(poles)]))
    return (0.01 * lfilter([1], filter_, np.random.default_rng(3).normal(size=n_samples))).astype(np.float32)


def test_prediction_is_the_sum_over_the_past(rng):
    signal, coefficients = rng.uniform(-0.4, 0.4, 30), rng.uniform(-0.4, 0.4, (30, 5))
    found = predict(signal.astype(np.float32), coefficients.astype(np.float32))
    for t in range(30):
        expected = sum(coefficients[t, k] * signal[t - 1 - k] for k in range(5) if t - 1 - k >= 0)
        assert found[t] == pytest.approx(expected, abs=1e-6)


def test_resonances_in_the_mel_predict_the_waveform(config):
    import soxr

    signal = _resonant_noise(32000)
    mel = mel_spectrogram(soxr.resample(signal, 16000, 48000), config.acoustic, config.timebase)
    coefficients = np.repeat(prediction_coefficients(mel, config), 80, axis=0)
    residual = signal - predict(signal, coefficients[: len(signal)])
    gain_db = 10 * np.log10(signal.var() / residual.var())
    best_db = 10 * np.log10(signal.var() / 0.01**2)  # the filter itself, known
    assert gain_db > 0.8 * best_db  # bands of 25 ms blur the resonances


def test_level_does_not_change_the_filter(config, rng):
    mel = rng.normal(-4, 1, (6, 80))
    np.testing.assert_allclose(
        prediction_coefficients(mel + 3, config), prediction_coefficients(mel, config), atol=1e-4
    )


def test_the_filter_is_stable(config, rng):
    """All poles inside the unit circle, whatever the mel."""
    for frame in prediction_coefficients(rng.normal(-4, 3, (20, 80)), config):
        assert np.abs(np.roots([1, *-frame])).max() < 1
