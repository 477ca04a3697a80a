"""Spectral gains that bring generated speech to the mel spectrogram it was asked for.

A small WaveNet gets pitch, timing and phases right long before it gets every band's level right: its noise fills the
valleys of the spectrum. The wanted mel is known, so each band of each frame is scaled to it. Phases stay those of the
waveform, which tells this from Griffin-Lim; no phase is invented. Ours; the paper has nothing of the kind.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import librosa
import numpy as np
import soxr
from numpy.typing import NDArray

from avsc_tf.core.config import AcousticConfig, Config
from avsc_tf.core.timebase import Timebase
from avsc_tf.features.acoustic import mel_spectrogram

Floats = NDArray[np.float32]

MAX_GAIN_NATS = 3.0  # 26 dB in one pass


def match_mel(waveform: Floats, log_mel: Floats, config: Config, *, passes: int) -> Floats:
    """Waveform [frames * hop] at wavenet.sample_rate_hz, log_mel [frames, n_mels] natural log -> the same length.

    Works at time.sample_rate_hz, where the mel spectrogram is defined. Each pass moves a band by at most 26 dB; windows
    overlap, so that one pass does not reach the aim and three come close.
    """
    if not passes:
        return waveform
    low_hz, timebase = config.wavenet.sample_rate_hz, config.timebase
    n_samples = len(log_mel) * timebase.hop_samples
    full = _of_length(soxr.resample(waveform, low_hz, timebase.sample_rate_hz, quality="HQ"), n_samples)
    for _ in range(passes):
        full = _one_pass(full, log_mel, config.acoustic, timebase)
    return _of_length(soxr.resample(full, timebase.sample_rate_hz, low_hz, quality="HQ"), len(waveform))


def _one_pass(waveform: Floats, log_mel: Floats, acoustic: AcousticConfig, timebase: Timebase) -> Floats:
    gain = np.clip(log_mel - mel_spectrogram(waveform, acoustic, timebase), -MAX_GAIN_NATS, MAX_GAIN_NATS)
    gain = np.concatenate([gain, gain[-1:]])  # one frame more: the last hop needs both its neighbours
    frames: dict[str, Any] = {
        "n_fft": acoustic.fft_length,
        "hop_length": timebase.hop_samples,
        "win_length": round(acoustic.window_ms * timebase.sample_rate_hz / 1000),
    }
    spectrum = librosa.stft(waveform, pad_mode="constant", **frames)  # [bins, frames + 1]
    spectrum *= np.exp(gain @ band_to_bins(acoustic, timebase.sample_rate_hz)).T
    return librosa.istft(spectrum, length=len(waveform), **frames).astype(np.float32)


@lru_cache(maxsize=4)
def band_to_bins(acoustic: AcousticConfig, sample_rate_hz: int) -> NDArray[np.float64]:
    """[n_mels, bins]: between the bands' centres by interpolation; beyond the outer ones level."""
    centres_hz = librosa.mel_frequencies(acoustic.n_mels + 2, fmin=acoustic.fmin_hz, fmax=acoustic.fmax_hz)[1:-1]
    bins_hz = np.linspace(0.0, sample_rate_hz / 2, acoustic.fft_length // 2 + 1)
    return np.stack([np.interp(bins_hz, centres_hz, row) for row in np.eye(acoustic.n_mels)])


def _of_length(waveform: Floats, n_samples: int) -> Floats:
    return np.pad(waveform[:n_samples], (0, max(0, n_samples - len(waveform)))).astype(np.float32)
