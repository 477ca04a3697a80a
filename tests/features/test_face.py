"""Crops and keypoints of clips: painted heads, whose mouth and place are known, and real ones."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from avsc_tf.core.config import FaceConfig, load_config
from avsc_tf.core.errors import ConfigError, FaceError
from avsc_tf.demo.speakers.face import FacePose
from avsc_tf.demo.speakers.looks import Expression
from avsc_tf.features.crop import path_jitter, to_frame
from avsc_tf.features.face import face_clip, face_notes
from avsc_tf.features.keypoints import LIPS, mouth_opening

SETTINGS = FaceConfig(
    crop_px=192,
    crop_face_share=0.55,
    min_detection_confidence=0.5,
    max_gap_seconds=0.2,
    max_edge_seconds=0.0,
    n_keypoints=70,
    vgg_px=32,
    vgg_weights="untrained",
    vgg_dtype="float32",
    vgg_batch=4,
    n_vgg=4096,
)
HELD = dataclasses.replace(SETTINGS, max_edge_seconds=0.5)
BLANK = np.full((240, 320, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def drifting(portrait) -> list[np.ndarray]:
    """30 frames of a head that moves one pixel a frame to the right."""
    return [portrait(left=50 + k) for k in range(30)]


def _without(frames: list[np.ndarray], begin: int, end: int) -> list[np.ndarray]:
    return [*frames[:begin], *[BLANK] * (end - begin), *frames[end:]]


def test_limits_are_settings(root):
    assert load_config(root / "configs/paper.yaml").face.max_edge_seconds == 0
    assert load_config(root / "configs/grid.yaml").face.max_edge_seconds == 0.5
    for name in ("max_gap_seconds", "max_edge_seconds"):
        with pytest.raises(ConfigError, match=f"face.{name} must not be negative"):
            load_config(root / "configs/paper.yaml", [f"face.{name}=-0.1"])


def test_clip_of_a_moving_head(tracker, portrait):
    frames = [portrait(left=40 + k, mouth_opening=0.5 + 0.5 * np.sin(k)) for k in range(24)]
    clip = face_clip(frames, tracker, SETTINGS, fps=25)
    assert clip.crops.shape == (24, 192, 192, 3)
    assert clip.crops.dtype == np.uint8
    assert clip.keypoints.shape == (24, 70, 2)
    assert face_notes(clip) == ()
    direct = np.stack([tracker.keypoints(frame) for frame in frames])
    in_frame = clip.transform.to_frame(clip.keypoints)
    # two passes of a tracker over the same face at other scales: 1 % of the face's 110 pixels
    assert np.abs(in_frame - direct).mean() < 1.5
    # one pixel a frame is followed without lag; FaceMesh's scatter bends the path a little
    np.testing.assert_allclose(np.diff(clip.transform.centres[:, 0]), 1, atol=0.15)
    assert np.ptp(clip.transform.centres[:, 1]) < 2


def test_what_a_report_and_a_record_need(tracker, drifting):
    clip = face_clip(drifting, tracker, SETTINGS, fps=25)
    assert (clip.found.shape, clip.found.dtype, clip.found.all()) == ((30,), bool, True)
    assert (clip.gaps, clip.n_faces) == ([], 1)
    (note,) = face_notes(clip)
    assert note == "the face never changes: a still picture, not a film of the speaker"
    assert (clip.crop_centres.shape, clip.crop_centres.dtype) == ((30, 2), np.float32)
    assert (clip.crop_side.shape, clip.crop_side.dtype) == ((), np.float32)
    assert (clip.frame_size.tolist(), clip.frame_size.dtype) == ([320, 240], np.int32)
    assert (clip.face_centres.shape, clip.face_centres.dtype) == ((30, 2), np.float32)
    stored = to_frame(clip.keypoints, clip.crop_centres, clip.crop_side, 192)
    np.testing.assert_allclose(stored, clip.transform.to_frame(clip.keypoints), atol=1e-3)  # float32 of some hundreds
    # the middle of the face lies between brows and chin
    assert (stored[:, 19, 1] < clip.face_centres[:, 1]).all()
    assert (clip.face_centres[:, 1] < stored[:, 8, 1]).all()


def test_face_fills_its_share_of_the_crop(tracker, portrait):
    clip = face_clip([portrait()] * 7, tracker, SETTINGS, fps=25)
    box = tracker.faces(clip.crops[3])[0].box
    assert (box[3] - box[1]) / 192 == pytest.approx(0.55, abs=0.03)  # two passes of the tracker differ by pixels
    assert (box[0] + box[2]) / 2 == pytest.approx(96, abs=5)


def test_a_small_face_gives_the_same_mouth(tracker, portrait):
    """A face of 60 pixels, as in a wide shot: points are tracked on the enlarged crop."""
    openings = [0.0, 0.5, 1.0] * 4
    frames = [portrait(mouth_opening=o) for o in openings]
    small = [cv2.resize(frame, (160, 120), interpolation=cv2.INTER_AREA) for frame in frames]
    measured = [mouth_opening(face_clip(f, tracker, SETTINGS, fps=25).keypoints) for f in (frames, small)]
    assert np.corrcoef(*measured)[0, 1] > 0.97


@pytest.mark.parametrize("lost", [(9, 13), (9, 14), (0, 5), (27, 30)])
def test_short_gaps_are_filled(tracker, drifting, lost):
    """0.2 s = 5 frames: keypoints go straight between the known ones, crops show the picture as it is."""
    whole = face_clip(drifting, tracker, SETTINGS, fps=25)
    clip = face_clip(_without(drifting, *lost), tracker, SETTINGS, fps=25)
    assert np.flatnonzero(~clip.found).tolist() == list(range(*lost))
    assert clip.gaps == [(lost[0] / 25, lost[1] / 25)]
    assert np.isnan(clip.face_centres[~clip.found]).all()
    assert np.isfinite(clip.keypoints).all()
    nose = clip.transform.to_frame(clip.keypoints)[:, 30] - whole.transform.to_frame(whole.keypoints)[:, 30]
    # inside a clip within FaceMesh's scatter; at its ends the crop still moves as before
    assert np.abs(nose).max() < 2.5
    assert (np.ptp(clip.crops[lost[0] : lost[1]], axis=0) == 0).all()


@pytest.mark.parametrize("settings, lost", [(SETTINGS, (9, 15)), (SETTINGS, (0, 6)), (HELD, (9, 15)), (HELD, (0, 14))])
def test_long_gaps_are_errors_with_their_times(tracker, drifting, settings, lost):
    with pytest.raises(FaceError, match=rf"film: no face from {lost[0] / 25:.2f} s to {lost[1] / 25:.2f} s; ") as error:
        face_clip(_without(drifting, *lost), tracker, settings, fps=25, place="film")
    assert ("at most (0.5 s at the beginning and the end)." in str(error.value)) == (settings is HELD)
    assert "Cut these seconds" in str(error.value)
    assert "Another face" not in str(error.value)


def test_every_long_gap_is_named(tracker, drifting):
    frames = _without(_without(drifting, 4, 11), 19, 26)
    with pytest.raises(
        FaceError, match=r"no face from 0\.16 s to 0\.44 s, from 0\.76 s to 1\.04 s; it may be lost for"
    ):
        face_clip(frames, tracker, SETTINGS, fps=25)


def test_a_longer_gap_is_a_setting(tracker, drifting):
    loose = dataclasses.replace(SETTINGS, max_gap_seconds=0.28)  # a little over 7 frames in floating point
    assert face_clip(_without(drifting, 9, 16), tracker, loose, fps=25).gaps == [(0.36, 0.64)]


@pytest.mark.parametrize("lost, held, shown", [((0, 12), slice(0, 18), 18), ((18, 30), slice(12, 30), 11)])
def test_a_damaged_edge_is_held_still(tracker, drifting, lost, held, shown):
    """0.5 s = 12 frames, and 0.25 s = 6 frames next to them."""
    clip = face_clip(_without(drifting, *lost), tracker, HELD, fps=25)
    for values in (clip.crops, clip.keypoints, clip.crop_centres):
        np.testing.assert_array_equal(values[held], np.broadcast_to(values[shown], values[held].shape))
    assert clip.gaps == [(held.start / 25, held.stop / 25)]
    assert np.flatnonzero(~clip.found).tolist() == list(range(*lost))


def test_another_face_does_not_fill_a_gap(tracker, painter):
    """The speaker at the left is covered; somebody at the right is not."""
    head = cv2.resize(painter.render(FacePose(), Expression()), (150, 150), interpolation=cv2.INTER_AREA)
    both = BLANK.copy()
    both[40:190, :150] = head
    covered = BLANK.copy()
    covered[50:190, 180:320] = other = cv2.resize(head, (140, 140), interpolation=cv2.INTER_AREA)
    both[50:190, 180:320] = other
    frames = [both] * 20
    clip = face_clip([*frames[:8], *[covered] * 5, *frames[13:]], tracker, SETTINGS, fps=25)
    assert clip.gaps == [(0.32, 0.52)]
    assert clip.n_faces == 2
    (note,) = face_notes(clip)
    assert note.startswith("2 faces in the picture; the one at (") and note.endswith(" pixels is used")
    assert np.nanmax(clip.face_centres[:, 0]) < 150
    with pytest.raises(FaceError, match=r"no face from 0\.32 s to 0\.56 s.*Another face is seen then"):
        face_clip([*frames[:8], *[covered] * 6, *frames[14:]], tracker, SETTINGS, fps=25)


def test_a_face_on_the_wall_does_not_fill_a_gap(tracker, portrait, painter):
    """A portrait beside the speaker's head, a third as large, is in the crop and stays there while he is covered."""
    picture = cv2.resize(painter.render(FacePose(), Expression()), (90, 90), interpolation=cv2.INTER_AREA)
    seen, covered = portrait(), BLANK.copy()
    for frame in (seen, covered):
        frame[20:90, 180:250] = picture[10:80, 10:80]
    clip = face_clip([seen] * 8 + [covered] * 4 + [seen] * 8, tracker, SETTINGS, fps=25)
    assert len(tracker.faces(clip.crops[9])) == 1
    assert clip.gaps == [(0.32, 0.48)]


