"""Faces of one person lie nearer than those of others; the picture given to the network is dlib's own."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from avsc_tf.core.errors import BundleError
from avsc_tf.features.keypoints import N_KEYPOINTS
from avsc_tf.measures import face_identity
from avsc_tf.measures.face_identity import FaceEncoder, face_chip, identity_distance

needs_dlib = pytest.mark.skipif(
    not face_identity.available(), reason=f"optional: {face_identity.INSTALL} (dlib-bin, face_recognition_models)"
)
PLACES_PX = (0.25 + face_identity._PLACES) / 1.5 * 150


@pytest.fixture
def picture(rng) -> np.ndarray:
    """uint8 [240, 310, 3], smooth enough that half a pixel matters little."""
    rough = cv2.GaussianBlur(rng.normal(size=(240, 310, 3)), (0, 0), 4.0)
    return np.clip(128 + 50 * rough / rough.std(), 0, 255).astype(np.uint8)


def keypoints_at(places: np.ndarray) -> np.ndarray:
    points = np.zeros((N_KEYPOINTS, 2))
    points[list(face_identity._LANDMARKS)] = places
    return points


def test_a_face_in_its_place_is_cut_out_unchanged(picture):
    chip = face_chip(picture, keypoints_at(PLACES_PX + np.array([20.0, 30.0])))
    assert np.array_equal(chip, picture[30:180, 20:170])


def test_a_turned_smaller_face_comes_back_upright(picture):
    turn = 0.8 * np.exp(0.2j)
    moved = (PLACES_PX @ (1, 1j)) * turn + 60 + 10j
    matrix = np.array([[turn.real, -turn.imag, 60.0], [turn.imag, turn.real, 10.0]])
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5  # pixel centres of OpenCV lie at whole numbers
    turned = cv2.warpAffine(picture, matrix, (310, 240), flags=cv2.INTER_CUBIC)
    chip = face_chip(turned, keypoints_at(np.stack([moved.real, moved.imag], axis=1)))
    inside = (slice(20, 130), slice(20, 130))
    assert np.abs(chip[inside].astype(float) - picture[:150, :150][inside]).mean() < 1.5  # two interpolations


def test_a_large_face_is_shrunk_without_aliases(rng):
    """Noise in a face of six times the size: each pixel of the chip is the mean of 36, a sixth of the deviation."""
    noise = rng.normal(128, 30, (900, 920, 3)).clip(0, 255).astype(np.uint8)
    chip = face_chip(noise, keypoints_at(PLACES_PX * 6))
    assert chip.std() < 30 / 6 * 1.1


@needs_dlib
def test_chip_is_dlibs(picture):
    """dlib takes whole pixels: so do these keypoints; it counts pixel centres at whole numbers."""
    import dlib

    places = np.round(PLACES_PX * 0.9 @ np.array([[0.98, 0.17], [-0.17, 0.98]]) + (60, 30))
    parts = dlib.full_object_detection(
        dlib.rectangle(0, 0, 9, 9), dlib.points([dlib.point(int(x), int(y)) for x, y in places])
    )
    theirs = dlib.get_face_chip(picture, parts, 150, 0.25)
    ours = face_chip(picture, keypoints_at(places + 0.5))
    assert np.abs(ours.astype(float) - theirs).mean() < 2.0  # of a picture whose levels spread by 50


@needs_dlib
def test_one_real_person_is_nearer_than_all_others(shared_data):
    """GRID: three clips of speaker 1 against one more of hers, and four of other people."""
    from avsc_tf.features.face_mesh import FaceTracker
    from avsc_tf.media.video import read_frames

    encoder = FaceEncoder()
    with FaceTracker(0.5) as tracker:

        def embeddings(name: str) -> np.ndarray:
            frames = list(read_frames(shared_data / "grid" / f"{name}.mpg", fps=25))[10::30]
            return encoder.embed_frames(frames, np.stack([tracker.keypoints(frame) for frame in frames]))

        own = np.concatenate([embeddings(f"s1/{name}") for name in ("bbaf2n", "lrar1s", "pbwx3a")])
        again = identity_distance(embeddings("s1/sgbj3a"), own)
        names = ("brbk7n", "lbax4n", "sbwe5n", "unknown_93ae3d4b")
        others = [identity_distance(embeddings(f"other_speakers/{name}"), own) for name in names]
    assert again < 0.3 < face_identity.SAME_PERSON_DISTANCE < min(others)


@needs_dlib
def test_a_frame_without_a_face_has_no_embedding(picture):
    encoder = FaceEncoder()
    lost = np.full((N_KEYPOINTS, 2), np.nan)
    found = encoder.embed_frames([picture, picture], np.stack([keypoints_at(PLACES_PX), lost]))
    assert np.isfinite(found[0]).all() and np.isnan(found[1]).all()
    assert encoder.embed_frames([], np.zeros((0, 70, 2))).shape == (0, 128)


def test_distance_by_hand():
    own = np.array([[0.0, 0.0], [2.0, 0.0], [np.nan, np.nan]])  # mean (1, 0)
    assert identity_distance(np.array([[1.0, 3.0], [5.0, 3.0]]), own) == pytest.approx((3 + 5) / 2)
    assert np.isnan(identity_distance(np.full((2, 2), np.nan), own))


@pytest.mark.skipif(face_identity.available(), reason="the encoder is installed")
def test_without_the_extra_the_message_says_what_to_install():
    with pytest.raises(BundleError, match=r"pip install avsc_tf\[identity\]"):
        FaceEncoder()
