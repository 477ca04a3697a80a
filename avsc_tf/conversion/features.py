"""Conversion of features: source clip -> conversion network (paper section 3.1) -> target features."""

from __future__ import annotations

from typing import Any

import numpy as np

from avsc_tf.conversion.converted import TargetFeatures
from avsc_tf.core.config import Config
from avsc_tf.features.clip import ClipFeatures
from avsc_tf.features.partial_clip import PartialClip, clip_statistics
from avsc_tf.features.statistics import Statistics, flatten_keypoints, join_facial, split_facial

UNFAMILIAR_DEVIATIONS = 2.5  # RMS over keypoints: the demo speaker's own clips reach 1.0, other people start at 3.8


def is_unfamiliar(source: ClipFeatures | PartialClip, statistics: Statistics) -> bool:
    """Whether the face is not the source speaker's, by its mean keypoints in units of the speaker's deviations.

    A clip without a face is not unfamiliar.
    """
    if source.keypoints is None:
        return False
    mean, std = statistics.get("source", "keypoints")
    deviations = (flatten_keypoints(source.keypoints).mean(axis=0) - mean) / std
    return bool(np.sqrt(np.mean(deviations**2)) > UNFAMILIAR_DEVIATIONS)


def convert_features(
    source: ClipFeatures | PartialClip, network: Any, statistics: Statistics, config: Config
) -> TargetFeatures:
    """Apply the conversion network to a whole utterance; a missing stream is zeros, the mean.

    The features are standardised by the source speaker's statistics. A clip of somebody else (`is_unfamiliar`) is
    standardised by its own: by the speaker's, every feature would lie far outside of what the networks were trained on.
    """
    if is_unfamiliar(source, statistics):
        statistics = clip_statistics(source)
    mel = np.zeros((config.timebase.mel_frames_in(source.n_frames), config.acoustic.n_mels), np.float32)
    facial = np.zeros((source.n_frames, config.face.n_facial), np.float32)
    if source.mel is not None:
        mel = statistics.standardise("source", "mel", source.mel)
    if source.vgg is not None and source.keypoints is not None:
        facial = statistics.standardise("source", "facial", join_facial(source.vgg, source.keypoints))
    outputs = network({"mel": mel[np.newaxis], "facial": facial[np.newaxis]}, training=False)
    return TargetFeatures(*(np.asarray(outputs[n])[0] if n in outputs else None for n in ("mel", "facial")))


def restore_units(
    features: TargetFeatures, statistics: Statistics, *, n_keypoints: int
) -> dict[str, np.ndarray | None]:
    """Mel, keypoints and VGG feature of the target in recorded units, by name."""
    vgg = keypoints = mel = None
    if features.facial is not None:
        facial = statistics.restore("target", "facial", features.facial)
        vgg, keypoints = split_facial(facial, n_keypoints=n_keypoints)
    if features.mel is not None:
        mel = statistics.restore("target", "mel", features.mel)
    return {"mel": mel, "keypoints": keypoints, "vgg": vgg}