def test_a_face_that_jumps_is_another_one(tracker, painter):
    """A cut in the film: from 0.84 s on a face of the same size, 1.9 heights away."""
    head = cv2.resize(painter.render(FacePose(), Expression()), (150, 150), interpolation=cv2.INTER_AREA)
    first, second = BLANK.copy(), BLANK.copy()
    first[40:190, :150] = head
    second[40:190, 150:300] = head
    with pytest.raises(FaceError, match=r"no face from 0\.84 s to 1\.08 s.*Another face"):
        face_clip([first] * 21 + [second] * 6, tracker, SETTINGS, fps=25)


def test_real_face(tracker, real_frames):
    clip = face_clip(real_frames("s1/bbaf2n")[:40], tracker, SETTINGS, fps=25)
    lips = clip.keypoints[:, LIPS]
    # the mouth is in the lower middle of the crop in every frame
    assert (lips > 48).all()
    assert (lips[..., 0] < 144).all()
    assert (lips[..., 1] > 96).all()
    assert 0.04 < np.ptp(mouth_opening(clip.keypoints)) < 0.5


@pytest.mark.parametrize("covered, fails", [(4, False), (5, False), (6, True)])
def test_a_real_face_behind_a_hand(tracker, real_frames, covered, fails):
    frames = [frame.copy() for frame in real_frames("other_speakers/lwbsza")[:24]]
    for frame in frames[10 : 10 + covered]:
        frame[60:280, 80:260] = (150, 110, 90)
    if fails:
        with pytest.raises(FaceError, match=r"no face from 0\.40 s to 0\.64 s"):
            face_clip(frames, tracker, SETTINGS, fps=25)
    else:
        assert face_clip(frames, tracker, SETTINGS, fps=25).gaps == [(0.4, (10 + covered) / 25)]


