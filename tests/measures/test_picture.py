"""Measures of pictures against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.measures import picture


def test_similarity_of_an_image_with_itself_and_with_another(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (31, 40, 3)).astype(np.uint8)
    assert np.allclose(picture.structural_similarity(image, image), 1.0)
    other = rng.integers(0, 256, image.shape).astype(np.uint8)
    assert abs(picture.structural_similarity(image, other).mean()) < 0.1  # independent noise: no structure in common


def test_similarity_of_two_flat_images_is_the_luminance_term() -> None:
    a, b = np.full((15, 17, 3), 100, np.uint8), np.full((15, 17, 3), 150, np.uint8)
    c1 = 2.55**2
    expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    assert np.allclose(picture.structural_similarity(a, b), expected)


def test_similarity_against_its_formula_in_one_window(rng: np.random.Generator) -> None:
    a, b = rng.uniform(0, 255, (2, 13, 11, 1))
    y, x = 6, 5
    p, q = a[y - 3 : y + 4, x - 3 : x + 4].ravel(), b[y - 3 : y + 4, x - 3 : x + 4].ravel()
    covariance = np.cov(p, q, bias=True)
    c1, c2 = 2.55**2, 7.65**2
    expected = (2 * p.mean() * q.mean() + c1) * (2 * covariance[0, 1] + c2)
    expected /= (p.mean() ** 2 + q.mean() ** 2 + c1) * (covariance[0, 0] + covariance[1, 1] + c2)
    assert picture.structural_similarity(a, b)[y, x] == pytest.approx(expected)


def test_frame_agreement_sees_the_mouth_box(rng: np.random.Generator) -> None:
    reference = rng.integers(20, 200, (5, 64, 64, 3)).astype(np.uint8)
    frames = reference.copy()
    frames[:, 32:48, 24:40] += 10  # exactly the box about (32, 40): 16 x 16 of 64 x 64
    found = picture.frame_agreement(frames, reference, np.tile([32.0, 40.0], (5, 1)))
    assert found.mouth_l1 == pytest.approx(10.0)
    assert found.frame_l1 == pytest.approx(10.0 * 16**2 / 64**2)
    assert found.mouth_ssim < found.frame_ssim < 1.0


def test_mouth_box_stays_inside() -> None:
    assert picture.mouth_box(np.array([2.0, 63.0]), 64) == (slice(48, 64), slice(0, 16))


def noisy_pair() -> tuple[np.ndarray, np.ndarray]:
    """A rough picture, lighter to the right, and the same with noise: uint8 [41, 53, 3], the same everywhere."""
    random = np.random.RandomState(11)  # its stream is frozen by NumPy's policy
    a = random.randint(0, 256, (41, 53, 3)) // 2 + np.linspace(0, 100, 53)[None, :, None]
    a = a.astype(np.uint8)
    return a, np.clip(a + random.randint(-30, 31, a.shape), 0, 255).astype(np.uint8)


def test_similarity_is_that_of_scikit_image() -> None:
    """scikit-image 0.26: structural_similarity(grey a, grey b, win_size=7, data_range=255, full=True,
    use_sample_covariance=False). Its mean leaves out a border of 3 pixels, ours has the whole map."""
    a, b = noisy_pair()
    found = picture.structural_similarity(a, b)
    corners = [found[0, 0], found[20, 30], found[40, 52], found[3, 50]]
    assert corners == pytest.approx([0.8839007425318213, 0.9066244660813126, 0.9448456590047414, 0.895411433586418])
    assert found.mean() == pytest.approx(0.9078927504992926)
    assert found[3:-3, 3:-3].mean() == pytest.approx(0.9099186383962494)


def test_peak_signal_to_noise_ratio_is_that_of_scikit_image() -> None:
    """scikit-image 0.26: peak_signal_noise_ratio(a, b, data_range=255)."""
    assert picture.psnr_db(*noisy_pair()) == pytest.approx(23.20500161153701)


def test_peak_signal_to_noise_ratio_by_hand(rng: np.random.Generator) -> None:
    image = rng.integers(20, 200, (13, 17, 3)).astype(np.uint8)
    assert picture.psnr_db(image + 5, image) == pytest.approx(20 * np.log10(255 / 5))
    assert picture.psnr_db(image, image) == 60.0
    assert picture.psnr_db(image, image, max_db=45.0) == 45.0
    rounded = np.round(rng.uniform(20, 200, (199, 211, 3)))
    exact = rounded + rng.uniform(-0.5, 0.5, rounded.shape)
    assert picture.psnr_db(rounded, exact) == pytest.approx(10 * np.log10(255**2 * 12), abs=0.05)  # 58.9: below 60
    with pytest.raises(ValueError, match="must be alike"):
        picture.psnr_db(image, image[:5])
