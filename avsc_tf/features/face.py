"""Face: 70 keypoints a frame and the face-centred square crop (paper sections 3.1, 4.2).

FaceMesh (MediaPipe, 478 points with irises) stands for OpenPose; a fixed map picks the 68 iBUG points and 2 pupils.
Coordinates are pixels, x to the right and y down, and a pixel's centre lies at half numbers: x = 0 is the left edge of
the picture, x = width the right one.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from avsc_tf.config import FaceConfig
from avsc_tf.errors import FaceError
from avsc_tf.features.crop import CropTransform, crop_frame, inside

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

MAX_GAP_SECONDS = 0.2  # shorter losses of the face (a blur, a hand) are interpolated
MAX_EDGE_SECONDS = 0.5  # a recording may begin or end without a face this long: the nearest picture is held
_EDGE_MARGIN_SECONDS = 0.25  # what follows a damaged beginning is damaged as well, though a face may be found in it
_BOX_STRIDE = 3  # the first pass only places the crop, which moves slowly
_CENTRE_SMOOTHING_SECONDS = 1.0  # the crop must not follow nods: head motion belongs to the keypoints
_SAME_FACE_SHARE = 0.5  # two detections nearer than this share of the face's height are one face


@dataclass(frozen=True)
class Face:
    """One detected face: keypoints [70, 2] and box (left, top, right, bottom) of the whole mesh, pixels."""

    keypoints: np.ndarray
    box: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        return (self.box[:2] + self.box[2:]) / 2

    @property
    def height(self) -> float:
        return float(self.box[3] - self.box[1])


class FaceTracker:
    """FaceMesh in static mode: each frame on its own, so the order of frames cannot change a result."""

    def __init__(self, min_detection_confidence: float):
        import mediapipe

        self._is_warm = False
        with _without_native_messages(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # protobuf's deprecations inside mediapipe
            self._mesh = mediapipe.solutions.face_mesh.FaceMesh(
                static_image_mode=True,
                max_num_faces=2,
                refine_landmarks=True,
                min_detection_confidence=min_detection_confidence,
            )
            self._mesh.process(np.zeros((64, 64, 3), np.uint8))  # returns when all of its threads have started

    def faces(self, frame: np.ndarray) -> list[Face]:
        """Distinct faces in a frame (uint8 [height, width, 3], RGB), the largest first; at most 2."""
        quiet = nullcontext() if self._is_warm else _without_native_messages()
        with quiet, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = self._mesh.process(frame).multi_face_landmarks or []
        self._is_warm = self._is_warm or bool(found)
        size = np.array([frame.shape[1], frame.shape[0]], np.float64)
        faces = [_face(np.array([(p.x, p.y) for p in one.landmark]) * size) for one in found]
        faces.sort(key=lambda face: -face.height)
        return [f for i, f in enumerate(faces) if not any(_same(f, other) for other in faces[:i])]

    def keypoints(self, frame: np.ndarray) -> np.ndarray | None:
        """float32 [70, 2] of the largest face, pixels; None where there is no face."""
        faces = self.faces(frame)
        return faces[0].keypoints if faces else None

    def close(self) -> None:
        self._mesh.close()

    def __enter__(self) -> FaceTracker:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


@contextmanager
def _without_native_messages() -> Iterator[None]:
    """Hide what MediaPipe's C++ part says on standard error until its first face; no setting of its own does."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _face(mesh: np.ndarray) -> Face:
    box = np.concatenate([mesh.min(axis=0), mesh.max(axis=0)])
    return Face(mesh[KEYPOINT_MAP].astype(np.float32), box)


def _same(a: Face, b: Face) -> bool:
    return bool(np.linalg.norm(a.centre - b.centre) < _SAME_FACE_SHARE * max(a.height, b.height))


@dataclass(frozen=True)
class FaceTrack:
    """Where the face is: smoothed centres [T, 2] and the median height over the clip, pixels of the full frame."""

    centres: np.ndarray
    height: float
    frame_size: tuple[int, int]  # width, height


@dataclass(frozen=True)
class FaceClip:
    """uint8 crops [T, crop_px, crop_px, 3], float32 keypoints [T, 70, 2] in their pixels, and the way back."""

    crops: np.ndarray
    keypoints: np.ndarray
    transform: CropTransform


def face_clip(
    frames: Iterable[np.ndarray], tracker: FaceTracker, face: FaceConfig, *, fps: int, place: str = "clip"
) -> FaceClip:
    """Crops and keypoints of a clip; `frames` is iterated twice (an array, a list, or `media.clips.ClipFrames`).

    Raises:
        FaceError: no face for longer than `MAX_GAP_SECONDS`, or two faces; names the times.
    """
    track = track_clip(frames, tracker, fps=fps, place=place)
    return crop_clip(
        frames, track, tracker, crop_px=face.crop_px, crop_face_share=face.crop_face_share, fps=fps, place=place
    )


