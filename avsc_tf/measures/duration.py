"""How long somebody speaks, and how much longer than somebody else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avsc_tf.signal.speech import speech_activity, speech_runs


@dataclass(frozen=True)
class DurationAgreement:
    """Seconds from the first speech to the last, silence before and after left out, pauses between counted."""

    seconds: float
    reference_seconds: float

    @property
    def ratio(self) -> float:
        """Above 1: slower than the reference."""
        return self.seconds / self.reference_seconds if self.reference_seconds > 0 else float("nan")


def speech_seconds(log_mel: np.ndarray, *, mel_fps: int) -> float:
    """Seconds from the first speech to the last, by the levels that the alignment cuts silence with.

    Args:
        log_mel: [frames, n_mels], natural log, not standardised.

    Returns:
        The whole length where the clip's levels don't tell speech from noise; 0 of no frames.
    """
    if not len(log_mel):
        return 0.0
    runs = speech_runs(speech_activity(log_mel, mel_fps=mel_fps), mel_fps=mel_fps)
    return (runs[-1][1] - runs[0][0]) / mel_fps if runs else len(log_mel) / mel_fps


def duration_agreement(log_mel: np.ndarray, reference: np.ndarray, *, mel_fps: int) -> DurationAgreement:
    """Speech of a mel spectrogram beside the reference's, [frames, n_mels] each."""
    return DurationAgreement(speech_seconds(log_mel, mel_fps=mel_fps), speech_seconds(reference, mel_fps=mel_fps))
