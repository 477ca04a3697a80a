"""Every measure of a face moves the right way when a film of the demo speaker is spoiled, and only then."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from avsc_tf.demo.speakers.face import FacePainter
from avsc_tf.demo.speakers.looks import EXPRESSIONS, LOOKS
from avsc_tf.demo.speakers.motion import face_poses
from avsc_tf.demo.speakers.prosody import time_phones
from avsc_tf.demo.speakers.sentences import romaji_phones
from avsc_tf.demo.speakers.voices import EMOTIONS, VOICES
from avsc_tf.features.keypoints import LEFT_EYE_CORNER, LIPS, RIGHT_EYE_CORNER
from avsc_tf.measures import face_identity, face_quality
from avsc_tf.measures.expression import EXPRESSION_NAMES, expression, expression_distance, expression_scale
from avsc_tf.measures.mouth import keypoint_distance, mouth_agreement
from avsc_tf.measures.picture import frame_agreement, psnr_db

FPS, SIDE, FIRST, N_FRAMES = 25, 128, 8, 40
SENTENCE = "kyouwa, akai sakana o tabemashita"


@dataclass(frozen=True)
class Film:
    frames: np.ndarray  # uint8 [40, 128, 128, 3]
    keypoints: np.ndarray  # [40, 70, 2] px

    @property
    def lips(self) -> np.ndarray:
        return self.keypoints[:, LIPS].mean(axis=1)


@pytest.fixture(scope="module")
def tracked():
    """Frames to films, by FaceMesh."""
    from avsc_tf.features.face_mesh import FaceTracker

    with FaceTracker(0.5) as tracker:
        yield lambda frames: Film(frames, np.stack([tracker.keypoints(frame) for frame in frames]))


@pytest.fixture(scope="module")
def filmed(tracked):
    """Films of the demo's speakers saying one sentence."""

    def film(speaker: str, emotion: str, seed: int) -> Film:
        phones = romaji_phones(SENTENCE)
        timed = time_phones(phones, VOICES[speaker], EMOTIONS[emotion], rng=np.random.default_rng(7))
        rng = np.random.default_rng(seed)  # of the head's sway and of the blinks
        poses = face_poses(timed, EXPRESSIONS[emotion], n_frames=FIRST + N_FRAMES, fps=FPS, rng=rng)[FIRST:]
        painter = FacePainter(LOOKS[speaker], size_px=SIDE)
        return tracked(np.stack([painter.render(pose, EXPRESSIONS[emotion]) for pose in poses]))

    return film


@pytest.fixture(scope="module")
def natural(filmed) -> Film:
    return filmed("target", "neutral", 1)


@pytest.fixture(scope="module")
def second_take(filmed) -> Film:
    return filmed("target", "neutral", 2)


@pytest.fixture(scope="module")
def angry(filmed) -> Film:
    return filmed("target", "anger_strong", 2)


@pytest.fixture(scope="module")
def other(filmed) -> Film:
    return filmed("source", "neutral", 2)


def frozen_lips(keypoints: np.ndarray) -> np.ndarray:
    """The first frame's lips in every frame, carried along by the eyes."""
    eyes = keypoints[:, [RIGHT_EYE_CORNER, LEFT_EYE_CORNER]].mean(axis=1, keepdims=True)
    spoiled = keypoints.copy()
    spoiled[:, LIPS] = keypoints[:1, LIPS] + eyes - eyes[:1]
    return spoiled


def test_keypoint_distance_ranks_takes_noise_and_speakers(natural, second_take, other, rng):
    def distance(keypoints):
        return keypoint_distance(keypoints, natural.keypoints)

    assert distance(natural.keypoints) == (0.0, 0.0)
    again, wrong = distance(second_take.keypoints), distance(other.keypoints)
    assert 0 < again.all < 0.7 * wrong.all and 0 < again.mouth < 0.7 * wrong.mouth
    shaken = [distance(natural.keypoints + rng.normal(0, s, natural.keypoints.shape)) for s in (0.5, 2.0)]
    assert 0 < shaken[0].all < shaken[1].all and 0 < shaken[0].mouth < shaken[1].mouth


