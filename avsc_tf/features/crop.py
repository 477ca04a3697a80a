"""The square that is cut out of a frame around the face, and the way back from its pixels to the frame's.

A pixel's centre lies at half numbers: x = 0 is the left edge of the picture, x = width the right one.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_MAX_SHIFT_SHARE = 0.1  # a crop is shifted this far off the face before the frame's border is repeated


@dataclass(frozen=True)
class CropTransform:
    """Frame to crop and back: a square of constant side, moving with `centres` [T, 2], scaled to `crop_px`."""

    centres: np.ndarray
    side: float
    crop_px: int

    def _corner(self) -> np.ndarray:
        return (self.centres - self.side / 2)[:, None]  # [T, 1, 2]

    def to_crop(self, points: np.ndarray) -> np.ndarray:
        """[T, n, 2] pixels of the frame -> pixels of the crop."""
        return ((points - self._corner()) * (self.crop_px / self.side)).astype(np.float32)

    def to_frame(self, points: np.ndarray) -> np.ndarray:
        """[T, n, 2] pixels of the crop -> pixels of the frame."""
        return (points * (self.side / self.crop_px) + self._corner()).astype(np.float32)


def inside(centres: np.ndarray, side: float, frame_size: tuple[int, int]) -> np.ndarray:
    """Centres moved, by `_MAX_SHIFT_SHARE` of the side at most, so that the crop leaves the frame less."""
    half = np.minimum(side, frame_size) / 2
    shift = np.clip(centres, half, frame_size - half) - centres
    return centres + np.clip(shift, -_MAX_SHIFT_SHARE * side, _MAX_SHIFT_SHARE * side)


def crop_frame(frame: np.ndarray, centre: np.ndarray, side: float, crop_px: int) -> np.ndarray:
    """Square of `side` pixels around `centre`, to the fraction of a pixel, scaled to [crop_px, crop_px, 3].

    A larger square is averaged down over areas first; outside the frame its border is repeated.
    """
    scale = side / crop_px
    height, width = frame.shape[:2]
    if scale > 1:
        size = (max(1, round(width / scale)), max(1, round(height / scale)))
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    shrink = np.array([frame.shape[1] / width, frame.shape[0] / height])
    # OpenCV counts pixel centres at whole numbers: edge coordinate = centre coordinate + 1/2.
    offset = (centre - side / 2 + scale / 2) * shrink - 0.5
    matrix = np.array([[scale * shrink[0], 0, offset[0]], [0, scale * shrink[1], offset[1]]])
    return cv2.warpAffine(
        frame,
        matrix,
        (crop_px, crop_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
