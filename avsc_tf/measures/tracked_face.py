"""A face that can be tracked again in finished frames. `measures` has what is said of mouths and of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from avsc_tf.features.face_mesh import FaceTracker
from avsc_tf.features.keypoints import N_KEYPOINTS


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
