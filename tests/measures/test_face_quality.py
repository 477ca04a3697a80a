"""Each measure of how a face looks moves the right way when a picture is spoiled in its way, and only then."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy import ndimage

from avsc_tf.measures import face_quality as quality

N_FRAMES, SIDE = 9, 64


@pytest.fixture
def film(rng: np.random.Generator) -> np.ndarray:
    """A still textured picture with a little noise: uint8 [9, 64, 64, 3]."""
    rough = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE, 3)), (0, 0), 1.5)
    picture = 128 + 40 * rough / rough.std()
    return np.clip(picture + rng.normal(0, 1, (N_FRAMES, SIDE, SIDE, 3)), 0, 255).astype(np.uint8)


@pytest.fixture
def keypoints(rng: np.random.Generator) -> np.ndarray:
    """[9, 70, 2], the same in every frame: a face from 10 to 50, its nose from 25 to 35."""
    points = rng.uniform(10, 50, (1, 70, 2))
    points[:, 27:36] = rng.uniform(25, 35, (1, 9, 2))
    points[0, 0], points[0, 1] = (10, 10), (50, 50)
    points[0, 27], points[0, 28] = (25, 25), (35, 35)
    points[0, 36], points[0, 45] = (20, 22), (40, 24)
    return np.repeat(points, N_FRAMES, axis=0).astype(np.float32)


def blurred(film: np.ndarray, sigma: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in film])


def noisy(film: np.ndarray, rng: np.random.Generator, sigma: float) -> np.ndarray:
    return np.clip(film + rng.normal(0, sigma, film.shape), 0, 255).astype(np.uint8)


def test_edges_of_a_slope_by_hand(keypoints):
    slope = np.broadcast_to(3 * np.arange(SIDE, dtype=np.uint8)[None, :, None], (2, SIDE, SIDE, 3))
    assert quality.edge_energy(slope, keypoints[:2]) == pytest.approx(9.0)


def test_edges_fall_with_blur_and_rise_with_noise(film, keypoints, rng):
    def ratio(frames):
        return quality.edge_ratio(frames, keypoints, film, keypoints)

    assert ratio(film) == 1.0
    assert ratio(blurred(film, 2.0)) < ratio(blurred(film, 1.0)) < 0.9
    assert ratio(noisy(film, rng, 12.0)) > 1.1


def test_edges_are_those_of_the_face(film, keypoints):
    outside = film.copy()
    outside[:, 52:] = 0
    assert quality.edge_ratio(outside, keypoints, film, keypoints) == 1.0


def test_a_still_reference_gives_no_share(keypoints):
    flat = np.full((3, SIDE, SIDE, 3), 90, np.uint8)
    assert np.isnan(quality.edge_ratio(flat, keypoints[:3], flat, keypoints[:3]))
    assert np.isnan(quality.flicker_ratio(flat, keypoints[:3], flat, keypoints[:3]))


def test_flicker_by_hand(keypoints):
    """Every other frame 10 levels lighter: the second difference is 20 everywhere; a steady fade has none."""
    frames = np.full((N_FRAMES, SIDE, SIDE, 3), 100, np.uint8)
    frames[::2] += 10
    assert quality.flicker(frames, keypoints) == 20.0
    fading = np.stack([np.full((SIDE, SIDE, 3), 100 + 5 * t, np.uint8) for t in range(N_FRAMES)])
    assert quality.flicker(fading, keypoints) == 0.0
    assert np.isnan(quality.flicker(frames[:2], keypoints[:2]))


def test_flicker_sees_a_tremble_at_the_nose_and_no_lips(film, keypoints, rng):
    trembling = np.stack([np.roll(frame, t % 2, axis=1) for t, frame in enumerate(film)])
    assert quality.flicker_ratio(trembling, keypoints, film, keypoints) > 3.0
    talking = film.copy()
    talking[:, 40:] = rng.integers(0, 256, talking[:, 40:].shape)
    assert quality.flicker_ratio(talking, keypoints, film, keypoints) == 1.0


def test_texture_distance_is_zero_for_itself_and_grows_with_every_spoiling(film, rng):
    assert quality.texture_distance(film, film) == 0.0
    soft, softer = (quality.texture_distance(blurred(film, s), film) for s in (1.0, 3.0))
    assert 0.002 < soft < softer
    some, more = (quality.texture_distance(noisy(film, rng, s), film) for s in (8.0, 30.0))
    assert 0.002 < some < more
    other = np.stack([np.rot90(frame) for frame in film])
    assert quality.texture_distance(other, film) > softer / 2


def test_texture_distance_forgives_what_the_eye_forgives(film):
    """Three quarters of a pixel of shift against a blur that costs as much in grey levels."""
    shift = np.array([[1, 0, 0.75], [0, 1, 0]], np.float64)
    shifted = np.stack([cv2.warpAffine(f, shift, (SIDE, SIDE), flags=cv2.INTER_LANCZOS4) for f in film])
    soft = blurred(film, 1.3)
    crop = (slice(None), slice(4, -4), slice(4, -4))
    error = [np.abs(x[crop].astype(float) - film[crop]).mean() for x in (shifted, soft)]
    assert error[0] > 0.7 * error[1]
    assert quality.texture_distance(shifted[crop], film[crop]) < 0.7 * quality.texture_distance(soft[crop], film[crop])


def slow_texture_distance(image: np.ndarray, reference: np.ndarray, n_scales: int) -> float:
    """The same by its description, with SciPy's filters; edges are mirrored about the outer pixels' centres."""
    y, x = np.mgrid[-3:4, -3:4]
    kernels = []
    for k in range(4):
        along = x * np.cos(np.pi * k / 4) + y * np.sin(np.pi * k / 4)
        envelope = np.exp(-(x**2 + y**2) / (2 * 1.6**2))
        for wave in (np.cos(np.pi * along / 2), np.sin(np.pi * along / 2)):
            kernel = envelope * wave - (envelope * wave).mean()
            kernels.append(kernel / np.abs(kernel).sum())

    def features(picture):
        grey = picture.mean(axis=-1)
        found = [ndimage.correlate(grey, kernel, mode="mirror") for kernel in kernels]
        energies = [np.hypot(found[2 * k], found[2 * k + 1]) for k in range(4)]
        red, green, blue = np.moveaxis(picture, -1, 0)
        channels = [*energies, 0.1 * (red - green), 0.1 * (blue - (red + green) / 2)]
        pooled = np.stack([ndimage.gaussian_filter(c, 1.0, truncate=4, mode="mirror") for c in channels], axis=-1)
        return pooled / np.sqrt((pooled**2).sum(axis=-1, keepdims=True) + 4.0**2)

    def halved(picture):
        kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
        return np.stack([ndimage.correlate(c, kernel, mode="mirror") for c in np.moveaxis(picture, -1, 0)], -1)[
            ::2, ::2
        ]

    a, b, found = image.astype(float), reference.astype(float), []
    for scale in range(n_scales):
        if scale:
            a, b = halved(a), halved(b)
        found.append(((features(a) - features(b)) ** 2).sum(axis=-1).mean())
    return float(np.mean(found))


def test_texture_distance_against_a_slow_implementation(film, rng):
    """Pictures of 40 x 52 have three scales: the fourth would be smaller than the filters. OpenCV works in float32."""
    image, spoiled = film[0, :40, :52], noisy(blurred(film[:1], 0.8), rng, 5.0)[0, :40, :52]
    found = quality.texture_distance(spoiled[None], image[None])
    assert found == pytest.approx(slow_texture_distance(spoiled, image, 3), rel=2e-3)


def test_texture_distance_of_a_picture_smaller_than_its_filters():
    tiny = np.zeros((1, 5, 5, 3), np.uint8)
    with pytest.raises(ValueError, match="7 pixels"):
        quality.texture_distance(tiny, tiny)


def test_eyes_are_laid_on_each_other(film, keypoints):
    turn = 1.1 * np.exp(0.15j)
    matrix = np.array([[turn.real, -turn.imag, 4.0], [turn.imag, turn.real, -6.5]])
    centres = keypoints.astype(np.float64)
    moved_points = centres @ matrix[:, :2].T + matrix[:, 2]
    offset = matrix.copy()
    offset[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5  # pixel centres of OpenCV lie at whole numbers
    smooth = blurred(film, 2.0)
    moved = np.stack([cv2.warpAffine(f, offset, (SIDE, SIDE), flags=cv2.INTER_CUBIC) for f in smooth])
    back = quality.eyes_laid_on(moved, moved_points, keypoints)
    middle = (slice(None), slice(20, 44), slice(20, 44))
    error = np.abs(back[middle].astype(float) - smooth[middle]).mean()
    assert error < 1.5 < np.abs(moved[middle].astype(float) - smooth[middle]).mean()  # two interpolations
