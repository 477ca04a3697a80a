"""Measures of a mel spectrogram beside another one, frame by frame on one timeline.

Training shows these: they need nothing but the network's own log-mel frames. Their mel-cepstral distortion is not the
one that papers report: `measures.mel_cepstrum` has that, from waveforms, by the all-pass transform and with DTW.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import dct

N_CEPSTRA = 24  # c1 to c24; c0 is loudness, which the distance leaves out
DECIBEL = 10 / np.log(10) * np.sqrt(2)


def mel_cepstrum(log_mel: np.ndarray) -> np.ndarray:
    """c1 to c24 of a natural-log mel spectrogram, [frames, n_mels] -> [frames, 24].

    Scaled so that log S(k) = c0 + sum c_n cos(pi n (k + 1/2) / n_mels).
    """
    return dct(np.asarray(log_mel, np.float64), norm="ortho", axis=1)[:, 1 : N_CEPSTRA + 1] / np.sqrt(
        log_mel.shape[1] / 2
    )


def mel_cepstral_distortion_db(log_mel: np.ndarray, reference: np.ndarray) -> float:
    """Mean over frames of 10/ln 10 * sqrt(2 * sum (c_n - c'_n)^2), n = 1..24 (Kubichek 1993).

    That is the root mean square difference of the two smoothed log spectra in decibels, loudness apart. The two are
    compared frame by frame: bring them to one timeline, and keep speech only, before the call.
    """
    difference = mel_cepstrum(log_mel) - mel_cepstrum(reference)
    return float((DECIBEL * np.sqrt((difference**2).sum(axis=1))).mean()) if len(difference) else float("nan")


def log_mel_l1(log_mel: np.ndarray, reference: np.ndarray) -> float:
    """Mean absolute difference of two natural-log mel spectrograms, in nepers."""
    return float(np.abs(np.asarray(log_mel, np.float64) - reference).mean()) if len(log_mel) else float("nan")
