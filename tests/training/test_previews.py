"""Previews' figures against values worked out by hand, and what their pictures show where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from avsc_tf.corpus.reader import Records
from avsc_tf.features.keypoints import mouth_opening
from avsc_tf.training.conversion.previews import conversion_preview
from avsc_tf.training.engine.previews import FACE_PX, face_strips, mean_known, mel_picture, one_an_emotion
from avsc_tf.training.image.previews import image_preview

NEUTRAL_FACE = np.random.default_rng(3).uniform(20, 90, (70, 2))


class Answer:
    """A conversion network that gives what it was made with."""

    def __init__(self, mel: np.ndarray, facial: np.ndarray) -> None:
        self.answer = {"mel": tf.constant(mel[None]), "facial": tf.constant(facial[None])}

    def __call__(self, inputs, training):
        assert not training
        return self.answer


@dataclass(frozen=True)
class OtherPairs:
    """Records with other pairs."""

    records: Records
    held_out: tuple[dict[str, Any], ...]

    @property
    def statistics(self):
        return self.records.statistics

    @property
    def config(self):
        return self.records.config

    def n_pairs(self, split: str) -> int:
        return len(self.held_out)

    def pairs(self, split: str, *, only=None):
        assert split == "test"
        return iter(self.held_out)


class Summaries:
    """Takes what a preview writes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scalars: dict[str, float] = {}
        self.images: dict[str, np.ndarray] = {}
        self.sounds: dict[str, np.ndarray] = {}
        monkeypatch.setattr(tf.summary, "scalar", lambda tag, value: self.scalars.update({tag: float(value)}))
        monkeypatch.setattr(tf.summary, "image", lambda tag, image: self.images.update({tag: image[0]}))
        monkeypatch.setattr(tf.summary, "audio", lambda tag, audio, rate: self.sounds.update({tag: audio[0, :, 0]}))


@pytest.fixture
def summaries(monkeypatch: pytest.MonkeyPatch) -> Summaries:
    return Summaries(monkeypatch)


@pytest.fixture
def pair(tiny_records: Records) -> dict[str, np.ndarray]:
    return {k: np.asarray(v, np.float32) for k, v in next(tiny_records.pairs("test")).items() if k.startswith("target")}


def test_a_perfect_conversion_has_perfect_figures(summaries, pair, tiny_records, tmp_path):
    show = conversion_preview(Answer(pair["target_mel"], pair["target_facial"]), tiny_records)
    show(3, tf.summary.create_file_writer(str(tmp_path)))
    assert summaries.scalars["quality/mcd_db"] == 0.0
    assert summaries.scalars["quality/mouth_opening_r"] == pytest.approx(1.0)
    assert summaries.sounds == {}


def test_figures_are_of_the_recordings_units_and_of_audible_frames(summaries, pair, tiny_records, tmp_path):
    mean, std = tiny_records.statistics.get("target", "mel")
    natural = pair["target_mel"] * std + mean
    heard = np.arange(len(natural)) % 3 > 0
    natural[~heard] -= 20.0
    of_records = {**next(tiny_records.pairs("test")), "target_mel": ((natural - mean) / std).astype(np.float32)}
    # c3 of the audible frames is 0.2 too high: sqrt(2) * 10 / ln 10 * 0.2 dB; the others are far off and do not count.
    band = np.arange(natural.shape[1])
    wrong = natural + np.where(heard[:, None], 0.2 * np.cos(np.pi * 3 * (band + 0.5) / len(band)), 7.0 * (band % 2))
    facial = pair["target_facial"].copy()
    facial[:, -140:] *= -0.5  # every keypoint moves the other way
    standard = ((wrong - mean) / std).astype(np.float32)
    records = OtherPairs(tiny_records, (of_records,))
    conversion_preview(Answer(standard, facial), records)(1, tf.summary.create_file_writer(str(tmp_path)))
    # 1e-3: float32 mels of size 5.
    assert summaries.scalars["quality/mcd_db"] == pytest.approx(np.sqrt(2) * 10 / np.log(10) * 0.2, rel=1e-3)
    points_mean, points_std = tiny_records.statistics.get("target", "keypoints")
    points = [(f[:, -140:] * points_std + points_mean).reshape(-1, 70, 2) for f in (facial, pair["target_facial"])]
    wanted = np.corrcoef(*(mouth_opening(p) for p in points))[0, 1]
    assert wanted < 0 and summaries.scalars["quality/mouth_opening_r"] == pytest.approx(wanted, rel=1e-4)


