"""Converted keypoints made steady before they are painted (ours).

The conversion network says each frame's keypoints anew, and its head trembles: on GRID's s1 three times as much as the
film. The head's movement (shift, tilt, size) is slow and is smoothed much; what remains, lips, lids and jaw, a little.
"""

from __future__ import annotations

import numpy as np

from avsc_tf.features.crop import smooth_track
from avsc_tf.features.keypoints import BROWS, LEFT_EYE_CORNER, NOSE, RIGHT_EYE_CORNER
from avsc_tf.signal.similarity import fit_similarity, to_complex

# What moves with the skull: brows and nose, and the eyes' corners.
HEAD_POINTS = np.r_[BROWS, NOSE, RIGHT_EYE_CORNER, LEFT_EYE_CORNER, 39, 42]


def steadied(keypoints: np.ndarray, *, head_frames: float, face_frames: float) -> np.ndarray:
    """Smoother keypoints: [T, 70, 2] -> [T, 70, 2].

    Args:
        head_frames: how slow the head is taken to be (`features.crop.smooth_track`); 0 leaves its movement as it is.
        face_frames: the same for what moves within the head.
    """
    points = to_complex(keypoints)
    turn, shift = fit_similarity(points.mean(axis=0)[HEAD_POINTS], points[:, HEAD_POINTS])
    within = (points - shift[:, None]) / turn[:, None]  # in the place of the mean shape
    turn, shift = (_smooth(track[:, None], head_frames)[:, 0] for track in (turn, shift))
    moved = _smooth(within, face_frames) * turn[:, None] + shift[:, None]
    return np.stack([moved.real, moved.imag], axis=-1).astype(keypoints.dtype)


def _smooth(tracks: np.ndarray, frames: float) -> np.ndarray:
    """complex [T, n], each column on its own."""
    if frames <= 0:
        return tracks
    columns = [smooth_track(c.real, frames) + 1j * smooth_track(c.imag, frames) for c in tracks.T]
    return np.stack(columns, axis=1)
