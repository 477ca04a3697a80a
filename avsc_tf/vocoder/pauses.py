"""Where an utterance may be cut: in the middle of its pauses, so that its parts can be spoken at the same time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOUD_PERCENTILE = 95.0  # of the frames' levels: the utterance's own loudness
PAUSE_DROP_NATS = 3.5  # 30 dB below it; vowels and fricatives lie within 25 dB


def pause_cuts(log_mel: NDArray[np.float32], *, least_frames: int) -> list[int]:
    """First frames of the parts after the first; none without a pause of `least_frames` between two loud frames.

    Args:
        log_mel: [frames, n_mels], natural log.
    """
    quiet = _levels(log_mel) < np.percentile(_levels(log_mel), LOUD_PERCENTILE) - PAUSE_DROP_NATS
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(np.int8)))
    pauses = [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
    inner = [(start, stop) for start, stop in pauses if start > 0 and stop < len(log_mel)]
    return [(start + stop) // 2 for start, stop in inner if stop - start >= least_frames]


def _levels(log_mel: NDArray[np.float32]) -> NDArray[np.float64]:
    """Natural log of each frame's mean over the bands."""
    return np.log(np.exp(log_mel.astype(np.float64)).mean(axis=1))
