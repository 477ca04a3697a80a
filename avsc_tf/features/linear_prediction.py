"""Linear prediction of speech samples from the mel spectrogram.

A mel frame gives the spectral envelope. The all-pole filter of that envelope predicts each sample from the samples
before it, and a smaller network suffices once it receives this prediction (LPCNet, Valin & Skoglund 2019). Ours; the
paper has no such input.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from avsc_tf.core.config import AcousticConfig, Config

Floats = NDArray[np.float32]

GRID_POINTS = 257  # frequencies of the envelope, from 0 Hz to half the sample rate
LAG_WINDOW_HZ = 40.0  # widens resonances that a frame resolves too sharply
WHITE_NOISE = 1e-4  # share of the energy; keeps the filter stable


def prediction_coefficients(mel: Floats, config: Config) -> Floats:
    """Coefficients c of the prediction y[t] = sum over k of c[k] * y[t - 1 - k] of the pre-emphasised waveform.

    The gain of the mel spectrogram does not change them.

    Args:
        mel: [frames, n_mels], natural log.
        config: `wavenet.pre_emphasis`, `wavenet.sample_rate_hz` and `wavenet.prediction_order` apply.

    Returns:
        float32 [frames, order].
    """
    net = config.wavenet
    sample_rate_hz, order = net.sample_rate_hz, net.prediction_order
    envelope = np.exp(np.asarray(mel, np.float64) @ envelope_interpolation(config.acoustic, sample_rate_hz))
    angles = np.linspace(0.0, np.pi, GRID_POINTS)
    power = envelope**2 * np.abs(1.0 - net.pre_emphasis * np.exp(-1j * angles)) ** 2
    correlation = np.fft.irfft(power, axis=1)[:, : order + 1]
    lags = np.arange(order + 1)
    correlation *= np.exp(-0.5 * (2.0 * np.pi * LAG_WINDOW_HZ / sample_rate_hz * lags) ** 2)
    correlation[:, 0] *= 1.0 + WHITE_NOISE
    matrix = correlation[:, np.abs(np.subtract.outer(lags[:-1], lags[:-1]))]  # [frames, order, order]
    return np.linalg.solve(matrix, correlation[:, 1:, None])[:, :, 0].astype(np.float32)


@lru_cache(maxsize=4)
def envelope_interpolation(acoustic: AcousticConfig, sample_rate_hz: int) -> NDArray[np.float64]:
    """Linear interpolation of log magnitudes between the centres of the mel bands: [n_mels, GRID_POINTS]."""
    import librosa

    edges_hz = librosa.mel_frequencies(acoustic.n_mels + 2, fmin=acoustic.fmin_hz, fmax=acoustic.fmax_hz)
    grid_hz = np.linspace(0.0, sample_rate_hz / 2, GRID_POINTS)
    unit = np.eye(acoustic.n_mels)
    return np.stack([np.interp(grid_hz, edges_hz[1:-1], row) for row in unit])


def predict(signal: Floats, coefficients: Floats) -> Floats:
    """Predict each sample of a signal, which is 0 before its first sample.

    Args:
        signal: [samples].
        coefficients: [samples, order].

    Returns:
        float32 [samples], clipped to [-1, 1].
    """
    order = coefficients.shape[1]
    padded = np.concatenate([np.zeros(order, np.float32), signal[:-1]]) if len(signal) else signal
    past = np.lib.stride_tricks.sliding_window_view(padded, order)[:, ::-1]  # [samples, order], latest first
    return np.clip(np.einsum("tk,tk->t", past, coefficients), -1.0, 1.0).astype(np.float32)
