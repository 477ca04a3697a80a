"""Face detection in one frame by FaceMesh (MediaPipe, 478 points with irises), in place of the paper's OpenPose."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from avsc_tf.features.keypoints import KEYPOINT_MAP

MAX_FACES = 4  # the speaker and three others; each detected face costs as much again
_SAME_FACE_SHARE = 0.5  # of the face's height: nearer detections are one face
_SMALL_SHARE = 0.15  # of the longer side: at 0.1, FaceMesh misses most faces, with errors of 17 % in height
_CLOSER_HEIGHTS = 3.0  # side of the square in which a small face is detected again, in its heights


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
    """FaceMesh in static mode: the result of a frame does not depend on other frames."""

    def __init__(self, min_detection_confidence: float):
        import mediapipe

        self._confidence = min_detection_confidence
        self._is_warm = False
        self._far_detector: Any = None  # loaded at the first frame without a large face
        with _without_native_messages(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # protobuf's deprecations inside mediapipe
            self._mesh = mediapipe.solutions.face_mesh.FaceMesh(
                static_image_mode=True,
                max_num_faces=MAX_FACES,
                refine_landmarks=True,
                min_detection_confidence=min_detection_confidence,
            )
            self._mesh.process(np.zeros((64, 64, 3), np.uint8))  # returns when all of its threads have started

    def faces(self, frame: np.ndarray) -> list[Face]:
        """Distinct faces in a frame (uint8 [height, width, 3], RGB), the largest first; at most `MAX_FACES`."""
        quiet = nullcontext() if self._is_warm else _without_native_messages()
        with quiet, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = self._mesh.process(frame).multi_face_landmarks or []
        self._is_warm = self._is_warm or bool(found)
        size = np.array([frame.shape[1], frame.shape[0]], np.float64)
        return _distinct([_face(np.array([(p.x, p.y) for p in one.landmark]) * size) for one in found])

    def faces_near_and_far(self, frame: np.ndarray) -> list[Face]:
        """As `faces`; where no large face is detected, also faces below a tenth of the frame's longer side.

        FaceMesh's own detector is made for faces near the camera. For small faces MediaPipe's full-range detector
        searches the frame, and FaceMesh processes an enlarged square around each detection.
        """
        near = self.faces(frame)
        if near and near[0].height >= _SMALL_SHARE * max(frame.shape[:2]):
            return near
        places = [(face.centre, face.height) for face in near] + self._far_places(frame)
        closer = [self._closer(frame, centre, height) for centre, height in places]
        return _distinct([face for face in closer if face is not None]) or near

    def _far_places(self, frame: np.ndarray) -> list[tuple[np.ndarray, float]]:
        """Approximate centres and heights of faces, by the full-range detector."""
        with _without_native_messages() if self._far_detector is None else nullcontext():
            if self._far_detector is None:
                import mediapipe

                self._far_detector = mediapipe.solutions.face_detection.FaceDetection(
                    model_selection=1, min_detection_confidence=self._confidence
                )
            found = self._far_detector.process(frame).detections or []
        boxes = [one.location_data.relative_bounding_box for one in found[:MAX_FACES]]
        size = np.array([frame.shape[1], frame.shape[0]], np.float64)
        middles = [np.array([b.xmin + b.width / 2, b.ymin + b.height / 2]) * size for b in boxes]
        return [(middle, box.height * size[1]) for middle, box in zip(middles, boxes, strict=True)]

    def _closer(self, frame: np.ndarray, centre: np.ndarray, height: float) -> Face | None:
        """Detect the face in a square around a place; coordinates are those of the frame."""
        size = np.array([frame.shape[1], frame.shape[0]])
        half = _CLOSER_HEIGHTS / 2 * height
        low = np.clip(np.floor(centre - half), 0, size - 1).astype(int)
        high = np.clip(np.ceil(centre + half), low + 1, size).astype(int)
        faces = self.faces(np.ascontiguousarray(frame[low[1] : high[1], low[0] : high[0]]))
        if not faces:
            return None
        face = min(faces, key=lambda one: float(np.linalg.norm(one.centre + low - centre)))
        return Face(face.keypoints + low.astype(np.float32), face.box + np.tile(low, 2))

    def keypoints(self, frame: np.ndarray) -> np.ndarray | None:
        """Keypoints of the largest face, float32 [70, 2] in pixels, or None without a face."""
        faces = self.faces(frame)
        return faces[0].keypoints if faces else None

    def close(self) -> None:
        self._mesh.close()
        if self._far_detector is not None:
            self._far_detector.close()

    def __enter__(self) -> FaceTracker:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


@contextmanager
def _without_native_messages() -> Iterator[None]:
    """Suppress MediaPipe's C++ messages on standard error until its first face; MediaPipe has no setting for it."""
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


def _distinct(faces: list[Face]) -> list[Face]:
    """Sort faces by height, largest first, and drop the smaller of two detections of one face."""
    faces = sorted(faces, key=lambda face: -face.height)
    return [f for i, f in enumerate(faces) if not any(_same(f, other) for other in faces[:i])]


def _same(a: Face, b: Face) -> bool:
    return bool(np.linalg.norm(a.centre - b.centre) < _SAME_FACE_SHARE * max(a.height, b.height))
