"""Waveforms of converted utterances, by the WaveNet (paper section 3.2) or by Griffin-Lim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import soxr

from avsc_tf.conversion.converted import TargetFeatures
from avsc_tf.core.config import Config
from avsc_tf.features.statistics import Statistics
from avsc_tf.vocoder import Vocoder
from avsc_tf.vocoder.griffin_lim import griffin_lim

PEAK_LIMIT = 0.95  # louder waveforms are scaled down to it: AAC slightly overshoots full scale


def synthesise(
    features: Sequence[TargetFeatures],
    *,
    vocoder: Vocoder,
    sampler: Any,
    statistics: Statistics,
    config: Config,
    seed: int,
) -> list[np.ndarray]:
    """Waveforms of utterances; each has the exact length of its frames and does not depend on the others.

    Args:
        sampler: the WaveNet's sampler; None suffices for Griffin-Lim.

    Returns:
        float32 [samples at time.sample_rate_hz] per utterance, peaks at most `PEAK_LIMIT`.
    """
    mels = [one.mel for one in features if one.mel is not None]
    if len(mels) < len(features):
        raise ValueError("these networks have no voice")
    if vocoder == "griffin-lim":
        restored = [statistics.restore("target", "mel", mel) for mel in mels]
        waveforms = [griffin_lim(mel, config.acoustic, config.timebase, seed=seed) for mel in restored]
    else:
        if sampler is None:
            raise ValueError("this bundle was loaded without its WaveNet")
        rates = config.wavenet.sample_rate_hz, config.time.sample_rate_hz
        low_rate = sampler.generate(mels, [one.facial for one in features], seed=seed)
        waveforms = [soxr.resample(waveform.astype(np.float32), *rates, quality="HQ") for waveform in low_rate]
    lengths = [config.timebase.samples_in(one.n_frames(config.timebase.mel_per_video)) for one in features]
    return [_fit(waveform, n_samples) for waveform, n_samples in zip(waveforms, lengths, strict=True)]


def _fit(waveform: np.ndarray, n_samples: int) -> np.ndarray:
    """Cut or pad to a length, and limit the peak."""
    waveform = np.pad(waveform[:n_samples], (0, max(0, n_samples - len(waveform)))).astype(np.float32)
    peak = float(np.abs(waveform).max(initial=0.0))
    return waveform * np.float32(min(1.0, PEAK_LIMIT / max(peak, 1e-9)))
