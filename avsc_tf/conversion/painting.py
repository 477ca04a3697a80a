"""Frames of converted utterances, by the image generator (paper section 3.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from avsc_tf.conversion.converted import TargetFeatures
from avsc_tf.core.config import Config
from avsc_tf.features.smoothing import smooth_keypoints
from avsc_tf.features.statistics import Statistics, flatten_keypoints, unflatten_keypoints

FRAMES_PER_BATCH = 32


def paint(
    features: TargetFeatures,
    generator: Any,
    statistics: Statistics,
    config: Config,
    *,
    on_progress: Callable[[float], object] = lambda share: None,
) -> np.ndarray:
    """Frames of the target, of smoothed keypoints where the settings ask for it.

    Args:
        on_progress: called with the finished share before each batch.

    Returns:
        uint8 [T, size_px, size_px, 3], RGB.
    """
    if features.facial is None:
        raise ValueError("these networks have no face")
    facial = smooth_facial(features.facial, statistics, config)
    n_frames, mel_per_frame = len(facial), config.timebase.mel_per_video
    mel = np.zeros((n_frames, mel_per_frame, config.acoustic.n_mels), np.float32)  # the visual baseline ignores it
    if features.mel is not None:
        mel = features.mel.reshape(n_frames, mel_per_frame, -1)
    parts = []
    for start in range(0, n_frames, FRAMES_PER_BATCH):
        on_progress(start / n_frames)
        batch = slice(start, start + FRAMES_PER_BATCH)
        images = generator({"mel": mel[batch], "facial": facial[batch]}, training=False)
        parts.append(np.clip(np.rint((np.asarray(images) + 1) * 127.5), 0, 255).astype(np.uint8))
    return np.concatenate(parts)


def smooth_facial(facial: np.ndarray, statistics: Statistics, config: Config) -> np.ndarray:
    """Smooth the keypoints within a standardised facial feature [T, n_facial], as `image.steady_*_seconds` set."""
    image, fps = config.image, config.time.video_fps
    if not image.steady_head_seconds and not image.steady_face_seconds:
        return facial
    n_values = 2 * config.face.n_keypoints
    vgg, flat = facial[:, :-n_values], facial[:, -n_values:]
    keypoints = smooth_keypoints(
        unflatten_keypoints(statistics.restore("target", "keypoints", flat)),
        head_frames=image.steady_head_seconds * fps,
        face_frames=image.steady_face_seconds * fps,
    )
    flat = statistics.standardise("target", "keypoints", flatten_keypoints(keypoints))
    return np.concatenate([vgg, flat], axis=1)