def test_a_real_passer_by(tracker, real_frames):
    """A face half as large again goes by behind the speaker's shoulder for 0.4 s; the keypoints do not notice."""
    speaker = real_frames("s1/bbaf2n")[:24]
    other = [cv2.resize(frame, None, fx=1.4, fy=1.4) for frame in real_frames("other_speakers/brbk7n")[:24]]
    wide = [np.hstack([frame, np.full((288, 360, 3), 128, np.uint8)]) for frame in speaker]
    crossed = [frame.copy() for frame in wide]
    for k in range(8, 18):
        crossed[k][:, 370:720] = other[k][60:348, 80:430]
    alone, passed = (face_clip(frames, tracker, SETTINGS, fps=25) for frames in (wide, crossed))
    assert (alone.n_faces, passed.n_faces) == (1, 2)
    assert passed.found.all()
    moved = passed.transform.to_frame(passed.keypoints) - alone.transform.to_frame(alone.keypoints)
    assert np.abs(moved).mean() < 1  # another path of the crop; 1 % of the face


def test_the_crop_does_not_shake(tracker, real_frames):
    """The crop's second difference on a real speaker: far under the 1/32 pixel that OpenCV cuts at."""
    clip = face_clip(real_frames("other_speakers/brbk7n")[:50], tracker, SETTINGS, fps=25)
    scale = 192 / clip.transform.side
    assert path_jitter(clip.face_centres) * scale > 0.2  # the raw detections shake visibly
    assert path_jitter(clip.transform.centres) * scale < 0.01


def test_a_walking_speaker_stays_in_the_crop(tracker, real_frames):
    """A real face carried across a moving ground, two heights a second, up and down with each step, and back."""
    ground = cv2.resize(np.random.default_rng(3).integers(0, 255, (20, 80, 3), dtype=np.uint8), (1500, 420))
    frames = []
    for k, frame in enumerate(real_frames("s1/bbaf2n")[:60]):
        left, top = 20 + 10 * min(k, 60 - k), round(60 + 8 * np.sin(2 * np.pi * 1.8 * k / 25))
        picture = np.ascontiguousarray(ground[:, 3 * k : 3 * k + 800])
        picture[top : top + 288, left : left + 288] = frame[:, 36:324]
        frames.append(picture)
    clip = face_clip(frames, tracker, SETTINGS, fps=25)
    assert clip.found.all()
    off_centre = np.abs(clip.face_centres - clip.crop_centres).max(axis=0) / clip.transform.side
    assert (off_centre < 0.15).all()  # a tenth by design, and the two passes' difference
    assert path_jitter(clip.transform.centres) < 0.3 * path_jitter(clip.face_centres)
    # the steps belong to the keypoints: the crop does not bob with them
    assert path_jitter(clip.transform.centres[:, 1:]) < 0.01 * path_jitter(clip.face_centres[:, 1:])
