"""A source and a target clip to one aligned pair: path, smoothing, interpolation, quality figure.

Positions are in video frames of a clip: frame `i` covers [i, i+1), its picture stands at i + 0.5, and mel frame `k` of
`mel_per_video` stands at k / mel_per_video (see `avsc_tf.core.timebase`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avsc_tf.alignment.distances import Features, literal_cost, standardised_cost, standardised_facial, video_frames
from avsc_tf.alignment.dtw import check_size, warping_path
from avsc_tf.alignment.matching import PairMatch
from avsc_tf.alignment.silence import anchored_path, matched_spans
from avsc_tf.core.config import AlignmentConfig
from avsc_tf.core.errors import AlignmentError
from avsc_tf.core.timebase import Timebase
from avsc_tf.features.statistics import Statistics
from avsc_tf.signal.speech import Span, speech_span

VIDEO_CENTRE = 0.5


@dataclass(frozen=True)
class AlignedPair:
    """Standardised features of both speakers on one timeline of `n` video frames (schema.PAIR)."""

    source_mel: np.ndarray  # [n * mel_per_video, n_mels] float32
    source_facial: np.ndarray  # [n, n_facial] float32; [n, 0] of clips without a picture
    target_mel: np.ndarray  # [n * mel_per_video, n_mels] float32
    target_facial: np.ndarray  # [n, n_facial] float32
    path: np.ndarray  # [steps, 2] int32, source frame and target frame; of the whole clips, also where `n` is trimmed
    cost: float  # mean standardised cost of a step


def align_pair(
    source: Features,
    target: Features,
    statistics: Statistics,
    *,
    alignment: AlignmentConfig,
    timebase: Timebase,
    name: str = "pair",
    match: PairMatch | None = None,
) -> AlignedPair:
    """Warp two clips of one sentence onto the timeline `alignment.timeline`.

    Args:
        source, target: clips of one sentence, both with a picture or both without.
        match: what a comparison with other sentences says (`alignment.matching`), where there are others.

    Raises:
        AlignmentError: no pair, by `match` or, where nothing was compared, by a path that costs more than
            `alignment.max_cost`; or clips too long.
    """
    if match is not None and not match.is_pair:
        raise AlignmentError(
            f"{name}: source and target do not match ({match.reason}). "
            "Check that both clips say the same sentence, or leave the pair out."
        )
    path, cost = align_frames(source, target, statistics, alignment=alignment, timebase=timebase, name=name)
    compared = match is not None and match.verdict != "not compared"
    if not compared and cost > alignment.max_cost:
        raise AlignmentError(
            f"{name}: source and target do not match (cost {cost:.3f}, alignment.max_cost {alignment.max_cost:g}). "
            "Check that both clips say the same sentence, or leave the pair out."
        )
    shape = video_frames(source, timebase), video_frames(target, timebase)
    positions = pair_positions(path, *shape, alignment=alignment)
    if alignment.silence == "trim":
        spans = matched_spans(shape, *_speech_spans(source, target, timebase))
        positions = _trimmed(positions, path, spans, timeline=alignment.timeline)
    arrays: dict[str, np.ndarray] = {}
    for speaker, clip, at in zip(("source", "target"), (source, target), positions, strict=True):
        mel = statistics.standardise(speaker, "mel", clip.mel)
        facial = standardised_facial(clip, statistics, speaker, timebase)
        arrays[f"{speaker}_mel"] = interpolate_mel(mel, at, mel_per_video=timebase.mel_per_video)
        arrays[f"{speaker}_facial"] = interpolate(facial, at - VIDEO_CENTRE)
    return AlignedPair(**arrays, path=path, cost=cost)


def align_frames(
    source: Features,
    target: Features,
    statistics: Statistics,
    *,
    alignment: AlignmentConfig,
    timebase: Timebase,
    name: str = "pair",
) -> tuple[np.ndarray, float]:
    """Warping path [steps, 2] under `alignment.distance` and `.silence`, and its mean standardised cost a step.

    The path is of the whole clips also under `trim`, which warps as `match` does.
    """
    check_size(video_frames(source, timebase), video_frames(target, timebase), name=name)
    standardised = standardised_cost(source, target, statistics, timebase)
    cost = literal_cost(source, target, timebase) if alignment.distance == "literal" else standardised
    if alignment.silence == "keep":
        path = warping_path(cost)
    else:
        path = anchored_path(cost, *_speech_spans(source, target, timebase))
    return path, float(standardised[path[:, 0], path[:, 1]].mean())


def _speech_spans(source: Features, target: Features, timebase: Timebase) -> tuple[Span, Span]:
    rates = {"mel_per_video": timebase.mel_per_video, "video_fps": timebase.video_fps}
    return speech_span(source.mel, **rates), speech_span(target.mel, **rates)


def _trimmed(
    positions: tuple[np.ndarray, np.ndarray], path: np.ndarray, spans: tuple[Span, Span], *, timeline: str
) -> tuple[np.ndarray, np.ndarray]:
    """The part of both positions that lies in the speech spans of the timeline's clip (or of the path)."""
    axis = 1 if timeline == "target" else 0
    first, end = spans[axis]
    if timeline == "path":  # anchored: a step is inside both spans or outside both
        first, end = np.searchsorted(path[:, axis], [first, end])
    return positions[0][first:end], positions[1][first:end]


