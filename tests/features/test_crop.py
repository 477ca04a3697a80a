"""The crop's geometry: known pixels land where the transform says; its path: smooth, and still after the face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from avsc_tf.features.crop import CropTransform, crop_frame, crop_path, move_inside, path_jitter, to_frame, to_recorded
from avsc_tf.media.orientation import Orientation

PIXELS = st.floats(-500, 4500, width=32)  # of a 4096-pixel frame, and some outside


@given(
    centres=arrays(np.float32, (3, 2), elements=PIXELS),
    points=arrays(np.float32, (3, 5, 2), elements=PIXELS),
    side=st.floats(20, 2160, width=32),
    crop_px=st.sampled_from([48, 192, 256]),
)
def test_there_and_back(centres, points, side, crop_px):
    """Whatever square: frame to crop and back, and back by what a record stores."""
    transform = CropTransform(centres.astype(np.float64), side, crop_px)
    in_crop = transform.to_crop(points)
    # float32: at most 6000 pixels of the frame are up to 77,000 of the crop, 24 bits
    tolerance = 0.01
    np.testing.assert_allclose(transform.to_frame(in_crop), points, atol=tolerance)
    np.testing.assert_allclose(transform.to_crop(transform.to_frame(in_crop)), in_crop, atol=tolerance * crop_px / 20)
    np.testing.assert_array_equal(to_frame(in_crop, centres, np.float32(side), crop_px), transform.to_frame(in_crop))
    middle = transform.to_crop(transform.centres[:, None])
    np.testing.assert_allclose(middle, np.full((3, 1, 2), crop_px / 2), atol=1e-9)


def test_corners_of_the_crop():
    """By hand: a square of 100 around (300, 200), shown at 50 pixels."""
    corners = np.array([[[0, 0], [50, 50], [25, 0]]], np.float32)
    in_frame = to_frame(corners, np.array([[300, 200]], np.float32), np.float32(100), 50)
    np.testing.assert_array_equal(in_frame, [[[250, 150], [350, 250], [300, 150]]])
    assert in_frame.dtype == np.float32


@pytest.mark.parametrize("rotation", [0, 90, 180, 270, -90])
@pytest.mark.parametrize("aspect", [1, 2])
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_way_back_to_the_recorded_picture(rotation, aspect, is_mirrored):
    """The reader widens each pixel by the aspect, mirrors, then turns by `numpy.rot90`."""
    recorded = np.zeros((7, 5))
    recorded[2, 3] = 1  # middle of this pixel: (3.5, 2.5)
    widened = recorded.repeat(aspect, axis=1)
    upright = Orientation(rotation // 90 % 4, is_mirrored).apply(widened)
    rows, columns = np.nonzero(upright)
    point = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
    size = upright.shape[::-1]
    back = to_recorded(point, size, rotation_degrees=rotation, pixel_aspect=aspect, is_mirrored=is_mirrored)
    np.testing.assert_array_equal(back, [3.5, 2.5])


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


def test_only_the_part_around_a_crop_is_averaged(rng):
    """The same picture, once cut close about the crop: the rest of a large frame does not matter."""
    frame = cv2.GaussianBlur(rng.integers(0, 255, (500, 700, 3), dtype=np.uint8), (0, 0), 3)
    centre = np.array([420.3, 230.7])
    crop = crop_frame(frame, centre, 180.0, 60)
    part = crop_frame(frame[100:380, 260:600], centre - (260, 100), 180.0, 60)
    np.testing.assert_array_equal(crop, part)
    # the plain mean over the square's 3 x 3 pixels, from a frame moved to whole pixels
    plain = cv2.resize(frame[141:321, 330:510], (60, 60), interpolation=cv2.INTER_AREA)
    assert np.abs(crop.astype(int) - plain).mean() < 3  # 0.3 pixels aside, on a slope of a few grey levels a pixel


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
    moved = move_inside(centres, 80.0, (200, 100))
    # half a side is 40: (50, 50) fits; 35 -> 40 and 98 -> 60 asks 38, at most 8; 10 -> 40 asks 30, at most 8
    np.testing.assert_allclose(moved, [[50, 50], [40, 90], [18, 50]])
    # a square larger than the frame goes to its middle as far as allowed
    np.testing.assert_allclose(move_inside(np.array([[95.0, 55.0]]), 300.0, (200, 100)), [[100, 50]])


FRAME = (1280, 720)
SIDE = 200.0


def test_a_still_face_gets_a_still_crop(rng):
    found = np.array([600.0, 300.0]) + rng.normal(0, 2, (90, 2))
    path = crop_path(found, SIDE, FRAME, fps=25)
    np.testing.assert_allclose(path.mean(axis=0), found.mean(axis=0), atol=1e-6)  # the smoother keeps the mean
    assert path_jitter(path) < path_jitter(found) / 1000
    assert np.ptp(path, axis=0).max() < 4  # what is left of white noise in one second's mean: 2 / 5, some times over


@given(start=st.floats(300, 400), speed=st.floats(-3, 9))
def test_steady_movement_is_followed_without_lag(start, speed):
    line = np.stack([start + speed * np.arange(60.0), np.full(60, 333.0)], axis=1)
    # a straight line is what the penalty allows for nothing; sparse solution of 60 equations, condition 1e7
    np.testing.assert_allclose(crop_path(line, SIDE, FRAME, fps=25), line, atol=1e-4)


@pytest.mark.parametrize("n_frames", [1, 2, 3, 50])
def test_the_face_stays_near_the_middle(n_frames):
    """Somebody who walks to and fro: a tenth of the side at most, with the softest path that does it."""
    k = np.arange(n_frames)
    face = np.stack([600 + 150 * np.sin(2 * np.pi * k / 50), 300 + 4 * np.sin(2 * np.pi * k / 12)], axis=1)
    path = crop_path(face, SIDE, FRAME, fps=25)
    assert path.shape == (n_frames, 2)
    assert np.abs(path - face).max() <= 0.1 * SIDE
    if n_frames == 50:
        assert np.ptp(path[:, 1]) < 4  # nods of 8 are left to the keypoints, however fast he walks


def test_the_path_meets_the_border_softly():
    """A face that walks to the edge: the crop stays inside as long as it may, without a sudden stop."""
    face = np.stack([np.linspace(300, 110, 60), np.full(60, 300.0)], axis=1)
    wanted, path = move_inside(face, SIDE, FRAME), crop_path(face, SIDE, FRAME, fps=25)
    np.testing.assert_array_equal(wanted, face)  # half a side is 100: nothing to do yet
    face[:, 0] -= 60
    wanted, path = move_inside(face, SIDE, FRAME), crop_path(face, SIDE, FRAME, fps=25)
    assert np.ptp(wanted[-5:, 0]) > 0  # beyond 0.1 of the side the crop goes on
    assert path_jitter(path) < path_jitter(wanted) / 5
    assert np.abs(path - face).max() <= 0.2 * SIDE  # shift and smoothing, a tenth each


def test_jitter_by_hand():
    """Second differences of (0, 3, 0, 0) and zeros: -6, 3; root of (36 + 9) / 2."""
    path = np.array([[0.0, 5.0], [3.0, 5.0], [0.0, 5.0], [0.0, 5.0]])
    assert path_jitter(path) == pytest.approx(np.sqrt(22.5))
