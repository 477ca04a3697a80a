"""Which face is followed: painted heads of known size and place in one picture, and real people side by side."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from avsc_tf.core.errors import FaceError
from avsc_tf.demo.speakers.face import FacePainter, FacePose
from avsc_tf.demo.speakers.looks import LOOKS, Expression
from avsc_tf.features.face_mesh import Face
from avsc_tf.features.face_track import nearest_face, track_clip

WIDTH, HEIGHT = 640, 280


@pytest.fixture(scope="module")
def heads() -> dict[str, np.ndarray]:
    """Both demo speakers, [200, 200, 3]; the face itself is about 110 high."""
    return {name: FacePainter(LOOKS[name], size_px=200).render(FacePose(), Expression()) for name in LOOKS}


def _picture(*heads: tuple[np.ndarray, int, int]) -> np.ndarray:
    """Heads at (left, size) on grey, standing on one line; later ones before earlier ones."""
    frame = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    for head, left, size in heads:
        frame[HEIGHT - size :, left : left + size] = cv2.resize(head, (size, size), interpolation=cv2.INTER_AREA)
    return frame


def _face_of(tracker, head: np.ndarray, left: int, size: int) -> np.ndarray:
    return tracker.faces(_picture((head, left, size)))[0].centre


def test_of_two_alike_the_one_nearer_the_middle_is_followed(tracker, heads):
    frame = _picture((heads["target"], 20, 200), (heads["source"], 280, 200))
    track = track_clip([frame] * 9, tracker, fps=25)
    # FaceMesh's own scatter between two pictures, in pixels of a face of 110
    np.testing.assert_allclose(track.centres, [_face_of(tracker, heads["source"], 280, 200)] * 9, atol=3)
    assert track.n_faces == 2
    assert track.others == (0, 3, 6, 8)
    assert track.frame_size == (WIDTH, HEIGHT)


def test_the_larger_one_is_followed_also_at_the_side(tracker, heads):
    frame = _picture((heads["target"], 0, 240), (heads["source"], 250, 160))
    track = track_clip([frame] * 7, tracker, fps=25)
    np.testing.assert_allclose(track.centres[0], _face_of(tracker, heads["target"], 0, 240), atol=3)


def test_who_is_seen_throughout_wins_over_a_larger_passer_by(tracker, heads):
    speaker = (heads["source"], 40, 150)
    frames = [_picture(speaker)] * 30
    frames[9:18] = [_picture(speaker, (heads["target"], 300 + 8 * k, 260)) for k in range(9)]
    track = track_clip(frames, tracker, fps=25)
    np.testing.assert_allclose(track.centres, [_face_of(tracker, *speaker)] * 30, atol=3)
    assert track.n_faces == 2
    assert track.height == pytest.approx(tracker.faces(frames[0])[0].height, rel=0.05)  # not the passer-by's


def test_a_face_in_a_single_look_does_not_count(tracker, heads):
    speaker = (heads["source"], 40, 180)
    frames = [_picture(speaker)] * 21
    frames[9] = _picture(speaker, (heads["target"], 400, 180))
    assert track_clip(frames, tracker, fps=25).n_faces == 1


def test_the_face_nearest_the_last_one(tracker, heads):
    """The speaker walks past somebody who stands still and is as large."""
    walker = [(heads["source"], 20 + 9 * k, 170) for k in range(22)]
    frames = [_picture((heads["target"], 430, 170), one) for one in walker]
    track = track_clip(frames, tracker, fps=25)
    wanted = np.stack([_face_of(tracker, *one) for one in walker])
    # straight between looks; FaceMesh's own scatter between two pictures
    assert np.abs(track.centres - wanted).max() < 5


def _box(x: float, y: float, height: float) -> Face:
    return Face(
        np.zeros((70, 2), np.float32), np.array([x - height / 3, y - height / 2, x + height / 3, y + height / 2])
    )


def test_nearest_in_place_and_size():
    """Known: a face of height 100 at (96, 90)."""
    speaker, beside, larger, small = _box(104, 90, 95), _box(60, 90, 105), _box(100, 90, 155), _box(96, 90, 60)
    faces = [larger, beside, speaker, small]
    assert nearest_face(faces, np.array([96.0, 90.0]), 100.0) is speaker
    assert nearest_face([larger, beside, small], np.array([96.0, 90.0]), 100.0) is beside  # 0.36 heights away
    assert nearest_face([larger, small, _box(96, 145, 100)], np.array([96.0, 90.0]), 100.0) is None
    assert nearest_face([], np.array([96.0, 90.0]), 100.0) is None


def test_a_small_face_in_a_wide_picture(tracker, heads):
    """A face of about 75 pixels in 1280, which FaceMesh's own detector does not see."""
    head = cv2.resize(heads["source"], (134, 134), interpolation=cv2.INTER_AREA)
    frame = np.full((720, 1280, 3), 128, np.uint8)
    frame[300:434, 800:934] = head
    alone = tracker.faces(np.ascontiguousarray(frame[250:484, 750:984]))[0]
    track = track_clip([frame] * 5, tracker, fps=25)
    np.testing.assert_allclose(track.centres[2], alone.centre + np.array([750, 250]), atol=1.5)  # 2 % of the face
    assert track.height == pytest.approx(alone.height, rel=0.03)


@pytest.mark.parametrize("n_frames", [1, 2, 4])
def test_short_clips(tracker, heads, n_frames):
    track = track_clip([_picture((heads["source"], 200, 200))] * n_frames, tracker, fps=25)
    assert track.centres.shape == (n_frames, 2)
    assert track.n_faces == 1


@pytest.mark.parametrize("n_frames", [0, 10])
def test_no_face_at_all(tracker, n_frames):
    with pytest.raises(FaceError, match=rf"film: no face in {n_frames / 25:.2f} s of picture"):
        track_clip([_picture()] * n_frames, tracker, fps=25, place="film")


def test_two_real_people_side_by_side(tracker, real_frames):
    """The larger face, about 153 pixels high against 131, on either side."""
    large, small = real_frames("other_speakers/lbax4n")[:16], real_frames("other_speakers/sbwe5n")[:16]
    alone = track_clip(large, tracker, fps=25)
    for pair, left in (((large, small), 0), ((small, large), 360)):
        track = track_clip([np.hstack(frames) for frames in zip(*pair, strict=True)], tracker, fps=25)
        # FaceMesh starts from another square where the picture is twice as wide: 3 % of the face
        np.testing.assert_allclose(track.centres, alone.centres + np.array([left, 0]), atol=5)
        assert track.n_faces == 2
