"""Keypoints and crops of painted faces, whose mouth and place are known, and of real ones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from avsc_tf.config import FaceConfig
from avsc_tf.demo.face import FacePainter, FacePose
from avsc_tf.demo.looks import LOOKS, Expression
from avsc_tf.errors import FaceError
from avsc_tf.features.face import (
    KEYPOINT_MAP,
    LIPS,
    PUPILS,
    FaceTracker,
    eye_distance,
    eye_stabilised,
    face_clip,
    mouth_opening,
    mouth_width,
    track_clip,
)

SETTINGS = FaceConfig(
    crop_px=192,
    crop_face_share=0.55,
    min_detection_confidence=0.5,
    n_keypoints=70,
    vgg_px=32,
    vgg_weights="untrained",
    vgg_dtype="float32",
    vgg_batch=4,
    n_vgg=4096,
)
BLANK = np.full((240, 320, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def tracker():
    with FaceTracker(0.5) as made:
        yield made


@pytest.fixture(scope="module")
def painter() -> FacePainter:
    return FacePainter(LOOKS["source"], size_px=200)


def _frame(painter: FacePainter, left: int = 60, top: int = 20, **pose: float) -> np.ndarray:
    """The painted head at a place in a grey 320 x 240 picture."""
    frame = BLANK.copy()
    frame[top : top + 200, left : left + 200] = painter.render(FacePose(**pose), Expression())
    return frame


def test_map_has_each_point_once():
    assert KEYPOINT_MAP.shape == (70,)
    assert len(set(KEYPOINT_MAP.tolist())) == 70
    assert KEYPOINT_MAP[PUPILS].tolist() == [468, 473]
    # by hand from FaceMesh's picture: chin, nose tip, outer eye corners, mouth corners, inner lips
    assert KEYPOINT_MAP[[8, 30, 36, 45, 48, 54, 62, 66]].tolist() == [152, 4, 33, 263, 61, 291, 13, 14]


def test_keypoints_sit_in_ibug_order(tracker, painter):
    points = tracker.keypoints(_frame(painter))
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


def test_mouth_follows_the_painted_one(tracker, painter):
    openings = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    points = np.stack([tracker.keypoints(_frame(painter, mouth_opening=o)) for o in openings])
    measured = mouth_opening(points)
    assert measured.shape == (6,)
    assert np.corrcoef(measured, openings)[0, 1] > 0.95  # a tracker of faces, not of this drawing
    widths = mouth_width(np.stack([tracker.keypoints(_frame(painter, mouth_width=w)) for w in (-0.8, 0.8)]))
    assert widths[1] > 1.1 * widths[0]


def test_order_of_frames_does_not_matter(tracker, painter):
    first, second = _frame(painter, mouth_opening=0.7), _frame(painter, left=20, roll_degrees=8)
    expected = tracker.keypoints(second)
    tracker.keypoints(first)
    np.testing.assert_array_equal(tracker.keypoints(second), expected)


def test_stabilised_points_ignore_shift_turn_and_size(rng):
    points = rng.normal(100, 30, (3, 70, 2))
    angle, size = 0.3, 1.7
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    moved = size * points @ turn + np.array([5, -40])
    still = eye_stabilised(points)
    np.testing.assert_allclose(eye_stabilised(moved), still, atol=1e-10)  # float64
    np.testing.assert_allclose(still[:, 36], [[-0.5, 0]] * 3, atol=1e-12)
    np.testing.assert_allclose(still[:, 45], [[0.5, 0]] * 3, atol=1e-12)
    np.testing.assert_allclose(mouth_opening(moved), mouth_opening(points))
    np.testing.assert_allclose(mouth_width(still), np.linalg.norm(still[:, 48] - still[:, 54], axis=-1))
    np.testing.assert_allclose(eye_distance(moved), size * eye_distance(points))


def test_clip_of_a_moving_head(tracker, painter):
    frames = [_frame(painter, left=40 + k, mouth_opening=0.5 + 0.5 * np.sin(k)) for k in range(24)]
    clip = face_clip(frames, tracker, SETTINGS, fps=25)
    assert clip.crops.shape == (24, 192, 192, 3)
    assert clip.crops.dtype == np.uint8
    assert clip.keypoints.shape == (24, 70, 2)
    direct = np.stack([tracker.keypoints(frame) for frame in frames])
    in_frame = clip.transform.to_frame(clip.keypoints)
    # two passes of a tracker over the same face at other scales: 1 % of the face's 110 pixels
    assert np.abs(in_frame - direct).mean() < 1.5
    # the smoothed path lags a steady movement at its ends only
    assert np.abs(np.diff(clip.transform.centres[:, 0])).max() < 1.5
    assert np.ptp(clip.transform.centres[:, 1]) < 2


def test_face_fills_its_share_of_the_crop(tracker, painter):
    clip = face_clip([_frame(painter)] * 7, tracker, SETTINGS, fps=25)
    box = tracker.faces(clip.crops[3])[0].box
    assert (box[3] - box[1]) / 192 == pytest.approx(0.55, abs=0.03)  # two passes of the tracker differ by pixels
    assert (box[0] + box[2]) / 2 == pytest.approx(96, abs=5)


def test_a_small_face_gives_the_same_mouth(tracker, painter):
    """A face of 60 pixels, as in a wide shot: points are tracked on the enlarged crop."""
    openings = [0.0, 0.5, 1.0] * 4
    frames = [_frame(painter, mouth_opening=o) for o in openings]
    small = [cv2.resize(frame, (160, 120), interpolation=cv2.INTER_AREA) for frame in frames]
    measured = [mouth_opening(face_clip(f, tracker, SETTINGS, fps=25).keypoints) for f in (frames, small)]
    assert np.corrcoef(*measured)[0, 1] > 0.97


@pytest.mark.parametrize("lost, fails", [((9, 14), False), ((9, 15), True), ((0, 12), False), ((0, 14), True)])
def test_gaps(tracker, painter, lost, fails):
    """0.2 s = 5 frames inside a clip are interpolated, 0.5 s = 12 frames at its beginning are held."""
    frames = [_frame(painter, left=50 + k) for k in range(30)]
    frames[slice(*lost)] = [BLANK] * (lost[1] - lost[0])
    if fails:
        with pytest.raises(FaceError, match=rf"film: no face from {lost[0] / 25:.2f} s to {lost[1] / 25:.2f} s"):
            face_clip(frames, tracker, SETTINGS, fps=25, place="film")
        return
    clip = face_clip(frames, tracker, SETTINGS, fps=25)
    assert np.isfinite(clip.keypoints).all()
    assert np.abs(np.diff(clip.keypoints[:, 30], axis=0)).max() < 5  # no jump of the nose
    if lost[0] == 0:
        # 0.25 s after the gap are held with it: frames 12 to 17
        np.testing.assert_array_equal(clip.crops[:18], np.broadcast_to(clip.crops[18], (18, 192, 192, 3)))
        assert (clip.crops[19] != clip.crops[18]).any()


def test_no_face_at_all(tracker):
    with pytest.raises(FaceError, match=r"film: no face in 0\.40 s"):
        track_clip([BLANK] * 10, tracker, fps=25, place="film")


def test_two_faces(tracker, painter):
    one = cv2.resize(_frame(painter)[20:220, 60:260], (150, 150), interpolation=cv2.INTER_AREA)
    frame = BLANK.copy()
    frame[40:190, :150] = one
    frames = [frame.copy() for _ in range(20)]
    for k in range(8, 16):
        frames[k][40:190, 160:310] = one
    with pytest.raises(FaceError, match=r"film: two faces from 0\.36 s to 0\.64 s"):  # looks at 9, 12, 15
        track_clip(frames, tracker, fps=25, place="film")
    passing = [frame.copy() for _ in range(20)]
    passing[9][40:190, 160:310] = one  # a single look may be mistaken
    assert track_clip(passing, tracker, fps=25).centres.shape == (20, 2)


def test_real_face(tracker, shared_data):
    from avsc_tf.media.video import read_frames

    frames = list(read_frames(shared_data / "grid" / "s1" / "bbaf2n.mpg", fps=25))[:40]
    clip = face_clip(frames, tracker, SETTINGS, fps=25)
    lips = clip.keypoints[:, LIPS]
    # the mouth is in the lower middle of the crop in every frame
    assert (lips > 48).all()
    assert (lips[..., 0] < 144).all()
    assert (lips[..., 1] > 96).all()
    assert 0.04 < np.ptp(mouth_opening(clip.keypoints)) < 0.5
