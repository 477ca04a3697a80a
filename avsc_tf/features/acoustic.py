"""Mel spectrogram (paper section 3.1: 80 bands, window 25 ms, hop 5 ms). NumPy only."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.fft

from avsc_tf.core.config import AcousticConfig
from avsc_tf.core.timebase import Timebase

_FRAMES_A_BLOCK = 256  # bounds the memory of a long recording: 256 x 1025 complex64 = 2 MB


@lru_cache(maxsize=8)
def mel_filterbank(acoustic: AcousticConfig, sample_rate_hz: int) -> np.ndarray:
    """Area-normalised Slaney filterbank of librosa: float32 [n_mels, fft_length // 2 + 1], read-only."""
    import librosa

    bank = librosa.filters.mel(
        sr=sample_rate_hz,
        n_fft=acoustic.fft_length,
        n_mels=acoustic.n_mels,
        fmin=acoustic.fmin_hz,
        fmax=acoustic.fmax_hz,
    ).astype(np.float32)
    bank.setflags(write=False)
    return bank


def hann_window(acoustic: AcousticConfig, sample_rate_hz: int) -> np.ndarray:
    """Periodic Hann window of `window_ms`: float32 [window_samples]."""
    length = round(sample_rate_hz * acoustic.window_ms / 1000)
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


def mel_spectrogram(waveform: np.ndarray, acoustic: AcousticConfig, timebase: Timebase) -> np.ndarray:
    """Natural-log mel magnitudes of the whole video frames in a waveform.

    Frame `k` is centred on sample `k * hop_samples`, with silence outside the waveform: the same as
    `librosa.feature.melspectrogram(power=1, center=True)` without its last frame, floored and logged.

    Args:
        waveform: float [samples], mono, full scale 1, at `timebase.sample_rate_hz`. Samples after the last whole
            video frame only enter the windows that reach them.

    Returns:
        float32 [mel_per_video * T, n_mels] with T whole video frames, each at least log(`log_floor`).

    Raises:
        ValueError: not one-dimensional, or shorter than one video frame.
    """
    if waveform.ndim != 1:
        raise ValueError(f"waveform has shape {waveform.shape}; it must be mono, [samples]")
    n_frames = timebase.mel_frames_in(timebase.video_frames_in(len(waveform)))
    if n_frames == 0:
        raise ValueError(f"waveform has {len(waveform)} samples; one video frame needs {timebase.samples_in(1)}")
    window = hann_window(acoustic, timebase.sample_rate_hz)
    bank = mel_filterbank(acoustic, timebase.sample_rate_hz)
    half = len(window) // 2
    padded = np.pad(waveform.astype(np.float32), (half, len(window) - half))
    frames = np.lib.stride_tricks.sliding_window_view(padded, len(window))[:: timebase.hop_samples][:n_frames]
    mel = np.empty((n_frames, acoustic.n_mels), np.float32)  # [mel frames, n_mels], magnitude
    for start in range(0, n_frames, _FRAMES_A_BLOCK):
        block = slice(start, start + _FRAMES_A_BLOCK)
        spectrum = scipy.fft.rfft(frames[block] * window, acoustic.fft_length, axis=1)
        mel[block] = np.abs(spectrum) @ bank.T
    return np.log(np.maximum(mel, np.float32(acoustic.log_floor)))