def test_delay_spoils_the_mouth_more_and_more(natural):
    delayed = [np.roll(natural.keypoints, k, axis=0)[4:] for k in (0, 1, 2, 4)]
    errors = [keypoint_distance(x, natural.keypoints[4:]).mouth for x in delayed]
    openings = [mouth_agreement(x, natural.keypoints[4:]).opening_r for x in delayed]
    assert errors == sorted(errors) and errors[0] == 0.0 < errors[1]
    assert openings == sorted(openings, reverse=True) and openings[0] == pytest.approx(1.0)
    assert openings[-1] < 0.7


def test_frozen_lips_lose_their_agreement(natural, second_take):
    again = mouth_agreement(second_take.keypoints, natural.keypoints)
    assert again.opening_r > 0.9 and again.width_r > 0.6 and again.opening_sd_ratio == pytest.approx(1.0, abs=0.15)
    frozen = mouth_agreement(frozen_lips(natural.keypoints), natural.keypoints)
    assert frozen.opening_sd_ratio < 0.1 and not frozen.opening_r > 0.5
    still = mouth_agreement(np.repeat(natural.keypoints[:1], N_FRAMES, axis=0), natural.keypoints)
    assert np.isnan(still.opening_r) and still.opening_sd_ratio == 0.0
    errors = [keypoint_distance(x, natural.keypoints) for x in (second_take.keypoints, frozen_lips(natural.keypoints))]
    assert errors[0].mouth < errors[1].mouth and errors[1].all < errors[1].mouth


def test_a_mumbling_mouth_has_less_opening_but_its_course(natural):
    mumbling = natural.keypoints.copy()
    middle = natural.keypoints[:, [62, 66]].mean(axis=1, keepdims=True)
    mumbling[:, [62, 66]] = middle + 0.5 * (natural.keypoints[:, [62, 66]] - middle)
    found = mouth_agreement(mumbling, natural.keypoints)
    assert found.opening_r == pytest.approx(1.0, abs=1e-4) and found.opening_sd_ratio == pytest.approx(0.5, abs=1e-3)


def test_expression_distance_ranks_takes_and_moods(natural, second_take, angry):
    scale = expression_scale([natural.keypoints, angry.keypoints])
    again = expression_distance(second_take.keypoints, natural.keypoints, scale)
    wrong = expression_distance(angry.keypoints, natural.keypoints, scale)
    frozen = expression_distance(frozen_lips(natural.keypoints), natural.keypoints, scale)
    assert 0 < again < 0.6 * wrong and again < frozen
    brows = EXPRESSION_NAMES.index("inner_brow_right")
    assert expression(angry.keypoints)[:, brows].mean() < expression(natural.keypoints)[:, brows].mean() - 0.03


def blurred(frames: np.ndarray, sigma: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])


