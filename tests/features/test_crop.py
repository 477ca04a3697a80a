"""The crop's geometry: known pixels land where the transform says."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.features.crop import CropTransform, crop_frame, inside


def test_there_and_back(rng):
    transform = CropTransform(rng.normal(100, 5, (4, 2)), 173.0, 64)
    points = rng.uniform(0, 200, (4, 9, 2))
    # float32 results
    np.testing.assert_allclose(transform.to_frame(transform.to_crop(points)), points, atol=1e-4)
    centre = transform.to_crop(transform.centres[:, None])
    np.testing.assert_allclose(centre, np.full((4, 1, 2), 32), atol=1e-5)


@pytest.mark.parametrize("side, crop_px", [(40.0, 80), (64.0, 64), (90.0, 45), (131.0, 50)])
def test_a_spot_lands_where_the_transform_says(side, crop_px):
    frame = np.zeros((150, 170, 3), np.uint8)
    frame[60:66, 80:88] = 255  # centre (84, 63) in edge coordinates
    centre = np.array([81.3, 66.9])
    crop = crop_frame(frame, centre, side, crop_px)[..., 0].astype(float)
    y, x = np.mgrid[:crop_px, :crop_px] + 0.5
    found = np.array([(x * crop).sum(), (y * crop).sum()]) / crop.sum()
    expected = CropTransform(centre[None], side, crop_px).to_crop(np.array([[[84.0, 63.0]]]))[0, 0]
    np.testing.assert_allclose(found, expected, atol=0.08)  # OpenCV interpolates at 1/32 pixel, 8 bit


def test_the_same_square_is_a_copy(rng):
    frame = rng.integers(0, 255, (60, 50, 3), dtype=np.uint8)
    np.testing.assert_array_equal(crop_frame(frame, np.array([26.0, 31.0]), 20.0, 20), frame[21:41, 16:36])


def test_a_large_square_is_averaged():
    """A fine checkerboard becomes grey: sampling single pixels would keep black and white."""
    frame = np.indices((200, 200)).sum(axis=0) % 2 * 255
    frame = np.repeat(frame[..., None], 3, axis=2).astype(np.uint8)
    crop = crop_frame(frame, np.array([100.0, 100.0]), 160.0, 40)
    assert abs(crop.astype(int) - 127).max() <= 2


def test_border_is_repeated():
    frame = np.zeros((40, 60, 3), np.uint8)
    frame[:, 0] = 200
    crop = crop_frame(frame, np.array([0.0, 20.0]), 20.0, 20)
    assert (crop[:, :10] == 200).all()
    assert (crop[:, 11:] == 0).all()


def test_crop_is_moved_into_the_frame():
    centres = np.array([[50.0, 50.0], [35.0, 98.0], [10.0, 50.0]])
    moved = inside(centres, 80.0, (200, 100))
    # half a side is 40: (50, 50) fits; 35 -> 40 and 98 -> 60 asks 38, at most 8; 10 -> 40 asks 30, at most 8
    np.testing.assert_allclose(moved, [[50, 50], [40, 90], [18, 50]])
    # a square larger than the frame goes to its middle as far as allowed
    np.testing.assert_allclose(inside(np.array([[95.0, 55.0]]), 300.0, (200, 100)), [[100, 50]])
