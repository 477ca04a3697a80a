"""The warp of a texture: splines against SciPy's, sampling against SciPy's, and pictures that must not change."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import map_coordinates

from avsc_tf.layers.warp import (
    FaceWarp,
    InsideFace,
    border_points,
    displacement_field,
    enlarged,
    pixel_centres,
    sampled,
)


def spread(rng, batch: int, n: int) -> np.ndarray:
    """Points inside the picture, no two nearer than the cells of a raster."""
    places = pixel_centres(7).reshape(-1, 2)
    chosen = np.stack([rng.permutation(len(places))[:n] for _ in range(batch)])
    return (places[chosen] + rng.uniform(-0.03, 0.03, (batch, n, 2))).astype(np.float32)


@pytest.mark.parametrize("smoothing", [1e-5, 1e-3])
def test_field_is_the_thin_plate_spline(rng, smoothing):
    points = spread(rng, 2, 11)
    moved = points + rng.normal(0, 0.03, points.shape).astype(np.float32)
    field = np.asarray(displacement_field(points, moved, smoothing=smoothing, steps=9))
    border = border_points()
    for b in range(2):
        anchors = np.concatenate([points[b], border])
        shifts = np.concatenate([moved[b] - points[b], np.zeros_like(border)])
        reference = RBFInterpolator(anchors, shifts, kernel="thin_plate_spline", smoothing=smoothing)
        expected = reference(pixel_centres(9).reshape(-1, 2)).reshape(9, 9, 2)
        np.testing.assert_allclose(field[b], expected, atol=2e-4)  # float32 solve, a fiftieth of a pixel at 128


def test_border_is_sixteen_different_points_on_the_border():
    points = border_points()
    assert len(np.unique(points, axis=0)) == 16
    assert ((points == 0) | (points == 1)).any(axis=1).all()


def test_the_border_hardly_moves(rng):
    points = spread(rng, 3, 13)
    field = np.asarray(displacement_field(points, points + np.float32(0.05), smoothing=1e-3, steps=33))
    assert np.abs(field[:, 16, 16]).mean() > 0.04  # inside nearly all of 0.05
    assert np.abs(field[:, 0, 16]).max() < 0.02  # beside a fixed point, half a cell from the border


def test_sampling_against_scipy(rng):
    pictures = rng.normal(size=(2, 7, 9, 3)).astype(np.float32)
    positions = rng.uniform(-0.1, 1.1, (2, 5, 4, 2)).astype(np.float32)
    found = np.asarray(sampled(pictures, positions))
    for b in range(2):
        for c in range(3):
            places = [positions[b, ..., 1] * 7 - 0.5, positions[b, ..., 0] * 9 - 0.5]
            expected = map_coordinates(pictures[b, ..., c], places, order=1, mode="nearest")
            np.testing.assert_allclose(found[b, ..., c], expected, atol=1e-5)  # float32 positions of up to 9 pixels


def test_enlarging_keeps_a_slope(rng):
    slope = pixel_centres(8)[None]
    inner = slice(4, -4)  # the outer half cell is repeated
    np.testing.assert_allclose(enlarged(slope, 32)[0, inner, inner], pixel_centres(32)[inner, inner], atol=1e-6)
    assert enlarged(slope, 8) is slope


def face_warp(rng, *, size_px: int, texture_px: int, channels: int = 3) -> tuple[keras.Model, np.ndarray]:
    """A warp of 12 keypoints, and their mean shape in pixels of a crop of 40."""
    layer = FaceWarp(size_px, crop_px=40, smoothing=1e-5)
    texture, keypoints = keras.Input((texture_px, texture_px, channels)), keras.Input((24,))
    model = keras.Model([texture, keypoints], layer([texture, keypoints]))
    mean = spread(rng, 1, 12)[0] * 40
    layer.set_weights([mean.reshape(-1), np.full(24, 2.0, np.float32)])
    return model, mean


def test_mean_shape_shows_the_texture_itself(rng):
    model, _ = face_warp(rng, size_px=32, texture_px=32)
    texture = rng.normal(size=(2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(model([texture, np.zeros((2, 24), np.float32)]), texture, atol=1e-3)  # 1e-4 of a pixel


def test_a_spot_goes_with_its_keypoint(rng):
    """The texture is drawn finer than the frame."""
    model, mean = face_warp(rng, size_px=80, texture_px=120, channels=1)
    keypoints = rng.normal(0, 0.6, (4, 12, 2)).astype(np.float32)  # deviations of 2 pixels of 40
    texture = np.zeros((4, 120, 120, 1), np.float32)
    for b in range(4):
        distance = np.linalg.norm(pixel_centres(120) * 40 - mean[b], axis=-1)
        texture[b, ..., 0] = np.exp(-((distance / 1.0) ** 2))
    painted = np.asarray(model([texture, keypoints.reshape(4, -1)]))[..., 0]
    for b in range(4):
        weight = painted[b] / painted[b].sum()
        centre = np.tensordot(weight, pixel_centres(80) * 40, axes=([0, 1], [0, 1]))
        wanted = mean[b] + 2 * keypoints[b, b]
        assert np.linalg.norm(2 * keypoints[b, b]) > 0.3
        np.testing.assert_allclose(centre, wanted, atol=0.25)  # the spot is stretched, too; it moved by up to 3


def test_inside_the_face_fades(rng):
    layer = InsideFace(6)
    picture = rng.normal(size=(2, 6, 6, 3)).astype(np.float32)
    np.testing.assert_array_equal(layer(picture), picture)
    mask = rng.random((6, 6, 1)).astype(np.float32)
    layer.set_weights([mask])
    np.testing.assert_array_equal(layer(picture), picture * mask)
    assert layer(picture[:, :3, :3]).shape == (2, 6, 6, 3)
    assert not layer.trainable_variables


def test_round_trip(rng, tmp_path):
    model, _ = face_warp(rng, size_px=24, texture_px=30)
    texture, keypoints = rng.normal(size=(3, 30, 30, 3)), rng.normal(size=(3, 24))
    model.save(tmp_path / "warp.keras")
    loaded = keras.models.load_model(tmp_path / "warp.keras")
    np.testing.assert_array_equal(model([texture, keypoints]), loaded([texture, keypoints]))
    assert loaded.layers[-1].get_config() == model.layers[-1].get_config()
