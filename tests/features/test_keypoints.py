"""The 70 keypoints: their order on painted faces, whose mouth and place are known, and what is measured on them."""

from __future__ import annotations

import re

import numpy as np

from avsc_tf.features.keypoints import (
    KEYPOINT_MAP,
    PUPILS,
    eye_distance,
    mouth_opening,
    mouth_width,
    stabilise_by_eyes,
)


def test_map_has_each_point_once():
    assert KEYPOINT_MAP.shape == (70,)
    assert len(set(KEYPOINT_MAP.tolist())) == 70
    assert KEYPOINT_MAP[PUPILS].tolist() == [468, 473]
    # by hand from FaceMesh's picture: chin, nose tip, outer eye corners, mouth corners, inner lips
    assert KEYPOINT_MAP[[8, 30, 36, 45, 48, 54, 62, 66]].tolist() == [152, 4, 33, 263, 61, 291, 13, 14]


def test_the_guide_has_the_same_map(root):
    """The table of docs/keypoints.md: index range, part, FaceMesh numbers."""
    rows = re.findall(
        r"^\| (\d+)(?:-|, )(\d+) \|[^|]*\| ([\d ]+) \|$", (root / "docs/keypoints.md").read_text(encoding="utf-8"), re.M
    )
    assert [int(number) for _, _, numbers in rows for number in numbers.split()] == KEYPOINT_MAP.tolist()
    indices = [i for first, last, _ in rows for i in range(int(first), int(last) + 1)]
    assert indices == list(range(70))


def test_keypoints_sit_in_ibug_order(tracker, portrait):
    points = tracker.keypoints(portrait())
    assert points.shape == (70, 2)
    assert points.dtype == np.float32
    assert points[:, 0].min() > 60
    assert points[:, 0].max() < 260
    x, y = points.T
    assert (np.diff(x[:17]) > -2).all()  # jaw: from the picture's left to its right; points 0-2 are a little uneven
    assert y[8] == y.max()  # chin
    assert x[36] < x[39] < x[42] < x[45]  # eyes
    assert y[19] < y[37] < y[33] < y[51] < y[57]  # brow, eye, nose, upper lip, lower lip
    for pupil, eye in ((68, slice(36, 42)), (69, slice(42, 48))):
        assert x[eye].min() < x[pupil] < x[eye].max()


def test_mouth_follows_the_painted_one(tracker, portrait):
    openings = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    points = np.stack([tracker.keypoints(portrait(mouth_opening=o)) for o in openings])
    measured = mouth_opening(points)
    assert measured.shape == (6,)
    assert np.corrcoef(measured, openings)[0, 1] > 0.95  # a tracker of faces, not of this drawing
    widths = mouth_width(np.stack([tracker.keypoints(portrait(mouth_width=w)) for w in (-0.8, 0.8)]))
    assert widths[1] > 1.1 * widths[0]


def test_order_of_frames_does_not_matter(tracker, portrait):
    first, second = portrait(mouth_opening=0.7), portrait(left=20, roll_degrees=8)
    expected = tracker.keypoints(second)
    tracker.keypoints(first)
    np.testing.assert_array_equal(tracker.keypoints(second), expected)


def test_stabilised_points_ignore_shift_turn_and_size(rng):
    points = rng.normal(100, 30, (3, 70, 2))
    angle, size = 0.3, 1.7
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    moved = size * points @ turn + np.array([5, -40])
    still = stabilise_by_eyes(points)
    np.testing.assert_allclose(stabilise_by_eyes(moved), still, atol=1e-10)  # float64
    np.testing.assert_allclose(still[:, 36], [[-0.5, 0]] * 3, atol=1e-12)
    np.testing.assert_allclose(still[:, 45], [[0.5, 0]] * 3, atol=1e-12)
    np.testing.assert_allclose(mouth_opening(moved), mouth_opening(points))
    np.testing.assert_allclose(mouth_width(still), np.linalg.norm(still[:, 48] - still[:, 54], axis=-1))
    np.testing.assert_allclose(eye_distance(moved), size * eye_distance(points))
