"""Measures of pictures of a face beside others, whole and about the mouth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

SSIM_WINDOW_PX = 7
SSIM_STABILISERS = (0.01 * 255) ** 2, (0.03 * 255) ** 2
PEAK_LEVEL = 255.0
MAX_PSNR_DB = 60.0  # rounding to whole levels alone gives 58.9
MOUTH_BOX_SHARE = 8  # the mouth box reaches size / 8 from the lips' centre to each side


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


def psnr_db(image: np.ndarray, reference: np.ndarray, *, max_db: float = MAX_PSNR_DB) -> float:
    """Peak signal-to-noise ratio of pictures of one shape, 0 to 255: 10 log10(255^2 / mean squared difference).

    `max_db` stands for equal pictures, whose ratio has no bound, and for all that is as near. Of a video take the mean
    over frames, not the ratio of all frames at once.

    Raises:
        ValueError: pictures of different shapes.
    """
    if image.shape != reference.shape:
        raise ValueError(f"pictures of shapes {image.shape} and {reference.shape} must be alike; resize one of them")
    squared = float(np.mean((image.astype(np.float64) - reference) ** 2))
    least = PEAK_LEVEL**2 * 10 ** (-max_db / 10)
    return max_db if squared <= least else 10 * float(np.log10(PEAK_LEVEL**2 / squared))


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
