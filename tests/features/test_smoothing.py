"""Steadied keypoints: the head's tremble goes, its steady movement and the mouth stay."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.features.keypoints import mouth_opening
from avsc_tf.features.smoothing import smooth_keypoints

N_FRAMES = 50


@pytest.fixture
def talking(rng: np.random.Generator) -> np.ndarray:
    """[50, 70, 2]: a head that drifts steadily and lips that open and close in it."""
    shape = rng.uniform(60, 200, (70, 2))
    shape[36], shape[45] = (90, 90), (170, 90)
    points = np.repeat(shape[None], N_FRAMES, axis=0)
    points[:, 62], points[:, 66] = (128.0, 170.0), (128.0, 175.0)
    points[:, 66, 1] += 5 * np.sin(np.arange(N_FRAMES) / 2)
    return points + np.arange(N_FRAMES)[:, None, None] * np.array([0.3, -0.1])


def tremble(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 1.0, (N_FRAMES, 1, 2))


def test_zero_changes_nothing(talking, rng):
    shaken = talking + tremble(rng)
    np.testing.assert_allclose(smooth_keypoints(shaken, head_frames=0, face_frames=0), shaken, atol=1e-9)


def test_steady_movement_is_kept(talking):
    """A drift is followed without lag, at the ends as well."""
    np.testing.assert_allclose(smooth_keypoints(talking, head_frames=5, face_frames=0), talking, atol=1e-6)


def test_the_heads_tremble_goes_and_the_mouth_stays(talking, rng):
    shaken = talking + tremble(rng)
    steady = smooth_keypoints(shaken, head_frames=4, face_frames=0)

    def jitter(points):
        return np.abs(np.diff(points[:, 27:36], n=2, axis=0)).mean()

    assert jitter(steady) < 0.1 * jitter(shaken)
    np.testing.assert_allclose(mouth_opening(steady), mouth_opening(shaken), rtol=1e-6)


def test_a_turn_and_a_change_of_size_are_the_heads_too(talking, rng):
    turn = (1 + 0.01 * rng.normal(size=N_FRAMES)) * np.exp(0.01j * rng.normal(size=N_FRAMES))
    points = (talking[..., 0] + 1j * talking[..., 1] - (128 + 128j)) * turn[:, None] + (128 + 128j)
    shaken = np.stack([points.real, points.imag], axis=-1)
    steady = smooth_keypoints(shaken, head_frames=4, face_frames=0)
    error = [np.abs(x - talking)[:, 48:60].mean() for x in (steady, shaken)]
    assert error[0] < 0.6 * error[1]  # white noise of all frames, of which some tenth lies below the smoother's limit


def test_the_face_is_smoothed_where_asked(talking, rng):
    shaken = (talking + rng.normal(0, 0.5, talking.shape)).astype(np.float32)
    steady = smooth_keypoints(shaken, head_frames=0, face_frames=1)
    assert np.abs(steady - talking)[:, :17].mean() < 0.8 * np.abs(shaken - talking)[:, :17].mean()
    assert steady.dtype == np.float32
