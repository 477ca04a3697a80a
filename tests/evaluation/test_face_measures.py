"""Measures of a face against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.evaluation import face

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
    assert face.lip_error(other, keypoints) < 1e-5  # float32 coordinates of some hundred pixels
    assert face.lip_error(keypoints, keypoints) == 0.0


def test_lip_error_counts_lips_in_eye_distances(keypoints: np.ndarray) -> None:
    other = keypoints.copy()
    other[:, 48:68, 1] += 4.0  # 4 of 80 px
    other[:, :17] += 30.0  # the jaw does not count
    assert face.lip_error(other, keypoints) == pytest.approx(0.05, rel=1e-4)


def test_mouth_agreement_of_a_half_as_wide_opening(keypoints: np.ndarray) -> None:
    reference = keypoints.copy()
    reference[:, 62] = (128.0, 150.0)
    reference[:, 66, 0] = 128.0
    reference[:, 66, 1] = 150.0 + 8 + 6 * np.sin(np.arange(N_FRAMES))
    other = reference.copy()
    other[:, 66, 1] = 150.0 + 4 + 3 * np.sin(np.arange(N_FRAMES))
    found = face.mouth_agreement(other, reference)
    assert found.opening_r == pytest.approx(1.0, abs=1e-5)
    assert found.opening_sd_ratio == pytest.approx(0.5, rel=1e-4)
    assert found.width_r == pytest.approx(1.0)
    assert found.width_sd_ratio == pytest.approx(1.0)


def test_a_still_mouth_has_no_correlation(keypoints: np.ndarray) -> None:
    still = np.repeat(keypoints[:1], N_FRAMES, axis=0)
    found = face.mouth_agreement(still, keypoints)
    assert np.isnan(found.opening_r) and found.opening_sd_ratio == pytest.approx(0.0, abs=1e-6)


def test_similarity_of_an_image_with_itself_and_with_another(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (31, 40, 3)).astype(np.uint8)
    assert np.allclose(face.structural_similarity(image, image), 1.0)
    other = rng.integers(0, 256, image.shape).astype(np.uint8)
    assert abs(face.structural_similarity(image, other).mean()) < 0.1  # independent noise: no structure in common


def test_similarity_of_two_flat_images_is_the_luminance_term() -> None:
    a, b = np.full((15, 17, 3), 100, np.uint8), np.full((15, 17, 3), 150, np.uint8)
    c1 = 2.55**2
    expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    assert np.allclose(face.structural_similarity(a, b), expected)


def test_similarity_against_its_formula_in_one_window(rng: np.random.Generator) -> None:
    a, b = rng.uniform(0, 255, (2, 13, 11, 1))
    y, x = 6, 5
    p, q = a[y - 3 : y + 4, x - 3 : x + 4].ravel(), b[y - 3 : y + 4, x - 3 : x + 4].ravel()
    covariance = np.cov(p, q, bias=True)
    c1, c2 = 2.55**2, 7.65**2
    expected = (2 * p.mean() * q.mean() + c1) * (2 * covariance[0, 1] + c2)
    expected /= (p.mean() ** 2 + q.mean() ** 2 + c1) * (covariance[0, 0] + covariance[1, 1] + c2)
    assert face.structural_similarity(a, b)[y, x] == pytest.approx(expected)


def test_frame_agreement_sees_the_mouth_box(rng: np.random.Generator) -> None:
    reference = rng.integers(20, 200, (5, 64, 64, 3)).astype(np.uint8)
    frames = reference.copy()
    frames[:, 32:48, 24:40] += 10  # exactly the box about (32, 40): 16 x 16 of 64 x 64
    found = face.frame_agreement(frames, reference, np.tile([32.0, 40.0], (5, 1)))
    assert found.mouth_l1 == pytest.approx(10.0)
    assert found.frame_l1 == pytest.approx(10.0 * 16**2 / 64**2)
    assert found.mouth_ssim < found.frame_ssim < 1.0


def test_mouth_box_stays_inside() -> None:
    assert face.mouth_box(np.array([2.0, 63.0]), 64) == (slice(48, 64), slice(0, 16))


def test_retracking_a_frame_without_a_face() -> None:
    from avsc_tf.features.face import FaceTracker

    with FaceTracker(0.5) as tracker:
        found = face.retrack(np.full((2, 96, 96, 3), 127, np.uint8), tracker, at_px=128)
    assert found.share == 0.0 and found.keypoints.shape == (2, 70, 2)
