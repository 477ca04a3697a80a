"""Cost matrices of two clips: the paper's distance, and the standardised one.

A clip without a picture (keypoints and VGG-19 features None) is compared by its sound alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from avsc_tf.alignment.dtw import averaged_distance, rms_distance, tie_mel
from avsc_tf.core.errors import AlignmentError
from avsc_tf.core.timebase import Timebase
from avsc_tf.features.keypoints import LIPS, stabilise_by_eyes
from avsc_tf.features.statistics import Statistics, join_facial

# Chosen on the demo corpus by the error against true phone times and by how far pairs cost less than non-pairs.
LIPS_WEIGHT = 0.5
LIPS_STD_FLOOR = 1e-3  # eye distances; closed lips that do not move must not become noise of deviation 1


class Features(Protocol):
    """What alignment needs of a clip; `features.clip.ClipFeatures` is one."""

    @property
    def mel(self) -> np.ndarray: ...  # [T * mel_per_video, n_mels], natural log
    @property
    def keypoints(self) -> np.ndarray | None: ...  # [T, n_keypoints, 2], pixels of the crop
    @property
    def vgg(self) -> np.ndarray | None: ...  # [T, n_vgg]


@dataclass(frozen=True)
class SoundFeatures:
    """A clip without a picture."""

    mel: np.ndarray  # [T * mel_per_video, n_mels], natural log
    keypoints: None = None
    vgg: None = None


def video_frames(clip: Features, timebase: Timebase) -> int:
    """Whole video frames of a clip, by its sound."""
    return len(clip.mel) // timebase.mel_per_video


def literal_cost(source: Features, target: Features, timebase: Timebase) -> np.ndarray:
    """The paper's distance (section 4.3): dimension-averaged norms of the features as they are, added: [n, m]."""
    cost = averaged_distance(*(tie_mel(clip.mel, timebase.mel_per_video) for clip in (source, target)))
    facial = _both(_facial(source), _facial(target))
    return cost + averaged_distance(*facial) if facial else cost


def standardised_cost(source: Features, target: Features, statistics: Statistics, timebase: Timebase) -> np.ndarray:
    """Mel spectra free of each speaker's mean and deviation, and lips free of the head's and the face's shape: [n, m].

    Whole faces, however standardised, follow the head, which moves independently in two takes.
    """
    mel = [
        tie_mel(statistics.standardise(speaker, "mel", clip.mel), timebase.mel_per_video)
        for speaker, clip in (("source", source), ("target", target))
    ]
    cost = rms_distance(*mel)
    keypoints = _both(source.keypoints, target.keypoints)
    return cost + LIPS_WEIGHT * rms_distance(*map(_lips, keypoints)) if keypoints else cost


def standardised_facial(clip: Features, statistics: Statistics, speaker: str, timebase: Timebase) -> np.ndarray:
    """VGG and keypoints, each standardised for the speaker: float32 [T, n_facial], [T, 0] without a picture."""
    facial = _facial(clip)
    if facial is None:
        return np.zeros((video_frames(clip, timebase), 0), np.float32)
    return statistics.standardise(speaker, "facial", facial)


def _both(source: np.ndarray | None, target: np.ndarray | None) -> list[np.ndarray]:
    """The two, or nothing where neither is there."""
    there = [values for values in (source, target) if values is not None]
    if len(there) == 1:
        raise AlignmentError("one clip of the pair has a picture and the other has none. Use the sound of both alone.")
    return there


def _facial(clip: Features) -> np.ndarray | None:
    return None if clip.vgg is None or clip.keypoints is None else join_facial(clip.vgg, clip.keypoints)


def _lips(keypoints: np.ndarray) -> np.ndarray:
    """Eye-stabilised lips of mean 0 and deviation 1 within the clip: [T, n_keypoints, 2] to [T, 2 * lips]."""
    lips = stabilise_by_eyes(keypoints)[:, LIPS].reshape(len(keypoints), -1)
    return (lips - lips.mean(axis=0)) / (lips.std(axis=0) + LIPS_STD_FLOOR)
