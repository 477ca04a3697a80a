"""Smoothing of converted keypoints before the image network draws them (ours).

The conversion network predicts the keypoints of each frame independently, so the head jitters: on GRID's s1 three times
as much as in the recording. The head's movement (shift, tilt, size) is slow and can be smoothed strongly; the movement
within the face (lips, lids, jaw) only a little.
"""

from __future__ import annotations

import numpy as np

from avsc_tf.features.crop import smooth_track
from avsc_tf.features.keypoints import BROWS, LEFT_EYE_CORNER, NOSE, RIGHT_EYE_CORNER
from avsc_tf.signal.similarity import fit_similarity, to_complex

# Points that move with the skull: brows, nose and eye corners.
HEAD_POINTS = np.r_[BROWS, NOSE, RIGHT_EYE_CORNER, LEFT_EYE_CORNER, 39, 42]


def smooth_keypoints(keypoints: np.ndarray, *, head_frames: float, face_frames: float) -> np.ndarray:
    """Smooth keypoints over time: [T, 70, 2] -> [T, 70, 2].

    Args:
        head_frames: time constant of the head's movement, see `features.crop.smooth_track`; 0 does not smooth it.
        face_frames: time constant of the movement within the face.
    """
    points = to_complex(keypoints)
    turn, shift = fit_similarity(points.mean(axis=0)[HEAD_POINTS], points[:, HEAD_POINTS])
    within = (points - shift[:, None]) / turn[:, None]  # aligned with the mean shape
    turn, shift = (_smooth(track[:, None], head_frames)[:, 0] for track in (turn, shift))
    moved = _smooth(within, face_frames) * turn[:, None] + shift[:, None]
    return np.stack([moved.real, moved.imag], axis=-1).astype(keypoints.dtype)


def _smooth(tracks: np.ndarray, frames: float) -> np.ndarray:
    """Smooth each column of complex tracks [T, n]."""
    if frames <= 0:
        return tracks
    columns = [smooth_track(c.real, frames) + 1j * smooth_track(c.imag, frames) for c in tracks.T]
    return np.stack(columns, axis=1)
