"""Mel-cepstral analysis of a waveform, and the mel-cepstral distortion that papers report (Kubichek 1993).

`measures.spectrum` has another figure of that name: the DCT of the network's own log-mel frames, compared frame by
frame on a timeline that is known. It costs nothing during training. This one needs finished sound alone: mel-cepstra
of its spectrum by the all-pass transform of Tokuda et al. (1994), frames paired by DTW. The figures of the two must
not be set against each other.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import librosa
import numpy as np
import soxr
from scipy.optimize import minimize_scalar
from scipy.spatial.distance import cdist

from avsc_tf.alignment.dtw import MAX_CELLS, warping_path
from avsc_tf.core.errors import AlignmentError
from avsc_tf.signal.speech import loud_frames

COMPARED_AT_HZ = 16_000  # above 8 kHz speech is so weak that noise nobody hears would rule the figure
ORDER = 24
HOP_MS, WINDOW_MS = 5.0, 25.0
DECIBEL = 10 / np.log(10) * np.sqrt(2)
SILENCE_BELOW_PEAK_DB = 40.0
POWER_FLOOR = 1e-8  # of the clip's strongest: 80 dB below it nothing is told apart, digital silence has no log 0
N_LEVEL_POINTS = 64  # of the mel axis, where a frame's level is read
RECIPE = (  # of `waveform_distortion`
    f"Mel-cepstral distortion in dB (Kubichek 1993): 10/ln 10 * sqrt(2 * sum of (c_n - c'_n)^2), n = 1 to {ORDER}, "
    f"c0 left out; sound at {COMPARED_AT_HZ // 1000} kHz; mel-cepstra from the power spectrum (Hann window of "
    f"{WINDOW_MS:g} ms every {HOP_MS:g} ms, floored 80 dB below the clip's strongest) by the all-pass transform "
    f"(Tokuda et al. 1994; SPTK's freqt), alpha 0.41; frames more than {SILENCE_BELOW_PEAK_DB:g} dB below their own "
    f"clip's loudest left out; exact DTW on the Euclidean distance of c1 to c{ORDER}, steps (1,0), (0,1), (1,1) of "
    "equal weight; mean over the steps of the path."
)


class MelCepstralDistortion(NamedTuple):
    """Result of `mel_cepstral_distortion`."""

    mean_db: float
    path: np.ndarray  # int32 [steps, 2]: frames of a and of b, silence left out


def waveform_distortion(waveform: np.ndarray, reference: np.ndarray, sample_rate_hz: int) -> MelCepstralDistortion:
    """Mel-cepstral distortion of two waveforms [samples] by the whole `RECIPE`; see `mel_cepstral_distortion`."""
    a, b = (np.asarray(x, np.float64) for x in (waveform, reference))
    if sample_rate_hz != COMPARED_AT_HZ:
        a, b = (soxr.resample(x, sample_rate_hz, COMPARED_AT_HZ) for x in (a, b))
    return mel_cepstral_distortion(mel_cepstra(a, COMPARED_AT_HZ), mel_cepstra(b, COMPARED_AT_HZ))


def mel_cepstra(
    waveform: np.ndarray,
    sample_rate_hz: int,
    *,
    order: int = ORDER,
    alpha: float | None = None,
    hop_ms: float = HOP_MS,
    window_ms: float = WINDOW_MS,
) -> np.ndarray:
    """Mel-cepstra of a waveform: log |X(w)| = c0 + sum c_n cos(n w~), w~ the frequency on the warped axis.

    Args:
        waveform: [samples], full scale 1. Frame k is centred on sample k * hop.
        alpha: all-pass constant; `mel_alpha(sample_rate_hz)` where it is None.

    Returns:
        float64 [frames, order + 1], nepers; c0 first.
    """
    window = round(sample_rate_hz * window_ms / 1000)
    n_fft = 1 << (window - 1).bit_length()
    spectrum = librosa.stft(
        np.pad(np.asarray(waveform, np.float64), n_fft // 2),
        n_fft=n_fft,
        hop_length=round(sample_rate_hz * hop_ms / 1000),
        win_length=window,
        window="hann",
        center=False,
    )
    power = np.abs(spectrum.T) ** 2 / np.sum(librosa.filters.get_window("hann", window) ** 2)
    floored = np.maximum(power, max(POWER_FLOOR * power.max(), np.finfo(float).tiny))
    return power_to_mel_cepstra(floored, order=order, alpha=mel_alpha(sample_rate_hz) if alpha is None else alpha)


def power_to_mel_cepstra(power: np.ndarray, *, order: int, alpha: float) -> np.ndarray:
    """Power spectra [frames, n_fft / 2 + 1], above zero -> mel-cepstra [frames, order + 1] (SPTK's sp2mc)."""
    cepstra = np.fft.irfft(np.log(power), axis=-1)[..., : power.shape[-1]]
    cepstra[..., 0] /= 2  # of log |X|^2: the others stand for quefrency n and -n at once, c0 only for itself
    return cepstra @ frequency_transform(cepstra.shape[-1] - 1, order, alpha).T


@lru_cache(maxsize=8)
def frequency_transform(order_in: int, order_out: int, alpha: float) -> np.ndarray:
    """The matrix of SPTK's freqt: [order_out + 1, order_in + 1], cepstra to those on the axis warped by an all-pass.

    Column n holds the first coefficients of the n-th power of (z^-1 + alpha) / (1 + alpha z^-1), c0's own apart
    (Oppenheim and Johnson 1972): each column follows from the one before.
    """
    matrix = np.zeros((order_out + 1, order_in + 1))
    matrix[0, 0] = 1.0
    for n in range(1, order_in + 1):
        before, column = matrix[:, n - 1], matrix[:, n]
        column[0] = alpha * before[0]
        if order_out:
            column[1] = (1 - alpha**2) * before[0] + alpha * before[1]
        for m in range(2, order_out + 1):
            column[m] = before[m - 1] + alpha * (before[m] - column[m - 1])
    matrix.setflags(write=False)
    return matrix


@lru_cache(maxsize=8)
def mel_alpha(sample_rate_hz: int) -> float:
    """The all-pass constant whose warping lies nearest to the mel scale 1000 log2(1 + f / 1000), to three digits.

    Least squares over 0 to half the sampling rate, as `pysptk.util.mcepalpha` does: 0.41 at 16 kHz, 0.466 at 24 kHz,
    0.554 at 48 kHz.
    """
    share = np.arange(1000) / 1000  # of half the rate
    mel = np.log1p(share * sample_rate_hz / 2000)
    mel /= mel[-1]
    omega = np.pi * share

    def error(alpha: float) -> float:
        warped = omega + 2 * np.arctan2(alpha * np.sin(omega), 1 - alpha * np.cos(omega))
        return float(np.sum((warped / warped[-1] - mel) ** 2))

    return round(float(minimize_scalar(error, bounds=(0.0, 0.95), method="bounded").x), 3)


def level_db(cepstra: np.ndarray) -> np.ndarray:
    """Level of each frame: power of its smoothed spectrum, averaged over the mel axis; [frames, n] -> [frames]."""
    warped = np.pi * (np.arange(N_LEVEL_POINTS) + 0.5) / N_LEVEL_POINTS
    log_amplitude = cepstra @ np.cos(np.outer(np.arange(cepstra.shape[1]), warped))
    return 10 * np.log10(np.exp(2 * log_amplitude).mean(axis=1))


def sounding(cepstra: np.ndarray) -> np.ndarray:
    """Numbers of the frames within 40 dB of the loudest; its own, so that loudness has no say."""
    if not len(cepstra):
        return np.zeros(0, np.intp)
    level = level_db(cepstra)
    return np.flatnonzero(loud_frames(level, drop=SILENCE_BELOW_PEAK_DB))


def mel_cepstral_distortion(a: np.ndarray, b: np.ndarray) -> MelCepstralDistortion:
    """Distortion of mel-cepstra `a` [frames, order + 1] beside `b` [frames of b, order + 1], paired by DTW.

    A tuple of the mean in dB and the path that pairs the frames. NaN and an empty path where one has no frame.

    Raises:
        AlignmentError: the two together are too long for the cost matrix (25 seconds each at 5 ms).
    """
    of_a, of_b = sounding(a), sounding(b)
    if not len(of_a) or not len(of_b):
        return MelCepstralDistortion(float("nan"), np.zeros((0, 2), np.int32))
    if len(of_a) * len(of_b) > MAX_CELLS:
        raise AlignmentError(
            f"mel-cepstral distortion: {len(of_a)} and {len(of_b)} frames that sound are too long to pair "
            f"({len(of_a) * len(of_b)} cells, at most {MAX_CELLS}). Cut the recordings into sentences."
        )
    distance = cdist(a[of_a, 1:], b[of_b, 1:])
    path = warping_path(distance)
    mean_db = DECIBEL * distance[path[:, 0], path[:, 1]].mean()
    return MelCepstralDistortion(
        float(mean_db), np.stack([of_a[path[:, 0]], of_b[path[:, 1]]], axis=1).astype(np.int32)
    )