def test_sounds_are_of_the_first_sentence_and_never_beyond_hearing(summaries, pair, tiny_records, tmp_path):
    fed = []

    def vocode(mel):
        fed.append(mel)
        return np.full(480, mel.max() * 1e3, np.float32)

    show = conversion_preview(Answer(pair["target_mel"] + 1e4, pair["target_facial"]), tiny_records, vocode)
    writer = tf.summary.create_file_writer(str(tmp_path))
    show(1, writer)
    show(2, writer)
    assert len(fed) == 3  # the target's once
    target = fed[0]
    assert fed[1].max() == pytest.approx(target.max() + 1.0) and fed[1].shape == target.shape
    assert all(np.abs(sound).max() <= 1.0 for sound in summaries.sounds.values())


def test_without_held_out_pairs_there_is_no_conversion_preview(tiny_records):
    records = OtherPairs(tiny_records, ())
    assert conversion_preview(Answer(np.zeros((8, 80)), np.zeros((1, 164))), records) is None


def test_generated_frames_that_are_the_real_ones(summaries, tiny_records, tiny_config, tmp_path):
    """A generator that knows them by their features: mouths are alike, both rows of the picture too."""
    from avsc_tf.corpus.reader import decode_frames
    from avsc_tf.features.statistics import join_facial

    clip = next(tiny_records.clips("target", "test"))
    frames = decode_frames(clip["frames"]).astype(np.float32) / 127.5 - 1
    facial = join_facial(clip["vgg"], clip["keypoints"])
    known = tiny_records.statistics.standardise("target", "facial", facial)

    def generator(inputs, training):
        assert inputs["mel"].shape == (8, 8, 80) and not training
        places = [int(np.abs(known - one).sum(axis=1).argmin()) for one in inputs["facial"]]
        assert places == list(range(21, 45, 3))  # about the middle of 67 frames
        return tf.constant(frames[places])

    image_preview(generator, tiny_records, tiny_config)(1, tf.summary.create_file_writer(str(tmp_path)))
    assert summaries.scalars["quality/mouth_ssim"] == pytest.approx(1.0)
    (shown,) = summaries.images.values()
    np.testing.assert_array_equal(shown[:32], shown[34:])
    assert (shown[32:34] == 255).all()


def test_emotions_come_first_and_places_are_filled():
    assert one_an_emotion(list("aabcbd"), most=3) == [0, 2, 3]
    assert one_an_emotion(list("aabb"), most=3) == [0, 1, 2]
    assert one_an_emotion(list("aa")) == [0, 1]
    assert one_an_emotion([]) == []


def test_mel_picture_has_low_bands_below_and_the_last_ones_scale():
    first, last = np.full((4, 3), -9.0, np.float32), np.full((4, 3), -9.0, np.float32)
    first[:, 0], last[1, 2] = -1.0, -1.0
    picture = mel_picture([first, last])
    assert picture.shape == (6 + 2 + 6, 4, 3) and (picture[6:8] == 255).all()
    bright = picture.astype(int).sum(axis=2)
    assert (bright[4:6] > 600).all() and (bright[:4] < 20).all()  # the first's lowest band, two rows of it
    assert (bright[8:10, 1] > 600).all() and bright[8:].max(axis=0)[0] < 20  # the last's highest band, in one frame


def test_faces_of_both_rows_have_one_place_and_size():
    target = np.repeat(NEUTRAL_FACE[None], 9, axis=0)
    moved = target + np.array([0.1 * np.ptp(NEUTRAL_FACE[:, 0]), 0.0])
    strips = face_strips([moved, target], every=4)
    assert strips.shape == (2 * FACE_PX + 2, 3 * FACE_PX, 1)
    above, below = strips[:FACE_PX, :FACE_PX, 0], strips[FACE_PX + 2 :, :FACE_PX, 0]
    left = [np.nonzero((face < 128).any(axis=0))[0].min() for face in (above, below)]
    assert 3 < left[0] - left[1] < 12  # a tenth of a face of about 77 px; a random face's side decides
    np.testing.assert_array_equal(below, strips[FACE_PX + 2 :, FACE_PX : 2 * FACE_PX, 0])  # it stands still


def test_a_young_networks_face_may_lie_anywhere():
    wild = np.full((5, 70, 2), 1e12)
    assert face_strips([wild, np.repeat(NEUTRAL_FACE[None], 5, axis=0)], every=2).shape[1] == 3 * FACE_PX


def test_mean_of_what_is_known():
    assert mean_known([1.0, float("nan"), 3.0]) == 2.0 and np.isnan(mean_known([float("nan")]))
