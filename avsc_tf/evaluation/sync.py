"""Time between sound and lips, in video frames."""

from __future__ import annotations

import numpy as np

from avsc_tf.measures.mouth import correlation
from avsc_tf.timebase import Timebase

MAX_LAG_FRAMES = 6
QUIET = 1e-3  # root mean square under which loudness no longer falls: 60 dB below full scale


def loudness(waveform: np.ndarray, timebase: Timebase) -> np.ndarray:
    """Natural log of each video frame's root mean square, [samples] -> [frames]."""
    n_frames = timebase.video_frames_in(len(waveform))
    blocks = np.asarray(waveform[: timebase.samples_in(n_frames)], np.float64).reshape(n_frames, -1)
    return np.log(np.maximum(np.sqrt((blocks**2).mean(axis=1)), QUIET))


def lag_correlations(first: np.ndarray, second: np.ndarray, *, max_lag_frames: int = MAX_LAG_FRAMES) -> np.ndarray:
    """Correlation of `first[t]` with `second[t + lag]` for lags -max..max, [2 * max + 1]; NaN where one is constant."""
    n = min(len(first), len(second))
    found = []
    for lag in range(-max_lag_frames, max_lag_frames + 1):
        a = first[max(0, -lag) : n - max(0, lag)]
        b = second[max(0, lag) : n + min(0, lag)]
        found.append(correlation(a, b))
    return np.array(found)


def lag_frames(first: np.ndarray, second: np.ndarray, *, max_lag_frames: int = MAX_LAG_FRAMES) -> float:
    """How many frames `second` comes after `first`: the lag of the strongest correlation, NaN where there is none."""
    found = lag_correlations(first, second, max_lag_frames=max_lag_frames)
    return float("nan") if np.isnan(found).all() else float(np.nanargmax(found) - max_lag_frames)