def pair_positions(
    path: np.ndarray, n_source: int, n_target: int, *, alignment: AlignmentConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Positions in source and target, float64 [n] each, of the picture centres of the pair's timeline."""
    smooth = alignment.smooth_frames
    if alignment.timeline == "source":
        return np.arange(n_source) + VIDEO_CENTRE, smooth_warp(path, n_source, axis=0, smooth_frames=smooth)
    if alignment.timeline == "target":
        return smooth_warp(path, n_target, axis=1, smooth_frames=smooth), np.arange(n_target) + VIDEO_CENTRE
    return _smooth(path[:, 0] + VIDEO_CENTRE, smooth), _smooth(path[:, 1] + VIDEO_CENTRE, smooth)


def smooth_warp(path: np.ndarray, n: int, *, axis: int = 0, smooth_frames: int) -> np.ndarray:
    """Position in the other clip at each of the `n` picture centres of the clip of `axis`: float64 [n], never falling.

    Where several steps share a frame their mean is taken; a Hann window over `smooth_frames` removes the stairs.
    """
    sums = np.bincount(path[:, axis], weights=path[:, 1 - axis], minlength=n)
    counts = np.bincount(path[:, axis], minlength=n)
    return _smooth(sums / counts + VIDEO_CENTRE, smooth_frames)


def _smooth(positions: np.ndarray, smooth_frames: int) -> np.ndarray:
    """Hann-weighted moving mean; the ends are mirrored through their own point, so that they stay where they are."""
    half = min(smooth_frames // 2, len(positions) - 1)
    if half < 1:
        return positions
    window = np.hanning(2 * half + 3)[1:-1]
    before = 2 * positions[0] - positions[half:0:-1]
    after = 2 * positions[-1] - positions[-2 : -half - 2 : -1]
    return np.convolve(np.concatenate([before, positions, after]), window / window.sum(), "valid")


def interpolate_mel(mel: np.ndarray, positions: np.ndarray, *, mel_per_video: int) -> np.ndarray:
    """Mel frames [n * mel_per_video, n_mels] at the path `positions` [n] (picture centres), read every hop.

    Outside the first and last centre the clip runs on at its own speed.
    """
    n = len(positions)
    t = np.arange(n * mel_per_video) / mel_per_video
    inside = np.interp(t, np.arange(n) + VIDEO_CENTRE, positions)
    first, last = t < VIDEO_CENTRE, t > n - VIDEO_CENTRE
    inside[first] = positions[0] + t[first] - VIDEO_CENTRE
    inside[last] = positions[-1] + t[last] - (n - VIDEO_CENTRE)
    return interpolate(mel, inside * mel_per_video)


def interpolate(x: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Rows of `x` [n, d] at fractional row numbers `positions` [k]: [k, d] of the type of x; the ends are held."""
    positions = np.clip(positions, 0, len(x) - 1)
    lower = np.minimum(positions.astype(int), max(len(x) - 2, 0))
    upper = np.minimum(lower + 1, len(x) - 1)
    share = (positions - lower)[:, None].astype(x.dtype)
    return x[lower] * (1 - share) + x[upper] * share
