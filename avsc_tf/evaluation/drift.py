"""Whether sound and lips run apart over a long clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import theilslopes

from avsc_tf.measures.sync import offset

WINDOW_SECONDS = 20.0
MIN_WINDOWS = 3
MAX_LAG_FRAMES = 25  # a window bears a wider search than a sentence; 1000 ppm are 15 frames in ten minutes
_TEN_MINUTES_SECONDS = 600.0


@dataclass(frozen=True)
class Drift:
    """Offsets along a clip and the straight line through them; positive: the lips fall behind the sound."""

    centres_seconds: np.ndarray  # [windows]
    offsets_frames: np.ndarray  # [windows], NaN where a window has none
    confidences: np.ndarray  # [windows]
    fps: int
    frames_per_second: float  # slope (Theil 1950, Sen 1968); NaN with fewer than three windows
    low: float  # its 95 % interval, in the same unit
    high: float

    @property
    def ms_per_minute(self) -> float:
        return self.frames_per_second * 60 * 1000 / self.fps

    @property
    def frames_in_ten_minutes(self) -> tuple[float, float, float]:
        """Slope, lower and upper end of its 95 % interval."""
        low, middle, high = (_TEN_MINUTES_SECONDS * x for x in (self.low, self.frames_per_second, self.high))
        return middle, low, high


def drift(
    heard: np.ndarray,
    seen: np.ndarray,
    *,
    fps: int,
    weights: np.ndarray | None = None,
    window_seconds: float = WINDOW_SECONDS,
    max_lag_frames: int = MAX_LAG_FRAMES,
) -> Drift:
    """`sync.offset` in windows side by side along a clip, and a line that a third of wrong windows cannot turn.

    The windows do not overlap: the interval counts each of them as a finding of its own.

    Args:
        heard, seen, weights: as in `sync.offset`.
    """
    length = round(window_seconds * fps)
    n = min(len(heard), len(seen))
    starts = np.arange(0, n - length + 1, length)
    windows = [
        offset(heard[s : s + length], seen[s : s + length], weights=weights, max_lag_frames=max_lag_frames)
        for s in starts
    ]
    centres = (starts + length / 2) / fps
    frames = np.array([window.frames for window in windows])
    confidences = np.array([window.confidence for window in windows])
    known = np.isfinite(frames)
    slope = low = high = float("nan")
    if known.sum() >= MIN_WINDOWS:
        slope, _, low, high = (float(x) for x in theilslopes(frames[known], centres[known], alpha=0.95))
    return Drift(centres, frames, confidences, fps, slope, low, high)
