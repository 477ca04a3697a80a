"""Griffin-Lim: the quick preview of the converted voice (the WaveNet of paper section 3.2 is the real thing).

Griffin and Lim (1984) with the momentum of Perraudin, Balazs and Sondergaard (2013), over the same frames as
`avsc_tf.features.acoustic`: frame `k` is centred on sample `k * hop`.
"""

from __future__ import annotations

from collections.abc import Callable

import librosa
import numpy as np

from avsc_tf.core.config import AcousticConfig, Config
from avsc_tf.core.timebase import Timebase
from avsc_tf.features.acoustic import mel_filterbank

MEL_INVERSION_STEPS = 30  # log-mel error of the fit on real speech: 7e-4 after 10, below 5e-5 after 30
MOMENTUM = 0.99
PREVIEW_ITERATIONS = 30


def griffin_lim(
    log_mel: np.ndarray,
    acoustic: AcousticConfig,
    timebase: Timebase,
    *,
    n_iterations: int = 60,
    seed: int = 0,
) -> np.ndarray:
    """Waveform whose mel spectrogram comes close to the given one.

    Args:
        log_mel: [frames, n_mels], natural-log mel magnitudes, not standardised.
        acoustic: how the mel spectrogram was made.
        timebase: rate and hop of the waveform to make.
        n_iterations: more is closer; the error levels off at about 60.
        seed: of the first phases.

    Returns:
        float32 [frames * hop_samples], at `timebase.sample_rate_hz`.
    """
    log_mel = np.asarray(log_mel, np.float32)
    if log_mel.ndim != 2 or log_mel.shape[1] != acoustic.n_mels:
        raise ValueError(f"log_mel must be [frames, {acoustic.n_mels}], got {list(log_mel.shape)}")
    n_samples = len(log_mel) * timebase.hop_samples
    if n_samples == 0:
        return np.zeros(0, np.float32)
    mel = np.exp(np.concatenate([log_mel, log_mel[-1:]])).T  # one frame more: the last hop needs both its neighbours
    magnitude = magnitude_from_mel(mel, acoustic, timebase.sample_rate_hz)
    waveform = librosa.griffinlim(
        magnitude,
        n_iter=n_iterations,
        hop_length=timebase.hop_samples,
        win_length=round(acoustic.window_ms * timebase.sample_rate_hz / 1000),
        n_fft=acoustic.fft_length,
        center=True,
        length=n_samples,
        momentum=MOMENTUM,
        random_state=np.random.RandomState(seed),
    )
    return waveform.astype(np.float32)


def preview_vocoder(config: Config) -> Callable[[np.ndarray], np.ndarray]:
    """Natural-log mel -> waveform at `time.sample_rate_hz`, for TensorBoard, in half the iterations."""
    timebase = config.timebase
    return lambda mel: griffin_lim(mel, config.acoustic, timebase, n_iterations=PREVIEW_ITERATIONS)


def magnitude_from_mel(mel: np.ndarray, acoustic: AcousticConfig, sample_rate_hz: int) -> np.ndarray:
    """Non-negative spectrum whose filterbank outputs come closest to `mel`, in the sense of Kullback-Leibler.

    The multiplicative update of Lee and Seung (2001), all frames at once: spectra are never negative, the error never
    grows, and weak bands count in proportion, as they do in the log mel.

    Args:
        mel: [n_mels, frames], linear magnitudes.

    Returns:
        float32 [1 + fft_length / 2, frames].
    """
    filterbank = mel_filterbank(acoustic, sample_rate_hz)  # [n_mels, bins]
    used = filterbank.sum(axis=0) > 0  # bins outside fmin..fmax stay silent
    basis = filterbank[:, used]
    weight = basis.sum(axis=0)[:, np.newaxis]  # [used bins, 1]
    spectrum = basis.T @ (mel / np.maximum(basis.sum(axis=1, keepdims=True), 1e-12)) / weight
    for _ in range(MEL_INVERSION_STEPS):
        spectrum *= (basis.T @ (mel / np.maximum(basis @ spectrum, 1e-12))) / weight
    magnitude = np.zeros((filterbank.shape[1], mel.shape[1]), np.float32)
    magnitude[used] = spectrum
    return magnitude