def noisy(frames: np.ndarray, sigma: float) -> np.ndarray:
    return np.clip(frames + np.random.default_rng(3).normal(0, sigma, frames.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("spoil", "sizes"), [(blurred, (0.7, 1.5, 4.0)), (noisy, (2.0, 8.0, 30.0))])
def test_pictures_grow_worse_with_blur_and_noise(natural, spoil, sizes):
    films = [natural.frames, *(spoil(natural.frames, size) for size in sizes)]
    found = [frame_agreement(frames, natural.frames, natural.lips) for frames in films]
    for name, order in {"frame_ssim": -1, "mouth_ssim": -1, "frame_l1": 1, "mouth_l1": 1}.items():
        values = [order * getattr(x, name) for x in found]
        assert all(np.diff(values) > 0), name
    ratios = [np.mean([psnr_db(a, b) for a, b in zip(f, natural.frames, strict=True)]) for f in films]
    assert ratios[0] == 60.0 and all(np.diff(ratios) < 0)
    textures = [face_quality.texture_distance(frames, natural.frames) for frames in films]
    assert textures[0] == 0.0 and all(np.diff(textures) > 0)


def test_sharpness_falls_with_blur_and_rises_with_noise(natural):
    def sharpness(frames):
        return face_quality.edge_ratio(frames, natural.keypoints, natural.frames, natural.keypoints)

    assert sharpness(blurred(natural.frames, 2.0)) < sharpness(blurred(natural.frames, 1.0)) < 0.9
    assert sharpness(noisy(natural.frames, 10.0)) > 1.1


def test_flicker_sees_what_trembles_and_not_what_is_frozen(natural):
    def ratio(frames):
        return face_quality.flicker_ratio(frames, natural.keypoints, natural.frames, natural.keypoints)

    lamp = natural.frames.copy()
    lamp[::2] = np.clip(lamp[::2].astype(int) + 6, 0, 255)
    warped = np.stack([np.roll(frame, t % 2, axis=1) for t, frame in enumerate(natural.frames)])
    assert ratio(lamp) > 2 and ratio(warped) > 1.5
    assert ratio(np.repeat(natural.frames[:1], N_FRAMES, axis=0)) == 0.0


def test_delayed_frames_and_frozen_lips_spoil_the_pictures_mouth(natural):
    delayed = [frame_agreement(np.roll(natural.frames, k, axis=0)[4:], natural.frames[4:], natural.lips[4:])
               for k in (0, 1, 4)]  # fmt: skip
    assert delayed[0].mouth_ssim > delayed[1].mouth_ssim > delayed[2].mouth_ssim
    assert delayed[0].mouth_l1 < delayed[1].mouth_l1 < delayed[2].mouth_l1
    still = natural.frames.copy()
    rows, columns = slice(80, 128), slice(32, 96)
    still[:, rows, columns] = natural.frames[:1, rows, columns]
    frozen = frame_agreement(still, natural.frames, natural.lips)
    assert frozen.mouth_ssim < frozen.frame_ssim < 1.0 and frozen.mouth_l1 > frozen.frame_l1 > 0.0


def test_eyes_laid_on_each_other_forgive_the_heads_sway(natural, second_take):
    laid = face_quality.eyes_laid_on(second_take.frames, second_take.keypoints, natural.keypoints)
    lips = natural.lips
    unlike, unlike_laid = (1 - frame_agreement(x, natural.frames, lips).mouth_ssim for x in (second_take.frames, laid))
    assert unlike_laid < 0.8 * unlike


@pytest.mark.skipif(not face_identity.available(), reason=f"optional: {face_identity.INSTALL}")
def test_the_wrong_face_is_further_away(natural, second_take, other):
    encoder = face_identity.FaceEncoder()
    films = (natural, second_take, other)
    own, again, wrong = (encoder.embed_frames(film.frames[::13], film.keypoints[::13]) for film in films)
    assert face_identity.identity_distance(again, own) < 0.7 * face_identity.identity_distance(wrong, own)


def test_another_real_person_is_further_than_another_sentence(tracked, shared_data):
    """GRID: speaker 1 beside herself saying something else, and beside somebody else who says nearly that."""
    from avsc_tf.media.video import read_frames

    def film(name: str) -> Film:
        return tracked(np.stack(list(read_frames(shared_data / "grid" / f"{name}.mpg", fps=FPS))[10:65:3]))

    own, again, wrong = (film(name) for name in ("s1/lwbszn", "s1/bbaf2n", "other_speakers/lwbsza"))
    near, far = (keypoint_distance(x.keypoints, own.keypoints) for x in (again, wrong))
    assert near.all < 0.7 * far.all and near.mouth < 0.7 * far.mouth
    scale = expression_scale([own.keypoints, again.keypoints])
    near_, far_ = (expression_distance(x.keypoints, own.keypoints, scale) for x in (again, wrong))
    assert near_ < 0.7 * far_
