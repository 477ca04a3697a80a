"""A source and a target clip to one aligned pair: path, smoothing, interpolation, quality figure.

Positions are in video frames of a clip: frame `i` covers [i, i+1), its picture stands at i + 0.5, and mel frame `k` of
`mel_per_video` stands at k / mel_per_video (see `avsc_tf.timebase`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avsc_tf.alignment.dtw import averaged_distance, rms_distance, tie_mel, warping_path
from avsc_tf.config import AlignmentConfig
from avsc_tf.errors import AlignmentError
from avsc_tf.features.clip import ClipFeatures
from avsc_tf.features.face import LIPS, eye_stabilised
from avsc_tf.features.statistics import Statistics, join_facial
from avsc_tf.timebase import Timebase

VIDEO_CENTRE = 0.5
# Chosen on the demo corpus by the error against true phone times and by how far pairs cost less than non-pairs.
LIPS_WEIGHT = 0.5
LIPS_STD_FLOOR = 1e-3  # eye distances; closed lips that do not move must not become noise of deviation 1


@dataclass(frozen=True)
class AlignedPair:
    """Standardised features of both speakers on one timeline of `n` video frames (schema.PAIR)."""

    source_mel: np.ndarray  # [n * mel_per_video, n_mels] float32
    source_facial: np.ndarray  # [n, n_facial] float32
    target_mel: np.ndarray  # [n * mel_per_video, n_mels] float32
    target_facial: np.ndarray  # [n, n_facial] float32
    path: np.ndarray  # [steps, 2] int32, source frame and target frame
    cost: float  # mean standardised cost of a step


def align_pair(
    source: ClipFeatures,
    target: ClipFeatures,
    statistics: Statistics,
    *,
    alignment: AlignmentConfig,
    timebase: Timebase,
    name: str = "pair",
) -> AlignedPair:
    """Warp two clips of one sentence onto the timeline `alignment.timeline`.

    Raises:
        AlignmentError: the mean standardised cost of the path is above `alignment.max_cost`: no pair.
    """
    path, cost = align_frames(source, target, statistics, alignment=alignment, timebase=timebase)
    if cost > alignment.max_cost:
        raise AlignmentError(
            f"{name}: source and target do not match (cost {cost:.3f}, alignment.max_cost {alignment.max_cost:g}). "
            "Check that both clips say the same sentence, or leave the pair out."
        )
    positions = pair_positions(path, source.n_frames, target.n_frames, alignment=alignment)
    arrays: dict[str, np.ndarray] = {}
    for speaker, clip, at in zip(("source", "target"), (source, target), positions, strict=True):
        mel = statistics.standardise(speaker, "mel", clip.mel)
        facial = standardised_facial(clip, statistics, speaker)
        arrays[f"{speaker}_mel"] = interpolate_mel(mel, at, mel_per_video=timebase.mel_per_video)
        arrays[f"{speaker}_facial"] = interpolate(facial, at - VIDEO_CENTRE)
    return AlignedPair(**arrays, path=path, cost=cost)


def align_frames(
    source: ClipFeatures,
    target: ClipFeatures,
    statistics: Statistics,
    *,
    alignment: AlignmentConfig,
    timebase: Timebase,
) -> tuple[np.ndarray, float]:
    """Warping path [steps, 2] under `alignment.distance`, and its mean standardised cost a step."""
    standardised = _standardised_cost(source, target, statistics, timebase)
    literal = alignment.distance == "literal"
    path = warping_path(_literal_cost(source, target, timebase) if literal else standardised)
    return path, float(standardised[path[:, 0], path[:, 1]].mean())


def standardised_facial(clip: ClipFeatures, statistics: Statistics, speaker: str) -> np.ndarray:
    """VGG and keypoints, each standardised for the speaker: float32 [T, n_facial]."""
    return statistics.standardise(speaker, "facial", join_facial(clip.vgg, clip.keypoints))


def _literal_cost(source: ClipFeatures, target: ClipFeatures, timebase: Timebase) -> np.ndarray:
    """The paper's distance (section 4.3): dimension-averaged norms of the features as they are, added."""
    mel = [tie_mel(clip.mel, timebase.mel_per_video) for clip in (source, target)]
    facial = [join_facial(clip.vgg, clip.keypoints) for clip in (source, target)]
    return averaged_distance(*mel) + averaged_distance(*facial)


def _standardised_cost(
    source: ClipFeatures, target: ClipFeatures, statistics: Statistics, timebase: Timebase
) -> np.ndarray:
    """Mel spectra free of each speaker's mean and deviation, and lips free of the head's and the face's shape.

    Whole faces, however standardised, follow the head, which moves independently in two takes.
    """
    mel = [
        tie_mel(statistics.standardise(speaker, "mel", clip.mel), timebase.mel_per_video)
        for speaker, clip in (("source", source), ("target", target))
    ]
    return rms_distance(*mel) + LIPS_WEIGHT * rms_distance(_lips(source), _lips(target))


def _lips(clip: ClipFeatures) -> np.ndarray:
    """Eye-stabilised lips of mean 0 and deviation 1 within the clip: [T, 2 * lips]."""
    lips = eye_stabilised(clip.keypoints)[:, LIPS].reshape(clip.n_frames, -1)
    return (lips - lips.mean(axis=0)) / (lips.std(axis=0) + LIPS_STD_FLOOR)


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
