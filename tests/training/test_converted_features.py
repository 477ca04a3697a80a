"""Converted features on the target's timeline: right frame, right sample, right standard, and a clear order of work."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from avsc_tf.core.config import config_from_dict
from avsc_tf.core.errors import ConfigError
from avsc_tf.datasets.recordings import with_side_information
from avsc_tf.datasets.target_clips import recordings_of_records
from avsc_tf.features.linear_prediction import prediction_coefficients
from avsc_tf.features.pitch import PACKAGED_PITCH, PitchEstimator
from avsc_tf.features.statistics import join_facial
from avsc_tf.training.conversion.train import train_conversion
from avsc_tf.training.wavenet.converted_clips import ConvertedClips, on_target_timeline
from avsc_tf.training.wavenet.converted_features import conversion_of_run, converted_recordings
from avsc_tf.training.wavenet.train import train_wavenet


def with_net(config, **wavenet):
    changed = dataclasses.replace(config.wavenet, **wavenet)
    return config_from_dict(dataclasses.replace(config, wavenet=changed).as_dict())


@pytest.mark.parametrize("smooth_frames", [1, 5])
def test_ramp_stands_where_the_path_says(smooth_frames):
    """Source twice as slow as the target: target time t hears source time 2 t."""
    n_target = 20
    path = np.array([[s, s // 2] for s in range(2 * n_target)], np.int32)
    mel = np.repeat(np.arange(2 * n_target * 8, dtype=np.float32)[:, None] / 8, 3, axis=1)  # source time in frames
    facial = (np.arange(2 * n_target, dtype=np.float32) + 0.5)[:, None]  # a picture stands at its middle
    warped, faces = on_target_timeline(mel, facial, path, n_target, smooth_frames=smooth_frames, mel_per_video=8)
    assert warped.shape == (n_target * 8, 3) and faces.shape == (n_target, 1)
    inner = slice(8, -8)
    # both clips' frame i covers [i, i + 1): the mean of the two steps of a frame is 2 t up to the rounding of float32
    np.testing.assert_allclose(warped[inner, 0], np.arange(n_target * 8)[inner] / 4, atol=1e-4)
    np.testing.assert_allclose(faces[1:-1, 0], 2 * (np.arange(n_target) + 0.5)[1:-1], atol=1e-5)


def test_identical_timelines_give_the_conversion_itself(tiny_config, tiny_records):
    """The fixture's paths are diagonal; its target standardised is 0.7 of its source."""
    natural = list(recordings_of_records(tiny_records, "train", tiny_config, None))
    clips = ConvertedClips(natural, tiny_records, "train", lambda m, f: (0.7 * m, 0.7 * f), tiny_config, None)
    assert clips.n_paired == len(clips) == 3
    pairs = {pair["utterance"]: pair for pair in tiny_records.pairs("train")}
    for recording, own in zip(clips, natural, strict=True):
        pair = pairs[recording.name]
        standardised = tiny_records.statistics.standardise("target", "mel", recording.mel)
        np.testing.assert_allclose(standardised, pair["target_mel"], atol=1e-5)
        np.testing.assert_allclose(recording.facial, pair["target_facial"], atol=2e-3)  # stored as float16
        np.testing.assert_array_equal(recording.waveform, own.waveform)
        np.testing.assert_array_equal(recording.coefficients, prediction_coefficients(recording.mel, tiny_config))


@pytest.mark.parametrize("converted_pitch", ["natural", "converted"])
def test_pitch_is_of_the_mel_that_the_setting_names(converted_pitch, tiny_config, tiny_records):
    config = with_net(tiny_config, pitch_input="lag", converted_pitch=converted_pitch)
    estimator = PitchEstimator.load(PACKAGED_PITCH)
    natural = list(recordings_of_records(tiny_records, "test", config, estimator))
    (clip,) = ConvertedClips(natural, tiny_records, "test", lambda m, f: (m + 1, f), config, estimator)
    of = {"natural": natural[0].mel, "converted": clip.mel}[converted_pitch]
    np.testing.assert_array_equal(clip.pitch.f0_hz, estimator(of).f0_hz)
    assert (clip.pitch.f0_hz != estimator(natural[0].mel if of is clip.mel else clip.mel).f0_hz).any()


def test_clip_without_a_pair_keeps_its_natural_features(tiny_config, tiny_records):
    natural = list(recordings_of_records(tiny_records, "train", tiny_config, None))
    clips = ConvertedClips(natural, tiny_records, "train", lambda m, f: (0 * m, 0 * f), tiny_config, None)
    del clips._pair_of["u1"]
    assert clips.n_paired == 2
    np.testing.assert_array_equal(clips[1].mel, natural[1].mel)
    assert (clips[0].mel != natural[0].mel).any()


@pytest.fixture(scope="module")
def run(tiny_config, tiny_records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train_conversion(tiny_config, tiny_records, folder)
    return folder


def test_runs_network_converts_as_conversion_does(run, tiny_config, tiny_records):
    convert, statistics = conversion_of_run(run, tiny_records), tiny_records.statistics
    natural = list(recordings_of_records(tiny_records, "test", tiny_config, None))
    (clip,) = converted_recordings(natural, tiny_records, "test", run, tiny_config, None)
    (source,) = tiny_records.clips("source", "test")
    facial = join_facial(source["vgg"], source["keypoints"])
    mel, facial = convert(
        statistics.standardise("source", "mel", source["mel"]), statistics.standardise("source", "facial", facial)
    )
    np.testing.assert_allclose(statistics.standardise("target", "mel", clip.mel), mel, atol=1e-4)  # restored, and back
    np.testing.assert_allclose(clip.facial, facial, atol=1e-5)


@pytest.mark.parametrize("features", ["converted", "mixed"])
def test_trains_the_same_held_or_streamed(features, run, tiny_config, tiny_records, tmp_path):
    config, losses = with_net(tiny_config, train_features=features), []
    for memory_mb in (100, 0):
        own = dataclasses.replace(config, records=dataclasses.replace(config.records, memory_mb=memory_mb))
        target = tmp_path / f"{memory_mb}"
        shutil.copytree(run, target)
        _, history = train_wavenet(own, tiny_records, target)
        losses.append((history[-1]["loss"], history[-1]["val_loss"]))
        assert (target / "wavenet" / "converted").is_dir() == (memory_mb == 0)
    assert losses[0] == losses[1] and np.isfinite(losses).all()


def test_untrained_conversion_network_is_named(tiny_config, tiny_records, tmp_path):
    with pytest.raises(ConfigError, match=r"Train it first: avsc train conversion .*--out .*to natural"):
        train_wavenet(with_net(tiny_config, train_features="mixed"), tiny_records, tmp_path)


def test_side_information_follows_the_mel(tiny_config, tiny_records):
    (clip, *_) = recordings_of_records(tiny_records, "train", tiny_config, None)
    (again,) = with_side_information([dataclasses.replace(clip, mel=clip.mel + 0.5)], tiny_config, None)
    np.testing.assert_allclose(again.coefficients, clip.coefficients, atol=1e-4)  # any level gives the same filter
