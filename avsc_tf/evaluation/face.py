"""Measures of a face: lips that move right, frames that look right, and a mouth that can be tracked again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import uniform_filter

from avsc_tf.evaluation.sync import correlation
from avsc_tf.features.face import LIPS, N_KEYPOINTS, FaceTracker, eye_stabilised, mouth_opening, mouth_width

SSIM_WINDOW_PX = 7
SSIM_STABILISERS = (0.01 * 255) ** 2, (0.03 * 255) ** 2
MOUTH_BOX_SHARE = 8  # the mouth box reaches size / 8 from the lips' centre to each side


def lip_error(keypoints: np.ndarray, reference: np.ndarray) -> float:
    """Mean distance of the 20 lip points, in eye distances, after both faces' eye corners are laid on each other.

    Position, size and tilt of the head, which no two takes share, are taken out so (`eye_stabilised`).
    """
    if not len(keypoints):
        return float("nan")
    distance = np.linalg.norm(eye_stabilised(keypoints)[:, LIPS] - eye_stabilised(reference)[:, LIPS], axis=2)
    return float(distance.mean())


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


def structural_similarity(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """SSIM map of two RGB images ([H, W, 3], 0 to 255) on their grey means, windows of 7 x 7 (Wang et al. 2004)."""
    a, b = (np.asarray(x, np.float64).mean(axis=-1) for x in (image, reference))
    c1, c2 = SSIM_STABILISERS
    mean_a, mean_b = _window_mean(a), _window_mean(b)
    variance_a = _window_mean(a * a) - mean_a**2
    variance_b = _window_mean(b * b) - mean_b**2
    covariance = _window_mean(a * b) - mean_a * mean_b
    return ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    )


def _window_mean(image: np.ndarray) -> np.ndarray:
    return uniform_filter(image, SSIM_WINDOW_PX)


@dataclass(frozen=True)
class FrameAgreement:
    """Mean over frames; L1 in grey levels of 255."""

    mouth_ssim: float
    mouth_l1: float
    frame_ssim: float
    frame_l1: float


def frame_agreement(frames: np.ndarray, reference: np.ndarray, lips_px: np.ndarray) -> FrameAgreement:
    """Frames beside the reference's, whole and in a box about the reference's mouth.

    Args:
        frames, reference: uint8 [T, S, S, 3].
        lips_px: [T, 2], centre of the reference's lips in pixels of the frames.
    """
    rows = [_one_frame(a, b, centre) for a, b, centre in zip(frames, reference, lips_px, strict=True)]
    return FrameAgreement(*(float(x) for x in np.mean(rows, axis=0))) if rows else FrameAgreement(*[float("nan")] * 4)


def _one_frame(image: np.ndarray, reference: np.ndarray, centre: np.ndarray) -> tuple[float, float, float, float]:
    box = mouth_box(centre, image.shape[0])
    similarity = structural_similarity(image, reference)
    difference = np.abs(image.astype(np.float64) - reference)
    return similarity[box].mean(), difference[box].mean(), similarity.mean(), difference.mean()


def mouth_box(centre: np.ndarray, size_px: int) -> tuple[slice, slice]:
    """Rows and columns of a square of size / 4 about `centre` (x, y), moved to lie inside the frame."""
    half = size_px // MOUTH_BOX_SHARE
    x, y = (int(np.clip(int(v) - half, 0, size_px - 2 * half)) for v in centre)
    return slice(y, y + 2 * half), slice(x, x + 2 * half)


@dataclass(frozen=True)
class Retracked:
    """What the face tracker sees in finished frames."""

    keypoints: np.ndarray  # [T, 70, 2] px; where no face was seen, NaN

    @property
    def found(self) -> np.ndarray:
        """bool [T]"""
        return np.isfinite(self.keypoints[:, 0, 0])

    @property
    def share(self) -> float:
        """Share of frames with a face."""
        return float(self.found.mean()) if len(self.found) else float("nan")


def retrack(frames: np.ndarray | Sequence[np.ndarray], tracker: FaceTracker, *, at_px: int) -> Retracked:
    """Track the face in finished frames (uint8 RGB), enlarged to `at_px`, the size the tracker met in preparation."""
    keypoints = np.full((len(frames), N_KEYPOINTS, 2), np.nan, np.float32)
    for i, frame in enumerate(frames):
        if frame.shape[0] != at_px:
            frame = cv2.resize(frame, (at_px, at_px), interpolation=cv2.INTER_CUBIC)
        seen = tracker.keypoints(np.ascontiguousarray(frame))
        if seen is not None:
            keypoints[i] = seen
    return Retracked(keypoints)
