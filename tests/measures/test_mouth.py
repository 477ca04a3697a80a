"""Measures of a mouth against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.measures import mouth

N_FRAMES = 23
EYES = (36, 45)


@pytest.fixture
def keypoints(rng: np.random.Generator) -> np.ndarray:
    """[23, 70, 2]: eyes 80 px apart, the other points anywhere below."""
    points = rng.uniform(60, 200, (N_FRAMES, 70, 2)).astype(np.float32)
    points[:, EYES[0]], points[:, EYES[1]] = (88.0, 90.0), (168.0, 90.0)
    return points


def moved(points: np.ndarray, *, angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (points @ turn + np.array(shift)).astype(np.float32)


def test_lip_error_is_blind_to_the_heads_place_size_and_tilt(keypoints: np.ndarray) -> None:
    other = moved(keypoints, angle=0.2, scale=1.3, shift=(-20.0, 9.0))
    assert mouth.lip_error(other, keypoints) < 1e-5  # float32 coordinates of some hundred pixels
    assert mouth.lip_error(keypoints, keypoints) == 0.0


def test_lip_error_counts_lips_in_eye_distances(keypoints: np.ndarray) -> None:
    other = keypoints.copy()
    other[:, 48:68, 1] += 4.0  # 4 of 80 px
    other[:, :17] += 30.0  # the jaw does not count
    assert mouth.lip_error(other, keypoints) == pytest.approx(0.05, rel=1e-4)


def test_mouth_agreement_of_a_half_as_wide_opening(keypoints: np.ndarray) -> None:
    reference = keypoints.copy()
    reference[:, 62] = (128.0, 150.0)
    reference[:, 66, 0] = 128.0
    reference[:, 66, 1] = 150.0 + 8 + 6 * np.sin(np.arange(N_FRAMES))
    other = reference.copy()
    other[:, 66, 1] = 150.0 + 4 + 3 * np.sin(np.arange(N_FRAMES))
    found = mouth.mouth_agreement(other, reference)
    assert found.opening_r == pytest.approx(1.0, abs=1e-5)
    assert found.opening_sd_ratio == pytest.approx(0.5, rel=1e-4)
    assert found.width_r == pytest.approx(1.0)
    assert found.width_sd_ratio == pytest.approx(1.0)


def test_a_still_mouth_has_no_correlation(keypoints: np.ndarray) -> None:
    still = np.repeat(keypoints[:1], N_FRAMES, axis=0)
    found = mouth.mouth_agreement(still, keypoints)
    assert np.isnan(found.opening_r) and found.opening_sd_ratio == pytest.approx(0.0, abs=1e-6)


def test_correlation_needs_three_values() -> None:
    assert np.isnan(mouth.correlation(np.array([1.0, 2.0]), np.array([1.0, 2.0])))


def test_keypoint_distance_by_hand(keypoints: np.ndarray) -> None:
    """35 of 70 points moved by 4 px of 80 px between the eyes, 10 of them among the 20 of the lips."""
    other = keypoints.copy()
    other[:, 3:28, 0] += 4.0
    other[:, 48:58, 1] -= 4.0
    found = mouth.keypoint_distance(other, keypoints)
    assert found.all == pytest.approx(0.05 * 35 / 70, rel=1e-4)
    assert found.mouth == pytest.approx(0.05 * 10 / 20, rel=1e-4)
    assert found.mouth == mouth.lip_error(other, keypoints)
    assert mouth.keypoint_distance(moved(other, angle=0.1, scale=0.8, shift=(5.0, 2.0)), keypoints) == pytest.approx(
        found, rel=1e-3
    )
    assert np.isnan(mouth.keypoint_distance(keypoints[:0], keypoints[:0]).all)
