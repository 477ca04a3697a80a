"""One face tracker for all tests of faces (FaceMesh takes a second to load), and pictures to show it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from avsc_tf.demo.speakers.face import FacePainter, FacePose
from avsc_tf.demo.speakers.looks import LOOKS, Expression


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


@pytest.fixture(scope="session")
def painter() -> FacePainter:
    return FacePainter(LOOKS["source"], size_px=200)


@pytest.fixture(scope="session")
def portrait(painter):
    """Draws the painted head at a place in a grey 320 x 240 picture."""

    def draw(left: int = 60, top: int = 20, **pose: float) -> np.ndarray:
        frame = np.full((240, 320, 3), 128, np.uint8)
        frame[top : top + 200, left : left + 200] = painter.render(FacePose(**pose), Expression())
        return frame

    return draw