def track_clip(frames: Iterable[np.ndarray], tracker: FaceTracker, *, fps: int, place: str = "clip") -> FaceTrack:
    """First pass: where the one face is in the full frames. Every third frame is looked at.

    Raises:
        FaceError: no face at all, or two faces in successive looks.
    """
    seen: dict[int, Face] = {}
    crowded: list[int] = []
    n_frames, size = 0, (0, 0)
    for index, frame in enumerate(frames):
        n_frames, size = index + 1, (frame.shape[1], frame.shape[0])
        if index % _BOX_STRIDE:
            continue
        faces = tracker.faces(frame)
        if faces:
            seen[index] = faces[0]
        if len(faces) > 1:
            crowded.append(index)
    _check_one_face(crowded, n_frames, fps, place)
    if not seen:
        raise FaceError(
            f"{place}: no face in {n_frames / fps:.2f} s of picture. Show one face, from the front, well lit."
        )
    centres = np.stack([face.centre for face in seen.values()])
    path = np.stack([np.interp(np.arange(n_frames), list(seen), centres[:, axis]) for axis in (0, 1)], axis=1)
    smooth = gaussian_filter1d(path, _CENTRE_SMOOTHING_SECONDS * fps, axis=0, mode="nearest")
    return FaceTrack(smooth, float(np.median([face.height for face in seen.values()])), size)


def _check_one_face(crowded: list[int], n_frames: int, fps: int, place: str) -> None:
    """A second face in a single look may be a shadow; in two successive ones, or all, it is a person."""
    lasting = [i for i in crowded if i - _BOX_STRIDE in crowded or i + _BOX_STRIDE in crowded]
    if n_frames <= 2 * _BOX_STRIDE:
        lasting = crowded
    if lasting:
        raise FaceError(
            f"{place}: two faces from {lasting[0] / fps:.2f} s to {(lasting[-1] + 1) / fps:.2f} s; only one person may "
            "be in the picture. Crop or cover the other one."
        )


def crop_clip(
    frames: Iterable[np.ndarray],
    track: FaceTrack,
    tracker: FaceTracker,
    *,
    crop_px: int,
    crop_face_share: float,
    fps: int,
    place: str = "clip",
) -> FaceClip:
    """Second pass: the crops, and the keypoints tracked in them (a small face is enlarged first).

    Raises:
        FaceError: the face is lost for longer than `MAX_GAP_SECONDS`; names the times.
    """
    side = track.height / crop_face_share
    transform = CropTransform(inside(track.centres, side, track.frame_size), side, crop_px)
    crops = np.empty((len(track.centres), crop_px, crop_px, 3), np.uint8)
    keypoints = np.full((len(crops), N_KEYPOINTS, 2), np.nan, np.float32)
    for index, frame in enumerate(frames):
        crops[index] = crop_frame(frame, transform.centres[index], side, crop_px)
        found = tracker.keypoints(crops[index])
        if found is not None:
            keypoints[index] = found
    _fill(crops, keypoints, fps, place)
    return FaceClip(crops, keypoints, transform)


def _lost_edges(found: np.ndarray, fps: int) -> np.ndarray:
    """Mask [T] of a beginning and an end without a face, longer than a gap may be but short enough to be held.

    Four GRID clips begin so: grey, because the coder that made them lacked a key frame. A margin is held with them.
    """
    lost = np.zeros_like(found)
    margin = round(_EDGE_MARGIN_SECONDS * fps)
    for begin, end in _runs(~found):
        if MAX_GAP_SECONDS * fps < end - begin <= MAX_EDGE_SECONDS * fps:
            if begin == 0:
                lost[: end + margin] = True
            elif end == len(found):
                lost[begin - margin :] = True
    return lost


def _fill(crops: np.ndarray, keypoints: np.ndarray, fps: int, place: str) -> None:
    """Keypoints (NaN where there is no face) are interpolated in place; lost edges are held still, also the crops."""
    found = np.isfinite(keypoints[:, 0, 0])
    edges = _lost_edges(found, fps)
    for begin, end in _runs(~found & ~edges):
        if end - begin > MAX_GAP_SECONDS * fps or not (found & ~edges).any():
            raise FaceError(
                f"{place}: no face from {begin / fps:.2f} s to {end / fps:.2f} s; it may be lost for "
                f"{MAX_GAP_SECONDS} s at most. Cut these seconds, or record with the face in view."
            )
    known = np.flatnonzero(found & ~edges)
    flat = keypoints.reshape(len(keypoints), -1)
    flat[:] = np.stack([np.interp(np.arange(len(flat)), known, column) for column in flat[known].T], axis=1)
    for index in np.flatnonzero(edges):
        crops[index] = crops[known[0] if index < known[0] else known[-1]]


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Half-open stretches [begin, end) where the mask holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


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


def eye_stabilised(keypoints: np.ndarray) -> np.ndarray:
    """Keypoints free of the head's shift, tilt and size: [..., 70, 2] -> [..., 70, 2] in eye distances.

    The similarity that puts the outer eye corners (iBUG 36, 45) on (-1/2, 0) and (1/2, 0).
    """
    points = keypoints[..., 0] + 1j * keypoints[..., 1]
    right, left = points[..., RIGHT_EYE_CORNER], points[..., LEFT_EYE_CORNER]
    moved = (points - ((left + right) / 2)[..., None]) / (left - right)[..., None]
    return np.stack([moved.real, moved.imag], axis=-1).astype(keypoints.dtype)
