"""The square crop around the face: its smooth path, its pixels, and the transforms to the frame and the recording.

A pixel's centre lies at half numbers: x = 0 is the left edge of the picture, x = width the right one.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

_MAX_SHIFT_SHARE = 0.1  # of the side: largest shift off the face before the frame's border is repeated
_SMOOTHING_SECONDS = (1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.125)  # keypoints carry nods, the crop carries walking
_MAX_OFF_CENTRE_SHARE = 0.1  # of the side: the first time constant that keeps the face this near the centre applies


@dataclass(frozen=True)
class CropTransform:
    """Transform between frame and crop: a square of constant side around `centres` [T, 2], scaled to `crop_px`."""

    centres: np.ndarray
    side: float
    crop_px: int

    def _corner(self) -> np.ndarray:
        return (self.centres - self.side / 2)[:, None]  # [T, 1, 2]

    def to_crop(self, points: np.ndarray) -> np.ndarray:
        """Points [T, n, 2] in pixels of the frame -> pixels of the crop."""
        return ((points - self._corner()) * (self.crop_px / self.side)).astype(np.float32)

    def to_frame(self, points: np.ndarray) -> np.ndarray:
        """Points [T, n, 2] in pixels of the crop -> pixels of the frame."""
        return (points * (self.side / self.crop_px) + self._corner()).astype(np.float32)


def to_frame(keypoints: np.ndarray, crop_centres: np.ndarray, crop_side: float, crop_px: int) -> np.ndarray:
    """Keypoints as stored in a record -> pixels of the upright frame, float32 [T, n, 2].

    Args:
        keypoints: [T, n, 2], pixels of the crop.
        crop_centres: [T, 2], pixels of the frame.
        crop_side: pixels of the frame.
        crop_px: `face.crop_px` of the record's settings.
    """
    return CropTransform(np.asarray(crop_centres, np.float64), float(crop_side), crop_px).to_frame(keypoints)


def to_recorded(
    points: np.ndarray,
    frame_size: tuple[int, int] | np.ndarray,
    *,
    rotation_degrees: int,
    pixel_aspect: float,
    is_mirrored: bool = False,
) -> np.ndarray:
    """Pixels of the upright, square-pixel frame [..., 2] -> pixels of the picture as stored in the file.

    Args:
        frame_size: width and height of the upright frame (a record's `frame_size`).
        rotation_degrees: the file's display rotation, counterclockwise, a multiple of 90.
        pixel_aspect: the file's sample aspect ratio, width of a pixel divided by its height.
        is_mirrored: whether the picture is mirrored left to right before it is turned.
    """
    x, y = points[..., 0], points[..., 1]
    width, height = frame_size
    turned = {0: (x, y), 90: (height - y, x), 180: (width - x, height - y), 270: (y, width - x)}
    stored_x, stored_y = turned[rotation_degrees % 360]
    if is_mirrored:
        stored_x = (height if rotation_degrees % 180 else width) - stored_x
    return np.stack([stored_x / pixel_aspect, stored_y], axis=-1).astype(np.float32)


def crop_path(face_centres: np.ndarray, side: float, frame_size: tuple[int, int], *, fps: int) -> np.ndarray:
    """Smooth path of the crop's centre [T, 2] for a face at `face_centres` [T, 2].

    Penalised least squares on the second difference (Whittaker 1922) follows steady movement without lag, also at the
    ends. The centres are moved into the frame before they are smoothed, so the crop approaches the border softly.
    """
    targets = move_inside(face_centres, side, frame_size)
    return np.stack([_smooth_enough(column, _MAX_OFF_CENTRE_SHARE * side, fps) for column in targets.T], axis=1)


def _smooth_enough(track: np.ndarray, max_error: float, fps: int) -> np.ndarray:
    """Smooth one coordinate [T] as much as keeps the error below `max_error`."""
    for seconds in _SMOOTHING_SECONDS:
        smooth = smooth_track(track, seconds * fps)
        if np.abs(smooth - track).max() <= max_error:
            break
    return smooth


def smooth_track(track: np.ndarray, frames: float) -> np.ndarray:
    """Whittaker smoother (1922) of a track [T].

    A movement of angular frequency w per frame is multiplied by 1 / (1 + (w * frames)^4); 0 frames change nothing.
    """
    n = len(track)
    if n < 3:
        return track
    second = sparse.diags([1.0, -2.0, 1.0], [0, 1, 2], shape=(n - 2, n))
    return spsolve((sparse.eye(n) + frames**4 * (second.T @ second)).tocsc(), track)


def path_jitter(centres: np.ndarray) -> float:
    """Root mean square of the second difference of a path [T, 2], T at least 3, in its unit per frame squared."""
    return float(np.sqrt(np.mean(np.sum(np.diff(centres, n=2, axis=0) ** 2, axis=1))))


def move_inside(centres: np.ndarray, side: float, frame_size: tuple[int, int]) -> np.ndarray:
    """Move centres by at most `_MAX_SHIFT_SHARE` of the side towards crops that lie inside the frame."""
    half = np.minimum(side, frame_size) / 2
    shift = np.clip(centres, half, frame_size - half) - centres
    return centres + np.clip(shift, -_MAX_SHIFT_SHARE * side, _MAX_SHIFT_SHARE * side)


def crop_frame(frame: np.ndarray, centre: np.ndarray, side: float, crop_px: int) -> np.ndarray:
    """Cut the square of `side` pixels around `centre` with sub-pixel accuracy and scale it to [crop_px, crop_px, 3].

    A larger square is first averaged over areas. Outside of the frame its border is repeated.
    """
    scale = side / crop_px
    if scale > 1:
        frame, centre, shrink = _averaged(frame, centre, side, scale)
    else:
        shrink = np.ones(2)
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


def _averaged(
    frame: np.ndarray, centre: np.ndarray, side: float, scale: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average the part of the frame that a crop needs: the smaller part, the crop's centre in it, the scale per axis.

    Averaging the part alone takes 1.2 ms instead of 14 ms for a face in 1080 lines.
    """
    size = np.array([frame.shape[1], frame.shape[0]])
    reach = side / 2 + 2 * scale  # two pixels of the smaller picture more than the crop, for its interpolation
    low = np.clip(np.floor(centre - reach), 0, size - 1).astype(int)
    high = np.clip(np.ceil(centre + reach), low + 1, size).astype(int)
    part = frame[low[1] : high[1], low[0] : high[0]]
    small_size = np.maximum(1, np.rint((high - low) / scale)).astype(int)
    small = cv2.resize(part, small_size.tolist(), interpolation=cv2.INTER_AREA)
    return small, centre - low, small_size / (high - low)
