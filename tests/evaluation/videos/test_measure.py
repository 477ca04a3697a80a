"""Every table of a finished video moves the right way when the video is spoiled."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from avsc_tf.evaluation.videos.catalogue import CATALOGUE
from avsc_tf.evaluation.videos.material import Material, NaturalClip
from avsc_tf.evaluation.videos.measure import all_figures, beside_source, map_by_sound, same_time, time_map_between
from avsc_tf.evaluation.videos.target_model import TargetModel
from avsc_tf.evaluation.videos.watched import FPS, SAMPLE_RATE_HZ, Watched, watch

NAME = "neutral_00"


@pytest.fixture(scope="module")
def model(corpus: Path, tracker, face) -> TargetModel:
    """Fitted on the other sentences of the target."""
    clips = []
    for path in sorted((corpus / "target").glob("*.mp4")):
        if path.stem != NAME:
            seen = watch(path, tracker, face)
            clips.append(NaturalClip(path.stem, seen.waveform, SAMPLE_RATE_HZ, seen.keypoints, None, FPS))
    return TargetModel.fit(Material({}, [], clips))


@pytest.fixture(scope="module")
def measure(model: TargetModel, target: Watched):
    """Figures of a video beside the natural target, on one clock."""

    def figures(video: Watched) -> dict[str, float]:
        found = all_figures(video, NAME, target, same_time(target), model)
        return {name: value for table in found.values() for name, value in table.items()}

    return figures


@pytest.fixture(scope="module")
def natural(measure, target):
    return measure(target)


def remade(video: Watched, **changes) -> Watched:
    """The video with other pictures or another sound; nothing that was computed of the old ones is kept."""
    return dataclasses.replace(video, **changes)


def test_the_target_beside_itself(natural):
    zero = ("mcd_db", "f0_rmse_cents", "voicing_error", "loudness_db", "keypoint_distance", "expression_distance")
    one = ("f0_r", "duration_ratio", "opening_r", "width_r", "mouth_ssim", "face_ssim", "edge_ratio", "flicker_ratio")
    assert [natural[name] for name in zero] == pytest.approx([0] * len(zero), abs=1e-6)  # float32 keypoints
    assert [natural[name] for name in one] == pytest.approx([1] * len(one), abs=1e-6)
    assert natural["canonical_r"] > 0.6
    assert natural["canonical_r"] > natural["canonical_null"] + 0.4
    assert abs(natural["offset_frames"]) < 1


def test_every_figure_of_the_catalogue_is_measured(natural):
    without_extras = {f.name for figures in CATALOGUE.values() for f in figures} - {
        "speaker_similarity",
        "identity_distance",
        "predicted_mos",
    }
    assert {name for name, value in natural.items() if value is not None} >= without_extras


def test_noise(measure, natural, target, rng):
    loud = np.sqrt(np.mean(target.waveform**2))
    noise = rng.normal(0, loud / 3, len(target.waveform)).astype(np.float32)
    found = measure(remade(target, waveform=target.waveform + noise))
    assert found["mcd_db"] > 2
    assert found["canonical_r"] < natural["canonical_r"]
    assert found["opening_r"] == natural["opening_r"]


def test_sound_delayed_by_frames(measure, natural, target):
    rs = []
    for k in (2, 5):
        late = np.concatenate([np.zeros(k * SAMPLE_RATE_HZ // FPS, np.float32), target.waveform])
        found = measure(remade(target, waveform=late[: len(target.waveform)]))
        assert found["offset_frames"] == pytest.approx(natural["offset_frames"] - k, abs=0.6)
        rs.append(found["canonical_r"])
    assert natural["canonical_r"] > rs[0] > rs[1]


def test_frozen_lips(measure, natural, target):
    first = np.repeat(target.keypoints[:1], target.n_frames, axis=0)
    still = remade(target, keypoints=first, crops=np.repeat(target.crops[:1], target.n_frames, axis=0))
    found = measure(still)
    assert np.isnan(found["canonical_r"]) and np.isnan(found["opening_r"])
    assert found["lip_movement"] < 0.05
    assert found["mouth_distance"] > 0.01
    assert found["flicker_ratio"] < 0.05


def test_blurred_and_flickering_pictures(measure, natural, target, rng):
    soft = np.stack([cv2.GaussianBlur(crop, (0, 0), 3) for crop in target.crops])
    found = measure(remade(target, crops=soft))
    assert found["edge_ratio"] < 0.5
    assert found["mouth_ssim"] < 0.97
    assert found["psnr_db"] < natural["psnr_db"]
    assert found["texture_distance"] > 0.01
    shades = rng.normal(0, 8, (target.n_frames, 1, 1, 1))
    lit = np.clip(target.crops + shades, 0, 255).astype(np.uint8)
    assert measure(remade(target, crops=lit))["flicker_ratio"] > 2


def test_wrong_speaker(measure, model, source, target):
    found = all_figures(source, NAME, target, map_by_sound(source, target), model)
    assert found["voice"]["mcd_db"] > 4
    assert found["voice"]["f0_rmse_cents"] > 200
    assert found["face"]["face_ssim"] < 0.8
    assert found["face"]["opening_r"] > 0.8  # the same sentence, so the mouth moves alike
    own = beside_source(source, source, model)
    assert own["mcd_db"] == pytest.approx(0, abs=1e-6)
    assert own["opening_r"] == pytest.approx(1)


def test_silent_film_and_sound_without_face(model, target):
    silent = all_figures(remade(target, waveform=None), NAME, target, same_time(target), model)
    assert silent["voice"] == {} and silent["sync"] == {}
    assert silent["face"]["opening_r"] == pytest.approx(1)
    blind = remade(target, keypoints=np.full_like(target.keypoints, np.nan), found=np.zeros(target.n_frames, bool))
    found = all_figures(blind, NAME, target, same_time(target), model)
    assert found["face"] == {"identity_distance": None, "face_share": 0.0}
    assert found["voice"]["mcd_db"] == pytest.approx(0, abs=1e-6)


def test_way_in_time(source, target):
    of_source = same_time(source)
    assert time_map_between(source, target, of_source, source.n_frames + 1) is of_source
    assert time_map_between(source, target, of_source, source.n_frames + 9).origin == "DTW of the sounds"
    assert time_map_between(source, target, None, None).origin == "DTW of the sounds"
    there = map_by_sound(source, target)
    back = map_by_sound(target, source)
    inside = np.linspace(there.speech_s[0] + 0.1, there.speech_s[1] - 0.1, 40)
    assert np.abs(back(there(inside)) - inside).mean() < 0.02  # two frames of 5 ms and the path's stairs
