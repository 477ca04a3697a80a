"""Measures of how a face, and above all its mouth, moves beside another one, from keypoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from avsc_tf.features.keypoints import LIPS, mouth_opening, mouth_width, stabilise_by_eyes


class KeypointDistance(NamedTuple):
    """Mean distances in eye distances."""

    all: float  # of all 70 keypoints; the two outer eye corners lie on each other by construction
    mouth: float  # of the 20 lip points


def keypoint_distance(keypoints: np.ndarray, reference: np.ndarray) -> KeypointDistance:
    """Mean distance of keypoints [T, 70, 2] from the reference's, after both faces' eye corners are laid on each other.

    Position, size and tilt of the head, which no two takes share, are taken out so (`stabilise_by_eyes`).
    """
    if not len(keypoints):
        return KeypointDistance(float("nan"), float("nan"))
    distance = np.linalg.norm(stabilise_by_eyes(keypoints) - stabilise_by_eyes(reference), axis=2)
    return KeypointDistance(float(distance.mean()), float(distance[:, LIPS].mean()))


def lip_error(keypoints: np.ndarray, reference: np.ndarray) -> float:
    """`keypoint_distance` of the mouth."""
    return keypoint_distance(keypoints, reference).mouth


@dataclass(frozen=True)
class MouthAgreement:
    """How the mouth moves beside the reference's mouth."""

    opening_r: float
    width_r: float
    opening_sd_ratio: float
    width_sd_ratio: float


def mouth_agreement(keypoints: np.ndarray, reference: np.ndarray) -> MouthAgreement:
    """Pearson's r of opening and of width ([frames, 70, 2] each), and ratios of their standard deviations."""
    opening, width = mouth_opening(keypoints), mouth_width(keypoints)
    wanted_opening, wanted_width = mouth_opening(reference), mouth_width(reference)
    return MouthAgreement(
        correlation(opening, wanted_opening),
        correlation(width, wanted_width),
        _sd_ratio(opening, wanted_opening),
        _sd_ratio(width, wanted_width),
    )


def _sd_ratio(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.std(a) / np.std(b)) if len(b) and np.std(b) > 0 else float("nan")


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r; NaN for fewer than three values or where one side does not vary."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if len(a) < 3 or np.ptp(a) < 1e-9 or np.ptp(b) < 1e-9:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
