"""FaceMesh (MediaPipe, 478 points with irises) finds the faces of one frame; it stands for the paper's OpenPose."""

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

MAX_FACES = 4  # the speaker and three others; each one seen costs as much again, those not there cost nothing
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
