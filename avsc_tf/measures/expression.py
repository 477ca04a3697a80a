"""What a face's expression is, in parameters with names, and how far two faces are apart in them.

Read from the 70 keypoints after head position, size and tilt are taken out (`stabilise_by_eyes`): heights and widths in
eye distances, in the line of FACS (Ekman and Friesen 1978) as far as a frontal picture shows it. Rounded lips are seen
as a narrow mouth; protrusion towards the camera, cheeks and the tongue are not seen. Turning the head changes widths,
nodding changes heights: `stabilise_by_eyes` knows nothing of depth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avsc_tf.features.keypoints import (
    INNER_LIP_BOTTOM,
    INNER_LIP_TOP,
    MOUTH_LEFT,
    MOUTH_RIGHT,
    mouth_opening,
    mouth_width,
    stabilise_by_eyes,
)

# Sides are the person's own; the right one lies to the left in the picture. iBUG numbers.
_EYES = {"right": ((36, 39), ((37, 41), (38, 40))), "left": ((42, 45), ((43, 47), (44, 46)))}  # corners, lids
_INNER_BROW = {"right": (20, 21), "left": (22, 23)}
_OUTER_BROW = {"right": (17, 18), "left": (25, 26)}
_OUTER_LIPS = (51, 57)  # middle of the upper edge and of the lower one
_NOSE_BASE, _CHIN = 33, 8

EXPRESSION_NAMES = (
    "inner_brow_right",  # heights of the brows above the line of their eye's corners
    "inner_brow_left",
    "outer_brow_right",
    "outer_brow_left",
    "brow_distance",  # between the inner ends: small in a frown
    "eye_opening_right",  # between the lids
    "eye_opening_left",
    "mouth_opening",  # between the inner lips
    "mouth_width",
    "corner_height_right",  # of the mouth's corner above the middle of the lips: a smile is above zero
    "corner_height_left",
    "upper_lip_height",  # between the lip's outer and inner edge: small where lips are pressed or drawn in
    "lower_lip_height",
    "jaw_drop",  # from the base of the nose to the chin
)


def expression(keypoints: np.ndarray) -> np.ndarray:
    """Keypoints [T, 70, 2] -> float64 [T, 14], eye distances, in the order of `EXPRESSION_NAMES`."""
    face = stabilise_by_eyes(np.asarray(keypoints, np.float64))
    x, y = face[..., 0], face[..., 1]

    def height(points: tuple[int, ...], above: tuple[int, ...]) -> np.ndarray:
        return y[:, above].mean(axis=1) - y[:, points].mean(axis=1)

    lids = {
        side: np.mean([np.linalg.norm(face[:, a] - face[:, b], axis=1) for a, b in pairs], axis=0)
        for side, (_, pairs) in _EYES.items()
    }
    columns = [
        *(height(_INNER_BROW[side], _EYES[side][0]) for side in _EYES),
        *(height(_OUTER_BROW[side], _EYES[side][0]) for side in _EYES),
        x[:, _INNER_BROW["left"][0]] - x[:, _INNER_BROW["right"][1]],
        lids["right"],
        lids["left"],
        mouth_opening(face),
        mouth_width(face),
        height((MOUTH_RIGHT,), _OUTER_LIPS),
        height((MOUTH_LEFT,), _OUTER_LIPS),
        height((_OUTER_LIPS[0],), (INNER_LIP_TOP,)),
        height((INNER_LIP_BOTTOM,), (_OUTER_LIPS[1],)),
        height((_NOSE_BASE,), (_CHIN,)),
    ]
    return np.stack(columns, axis=1)


def expression_scale(films: Sequence[np.ndarray]) -> np.ndarray:
    """Standard deviation of each parameter over all frames of keypoints [T, 70, 2]: float64 [14].

    Take the natural target's training sentences; it is the unit of `expression_distance`.
    """
    return np.concatenate([expression(keypoints) for keypoints in films]).std(axis=0)


def expression_distance(keypoints: np.ndarray, reference: np.ndarray, scale: np.ndarray) -> float:
    """RMS over frames and parameters of the differences, in the natural target's standard deviations.

    About 1.4 (the root of 2) for frames of the target paired by chance, 1 for the target's mean face.

    Args:
        keypoints, reference: [T, 70, 2] on one timeline.
        scale: [14], `expression_scale` of the natural target's training sentences.

    Raises:
        ValueError: a scale that is not above zero.
    """
    if not np.all(np.asarray(scale) > 0):
        still = [name for name, s in zip(EXPRESSION_NAMES, scale, strict=True) if not s > 0]
        raise ValueError(f"scale of {still} must be above zero: fit it on sentences in which the face moves")
    if not len(keypoints):
        return float("nan")
    difference = (expression(keypoints) - expression(reference)) / scale
    return float(np.sqrt(np.mean(difference**2)))
