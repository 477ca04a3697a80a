"""Cuts of an utterance in the middle of its pauses, so that its parts can be synthesised at the same time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avsc_tf.signal.speech import pause_runs


def pause_cuts(log_mel: NDArray[np.float32], *, least_frames: int) -> list[int]:
    """First frames of the parts after the first; none without a pause of `least_frames` between two loud frames.

    Args:
        log_mel: [frames, n_mels], natural log.
    """
    inner = [(start, end) for start, end in pause_runs(log_mel) if start > 0 and end < len(log_mel)]
    return [(start + end) // 2 for start, end in inner if end - start >= least_frames]
