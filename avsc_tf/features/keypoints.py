"""The 70 keypoints of a face: their FaceMesh numbers, and measures of eyes and mouth.

iBUG's 68 points in their order, then the person's right and left pupil: the order of OpenPose's 70 face keypoints.
Coordinates are pixels, x to the right and y down, and a pixel's centre lies at half numbers: x = 0 is the left edge of
the picture, x = width the right one. docs/keypoints.md has the table and the transform to the
recorded frame.
"""

from __future__ import annotations

import numpy as np

# fmt: off
KEYPOINT_MAP = np.array([  # FaceMesh number of each keypoint
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,  # jaw
    71, 63, 105, 66, 107,                                                               # right brow (the person's)
    336, 296, 334, 293, 301,                                                            # left brow
    168, 197, 5, 4, 75, 97, 2, 326, 305,                                                # nose
    33, 160, 158, 133, 153, 144,                                                        # right eye
    362, 385, 387, 263, 373, 380,                                                       # left eye
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,                                # outer lips
    78, 82, 13, 312, 308, 317, 14, 87,                                                  # inner lips
    468, 473,                                                                           # pupils: right, left
])
# fmt: on
N_KEYPOINTS = len(KEYPOINT_MAP)
JAW, BROWS, NOSE = slice(0, 17), slice(17, 27), slice(27, 36)
RIGHT_EYE, LEFT_EYE, LIPS, PUPILS = slice(36, 42), slice(42, 48), slice(48, 68), slice(68, 70)
RIGHT_EYE_CORNER, LEFT_EYE_CORNER = 36, 45  # outer corners
MOUTH_RIGHT, MOUTH_LEFT = 48, 54
INNER_LIP_TOP, INNER_LIP_BOTTOM = 62, 66


def _distance(keypoints: np.ndarray, a: int, b: int) -> np.ndarray:
    return np.linalg.norm(keypoints[..., a, :] - keypoints[..., b, :], axis=-1)


def eye_distance(keypoints: np.ndarray) -> np.ndarray:
    """[..., 70, 2] -> [...]: distance of the outer eye corners, in the unit of the keypoints."""
    return _distance(keypoints, RIGHT_EYE_CORNER, LEFT_EYE_CORNER)


def mouth_opening(keypoints: np.ndarray) -> np.ndarray:
    """[..., 70, 2] -> [...]: inner lips' distance (iBUG 62-66) in eye distances."""
    return _distance(keypoints, INNER_LIP_TOP, INNER_LIP_BOTTOM) / eye_distance(keypoints)


def mouth_width(keypoints: np.ndarray) -> np.ndarray:
    """[..., 70, 2] -> [...]: distance of the mouth's corners (iBUG 48-54) in eye distances."""
    return _distance(keypoints, MOUTH_RIGHT, MOUTH_LEFT) / eye_distance(keypoints)


def stabilise_by_eyes(keypoints: np.ndarray) -> np.ndarray:
    """Remove the head's shift, tilt and size from keypoints: [..., 70, 2] -> [..., 70, 2] in eye distances.

    A similarity transform places the outer eye corners (iBUG 36, 45) at (-1/2, 0) and (1/2, 0).
    """
    points = keypoints[..., 0] + 1j * keypoints[..., 1]
    right, left = points[..., RIGHT_EYE_CORNER], points[..., LEFT_EYE_CORNER]
    moved = (points - ((left + right) / 2)[..., None]) / (left - right)[..., None]
    return np.stack([moved.real, moved.imag], axis=-1).astype(keypoints.dtype)
