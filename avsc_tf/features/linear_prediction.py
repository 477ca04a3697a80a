"""Linear prediction from the mel spectrogram: where the next sample would lie if the sound had no news.

A mel frame says the spectral envelope, and an all-pole filter of that envelope predicts a sample from those before it.
LPCNet (Valin & Skoglund, 2019) showed how much smaller a network may be that is told this prediction. Ours; the paper
has none.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from avsc_tf.core.config import AcousticConfig, Config

Floats = NDArray[np.float32]

GRID_POINTS = 257  # of the envelope, 0 Hz to half the sample rate
LAG_WINDOW_HZ = 40.0  # widens resonances that a frame draws too sharply
WHITE_NOISE = 1e-4  # of the energy, so that the filter stays stable


def coefficients_of(mel: Floats, config: Config) -> Floats:
    """`prediction_coefficients` by the settings of the WaveNet."""
    net = config.wavenet
    return prediction_coefficients(
        mel,
        config.acoustic,
        pre_emphasis=net.pre_emphasis,
        sample_rate_hz=net.sample_rate_hz,
        order=net.prediction_order,
    )


def prediction_coefficients(
    mel: Floats, acoustic: AcousticConfig, *, pre_emphasis: float, sample_rate_hz: int, order: int
) -> Floats:
    """mel [frames, n_mels], natural log -> [frames, order]; y[t] is predicted as sum of c[k] y[t-1-k].

    For the pre-emphasised waveform at `sample_rate_hz`. Any level gives the same coefficients.
    """
    envelope = np.exp(np.asarray(mel, np.float64) @ envelope_interpolation(acoustic, sample_rate_hz))
    angles = np.linspace(0.0, np.pi, GRID_POINTS)
    power = envelope**2 * np.abs(1.0 - pre_emphasis * np.exp(-1j * angles)) ** 2
    correlation = np.fft.irfft(power, axis=1)[:, : order + 1]
    lags = np.arange(order + 1)
    correlation *= np.exp(-0.5 * (2.0 * np.pi * LAG_WINDOW_HZ / sample_rate_hz * lags) ** 2)
    correlation[:, 0] *= 1.0 + WHITE_NOISE
    matrix = correlation[:, np.abs(np.subtract.outer(lags[:-1], lags[:-1]))]  # [frames, order, order]
    return np.linalg.solve(matrix, correlation[:, 1:, None])[:, :, 0].astype(np.float32)


@lru_cache(maxsize=4)
def envelope_interpolation(acoustic: AcousticConfig, sample_rate_hz: int) -> NDArray[np.float64]:
    """[n_mels, GRID_POINTS]: log magnitudes between the bands' centres; above the highest they stay level."""
    import librosa

    edges_hz = librosa.mel_frequencies(acoustic.n_mels + 2, fmin=acoustic.fmin_hz, fmax=acoustic.fmax_hz)
    grid_hz = np.linspace(0.0, sample_rate_hz / 2, GRID_POINTS)
    unit = np.eye(acoustic.n_mels)
    return np.stack([np.interp(grid_hz, edges_hz[1:-1], row) for row in unit])


def predict(signal: Floats, coefficients: Floats) -> Floats:
    """signal [samples], coefficients [samples, order] -> the prediction of each sample, within [-1, 1].

    Before its first sample the signal is taken as 0.
    """
    order = coefficients.shape[1]
    padded = np.concatenate([np.zeros(order, np.float32), signal[:-1]]) if len(signal) else signal
    past = np.lib.stride_tricks.sliding_window_view(padded, order)[:, ::-1]  # [samples, order], latest first
    return np.clip(np.einsum("tk,tk->t", past, coefficients), -1.0, 1.0).astype(np.float32)
