"""Finding the face again in finished frames."""

from __future__ import annotations

import numpy as np

from avsc_tf.measures import tracked_face as face


def test_retracking_a_frame_without_a_face() -> None:
    from avsc_tf.features.face_mesh import FaceTracker

    with FaceTracker(0.5) as tracker:
        found = face.retrack(np.full((2, 96, 96, 3), 127, np.uint8), tracker, at_px=128)
    assert found.share == 0.0 and found.keypoints.shape == (2, 70, 2)
