"""Where a clip speaks, by its own levels, and warping paths that lay silence on silence.

The level of a mel frame is how far its bands stand above their own floors on average. Bands apart, so that a hum or a
coloured noise counts once; by the clip's own percentiles, so that neither gain nor noise floor needs a setting.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

from avsc_tf.alignment.dtw import warping_path

# Chosen on 198 clips of GRID s1, the demo speaker's 198 GRID sentences and 168 demo clips (docs/alignment.md).
FLOOR_PERCENTILE = 20  # of a band, over the frames that are not digital silence
LOWEST_PERCENTILE, HIGHEST_PERCENTILE = 5, 95  # of the level: activity 0 and 1
SMOOTHING_SECONDS = 0.025  # the window of a mel frame
QUIET, LOUD = 0.2, 0.5  # speech is a run above QUIET ...
LOUD_SECONDS = 0.06  # ... that is LOUD for so long: a click or a breath is not
MIN_CONTRAST = 1.0  # nepers (9 dB) between the two percentiles: below, nothing tells speech from noise
MARGIN_SECONDS = 0.12  # kept on each side: weak beginnings, and silence for the networks to learn
DIGITAL_SILENCE = 0.1  # nepers: frames so near the clip's lowest value hold no sound at all

Span = tuple[int, int]  # first frame, and the one after the last


def speech_activity(mel: np.ndarray, *, mel_fps: int) -> np.ndarray:
    """How loud each mel frame is between the clip's own silence (0) and speech (1): float64 [frames].

    Args:
        mel: [frames, n_mels], natural log, not standardised.
        mel_fps: mel frames a second.
    Returns:
        All 1 where the clip has no contrast: then every frame counts as speech.
    """
    level = _level(np.asarray(mel, np.float64), max(1, round(SMOOTHING_SECONDS * mel_fps)))
    lowest, highest = np.percentile(level, [LOWEST_PERCENTILE, HIGHEST_PERCENTILE])
    if highest - lowest < MIN_CONTRAST:
        return np.ones(len(level))
    return np.clip((level - lowest) / (highest - lowest), 0.0, 1.0)


def _level(mel: np.ndarray, smoothing_frames: int) -> np.ndarray:
    sounding = mel.max(axis=1) > mel.min() + DIGITAL_SILENCE
    floor = np.percentile(mel[sounding] if sounding.any() else mel, FLOOR_PERCENTILE, axis=0)
    return uniform_filter1d(np.maximum(mel - floor, 0.0).mean(axis=1), smoothing_frames, mode="nearest")


def speech_runs(activity: np.ndarray, *, mel_fps: int) -> list[Span]:
    """Runs of speech in the activity of `speech_activity`, as mel frames: above QUIET, and LOUD for long enough."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], activity > QUIET, [False]]).astype(int)))
    return [(a, b) for a, b in edges.reshape(-1, 2).tolist() if (activity[a:b] > LOUD).sum() >= LOUD_SECONDS * mel_fps]


def speech_span(mel: np.ndarray, *, mel_per_video: int, video_fps: int) -> Span:
    """Video frames from the first speech to the last, MARGIN_SECONDS wider on each side; the whole clip if unclear."""
    mel_fps = mel_per_video * video_fps
    activity = speech_activity(mel, mel_fps=mel_fps)
    n_frames = len(mel) // mel_per_video
    runs = speech_runs(activity, mel_fps=mel_fps)
    if not runs:
        return 0, n_frames
    margin = round(MARGIN_SECONDS * video_fps)
    first = runs[0][0] // mel_per_video - margin
    end = -(-runs[-1][1] // mel_per_video) + margin
    return max(0, int(first)), min(n_frames, int(end))


def anchored_path(cost: np.ndarray, source: Span, target: Span) -> np.ndarray:
    """Warping path through the beginnings and the ends of both speech spans; straight through the silence outside.

    Where only one of the clips has silence before (or after) its speech, nothing is there to match it with, and that
    side is left to the warping.

    Args:
        cost: [n, m], finite.
        source, target: speech spans in rows and columns.
    Returns:
        int32 [steps, 2] from (0, 0) to (n-1, m-1) by steps of one.
    """
    (first_row, end_row), (first_column, end_column) = matched_spans(cost.shape, source, target)
    speech = warping_path(cost[first_row:end_row, first_column:end_column])
    before = _straight_path(first_row, first_column)
    after = _straight_path(cost.shape[0] - end_row, cost.shape[1] - end_column)
    starts = np.array([[0, 0], [first_row, first_column], [end_row, end_column]], np.int32)
    return np.concatenate([part + start for part, start in zip((before, speech, after), starts, strict=True)])


def matched_spans(shape: tuple[int, ...], source: Span, target: Span) -> tuple[Span, Span]:
    """The spans, widened to a clip's end on each side where only one of the clips has silence."""
    first = (source[0], target[0]) if min(source[0], target[0]) > 0 else (0, 0)
    both = source[1] < shape[0] and target[1] < shape[1]
    end = (source[1], target[1]) if both else (shape[0], shape[1])
    return (first[0], end[0]), (first[1], end[1])


def _straight_path(n: int, m: int) -> np.ndarray:
    """Steps of one from (0, 0) to (n-1, m-1), as straight as they go: int32 [max(n, m), 2]; none if a side is empty."""
    if min(n, m) == 0:
        return np.zeros((0, 2), np.int32)
    steps = np.arange(max(n, m))
    last = max(len(steps) - 1, 1)
    return np.stack([np.rint(steps * (size - 1) / last) for size in (n, m)], axis=1).astype(np.int32)
