"""The painted head: it moves with the phones, the tracker finds it, and it tracks what was drawn."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.demo.speakers.face import FacePainter, FacePose
from avsc_tf.demo.speakers.looks import EXPRESSIONS, LOOKS
from avsc_tf.demo.speakers.motion import face_poses, mouth_track
from avsc_tf.demo.speakers.phones import PAUSE, TimedPhone

NEUTRAL = EXPRESSIONS["neutral"]


@pytest.fixture(scope="module")
def painters() -> dict[str, FacePainter]:
    return {name: FacePainter(look, size_px=256) for name, look in LOOKS.items()}


@pytest.fixture(scope="module")
def face_mesh():
    from mediapipe.python.solutions.face_mesh import FaceMesh

    with FaceMesh(static_image_mode=True, refine_landmarks=True, max_num_faces=2) as mesh:
        yield mesh


def landmarks(face_mesh, frame) -> np.ndarray:
    """[478, 2] in pixels of the only face."""
    found = face_mesh.process(frame).multi_face_landmarks
    assert found is not None
    assert len(found) == 1
    return np.array([[p.x, p.y] for p in found[0].landmark]) * frame.shape[0]


def opening(points) -> float:
    """Inner lip distance by eye distance."""
    return float(np.linalg.norm(points[13] - points[14]) / np.linalg.norm(points[33] - points[263]))


def test_frames(painters):
    frame = painters["source"].render(FacePose(), NEUTRAL)
    assert frame.shape == (256, 256, 3)
    assert frame.dtype == np.uint8
    np.testing.assert_array_equal(frame, painters["source"].render(FacePose(), NEUTRAL))


def test_sizes_show_the_same_picture(painters):
    small = FacePainter(LOOKS["target"], size_px=64).render(FacePose(mouth_opening=0.6), NEUTRAL).astype(float)
    large = painters["target"].render(FacePose(mouth_opening=0.6), NEUTRAL).astype(float)
    reduced = large.reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
    # 3 of 255: warping at 64 pixels blurs edges a little more
    assert np.abs(small - reduced).mean() < 3


def test_speakers_and_moods_differ(painters):
    frames = {
        (name, mood): painter.render(FacePose(), expression).astype(float)
        for name, painter in painters.items()
        for mood, expression in EXPRESSIONS.items()
    }
    assert np.abs(frames["source", "neutral"] - frames["target", "neutral"]).mean() > 20
    for name in LOOKS:
        for mood in list(EXPRESSIONS)[1:]:
            face = frames[name, mood][70:225, 60:196] - frames[name, "neutral"][70:225, 60:196]
            assert np.abs(face).max() > 60


@pytest.mark.parametrize("name", list(LOOKS))
@pytest.mark.parametrize("mood", list(EXPRESSIONS))
def test_one_face_is_found_and_its_opening_follows(painters, face_mesh, name, mood):
    drawn = np.linspace(0.0, 1.1, 7)
    turned = FacePose(yaw=0.2, pitch=-0.1, roll_degrees=0.9, shift_x=2.0, shift_y=-1.0)
    tracked = []
    for value in drawn:
        pose = FacePose(**{**turned.__dict__, "mouth_opening": float(value), "mouth_width": 0.2})
        tracked.append(opening(landmarks(face_mesh, painters[name].render(pose, EXPRESSIONS[mood]))))
    # 0.95: what the tracker's smoothing of very small openings leaves
    assert np.corrcoef(drawn, tracked)[0, 1] > 0.95
    assert tracked[-1] > tracked[0] + 0.15


@pytest.mark.parametrize("name", list(LOOKS))
def test_pursed_is_narrower_than_spread(painters, face_mesh, name):
    def width(value: float) -> float:
        points = landmarks(face_mesh, painters[name].render(FacePose(0.3, value), NEUTRAL))
        return float(np.linalg.norm(points[61] - points[291]) / np.linalg.norm(points[33] - points[263]))

    assert width(0.6) > width(0.0) + 0.015 > width(-0.6) + 0.03


def test_a_blink_shuts_the_eyes(painters, face_mesh):
    def lids(blink: float) -> float:
        points = landmarks(face_mesh, painters["source"].render(FacePose(blink=blink), NEUTRAL))
        return float(np.linalg.norm(points[159] - points[145]))

    assert lids(1.0) < 0.6 * lids(0.0)


def phones(*symbols: str, seconds: float = 0.12) -> list[TimedPhone]:
    return [TimedPhone(s, i * seconds, (i + 1) * seconds) for i, s in enumerate(symbols)]


def test_lips_shut_for_m_and_open_for_a():
    spoken = phones(PAUSE, "a", "m", "a", PAUSE)
    centres_s = np.array([0.5 * (p.start_s + p.end_s) for p in spoken])
    opening_track, _ = mouth_track(spoken, centres_s)
    assert opening_track[1] > 0.7
    assert opening_track[3] > 0.7
    assert max(opening_track[[0, 2, 4]]) < 0.15


def test_lips_are_symmetric_in_time():
    """No lag: a vowel between equal neighbours moves the mouth the same before and after its middle."""
    spoken = phones(PAUSE, "a", PAUSE, seconds=0.2)
    times_s = np.linspace(0.0, 0.6, 121)
    opening_track, _ = mouth_track(spoken, times_s)
    np.testing.assert_allclose(opening_track, opening_track[::-1], atol=1e-9)


def test_width_follows_i_and_u():
    spoken = phones("i", "u", "i")
    _, width_track = mouth_track(spoken, np.array([0.06, 0.18, 0.30]))
    assert width_track[0] > 0.3 > -0.2 > width_track[1]


def test_poses_are_seeded_and_small():
    spoken = phones(PAUSE, "a", "k", "i", PAUSE)
    first, again, other = (
        face_poses(spoken, NEUTRAL, n_frames=15, fps=25, rng=np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first == again != other
    assert [p.mouth_opening for p in first] == [p.mouth_opening for p in other]
    assert max(abs(p.shift_x) for p in first) < 4  # pixels of 512
