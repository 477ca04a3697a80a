"""Time between sound and lips, in video frames. Positive: the lips come after the sound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avsc_tf.core.timebase import Timebase
from avsc_tf.measures.mouth import correlation

MAX_LAG_FRAMES = 6
MAX_OFFSET_FRAMES = 10
QUIET = 1e-3  # root mean square under which loudness no longer falls: 60 dB below full scale


def loudness(waveform: np.ndarray, timebase: Timebase) -> np.ndarray:
    """Natural log of each video frame's root mean square, [samples] -> [frames]."""
    n_frames = timebase.video_frames_in(len(waveform))
    blocks = np.asarray(waveform[: timebase.samples_in(n_frames)], np.float64).reshape(n_frames, -1)
    return np.log(np.maximum(np.sqrt((blocks**2).mean(axis=1)), QUIET))


def lag_correlations(first: np.ndarray, second: np.ndarray, *, max_lag_frames: int = MAX_LAG_FRAMES) -> np.ndarray:
    """Correlation of `first[t]` with `second[t + lag]` for lags -max..max, [2 * max + 1].

    Frames with NaN on either side are left out; a lag is NaN where one side is constant or fewer than three remain.
    """
    n = min(len(first), len(second))
    found = []
    for lag in range(-max_lag_frames, max_lag_frames + 1):
        a = first[max(0, -lag) : max(0, n - max(0, lag))]
        b = second[max(0, lag) : max(0, n + min(0, lag))]
        known = np.isfinite(a) & np.isfinite(b)
        found.append(correlation(a[known], b[known]))
    return np.array(found)


def lag_frames(first: np.ndarray, second: np.ndarray, *, max_lag_frames: int = MAX_LAG_FRAMES) -> float:
    """How many frames `second` comes after `first`: the lag of the strongest correlation, NaN where there is none."""
    found = lag_correlations(first, second, max_lag_frames=max_lag_frames)
    return float("nan") if np.isnan(found).all() else float(np.nanargmax(found) - max_lag_frames)


@dataclass(frozen=True)
class Offset:
    """Time from sound to lips, found by shifting one against the other."""

    frames: float  # positive: the lips come after the sound; NaN: the lips are frozen or there is no sound
    confidence: float  # the peak's height over the median of the other lags, in the manner of SyncNet (Chung 2016)
    correlations: np.ndarray  # [2 * max_lag_frames + 1], of lags -max..max


def offset(
    heard: np.ndarray,
    seen: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    max_lag_frames: int = MAX_OFFSET_FRAMES,
) -> Offset:
    """The lag of the highest correlation, refined between frames by a parabola through its neighbours.

    Best over canonical variates: `offset(*fitted.variates(mel, lips), weights=fitted.weights)` of a `LipCorrelation`.
    Over `loudness` and `mouth_opening` it needs no fit, but errs far more (docs/synchrony.md). A peak at an end of the
    range is given as that lag: the true one may lie beyond.

    Args:
        heard, seen: [T], or [T, K] for K pairs that are looked at together; NaN where unknown.
        weights: [W] with W <= K, what the first W pairs count; None: all of them the same.
    """
    heard, seen = (x[:, None] if x.ndim == 1 else x for x in (np.asarray(heard), np.asarray(seen)))
    used = np.full(heard.shape[1], 1 / heard.shape[1]) if weights is None else np.asarray(weights)
    by_pair = [lag_correlations(a, b, max_lag_frames=max_lag_frames) for a, b in zip(heard.T, seen.T, strict=True)]
    correlations = used @ np.array(by_pair[: len(used)])
    if np.isnan(correlations).any():
        return Offset(float("nan"), float("nan"), correlations)
    peak = int(correlations.argmax())
    others = np.delete(correlations, peak)
    return Offset(
        _refined(correlations, peak) - max_lag_frames, float(correlations[peak] - np.median(others)), correlations
    )


def _refined(values: np.ndarray, peak: int) -> float:
    """Place of the highest value, by the parabola through it and its neighbours."""
    if not 0 < peak < len(values) - 1:
        return float(peak)
    left, middle, right = values[peak - 1 : peak + 2]
    curvature = left - 2 * middle + right
    return peak + (0.5 * float(left - right) / float(curvature) if curvature < 0 else 0.0)
