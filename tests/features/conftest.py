"""One face tracker for all tests of faces: FaceMesh takes a second to load."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest


@pytest.fixture(scope="session")
def tracker():
    from avsc_tf.features.face_mesh import FaceTracker

    with FaceTracker(0.5) as made:
        yield made


@pytest.fixture(scope="session")
def real_frames(shared_data):
    """Frames of a GRID clip, uint8 [288, 360, 3], by name; read once."""
    from avsc_tf.media.video import read_frames

    @cache
    def read(name: str) -> list[np.ndarray]:
        return list(read_frames(shared_data / "grid" / f"{name}.mpg", fps=25))

    return read
