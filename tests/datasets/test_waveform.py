"""Crops against hand-made slices: what the network sees is the past, and what it predicts is the present."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import soundfile

from avsc_tf.core.config import load_config
from avsc_tf.core.errors import MediaError
from avsc_tf.datasets import recordings as r
from avsc_tf.datasets import waveform as w
from avsc_tf.features.pitch import LAG_OFFSETS, Pitch
from avsc_tf.signal.companding import class_values, compand, expand, pre_emphasise, silence_class, to_classes


@pytest.fixture(scope="module")
def config():
    return load_config(
        w.__file__.replace("avsc_tf/datasets/waveform.py", "configs/demo.yaml"),
        ["face.n_vgg=9", "wavenet.facial_channels=5", "wavenet.crop_seconds=0.13", "wavenet.batch_size=3"],
    )


@pytest.fixture
def recording(config, rng):
    n_video = 7
    voicing = np.ones(8 * n_video, np.float32)
    voicing[:11] = 0
    return r.Recording(
        name="noise",
        waveform=rng.uniform(-0.5, 0.5, 640 * n_video).astype(np.float32),
        mel=rng.normal(-4, 2, (8 * n_video, 80)).astype(np.float32),
        facial=rng.normal(size=(n_video, config.face.n_facial)).astype(np.float32),
        pitch=Pitch(np.linspace(90, 240, 8 * n_video).astype(np.float32), voicing),
        coefficients=rng.uniform(-0.3, 0.3, (8 * n_video, 16)).astype(np.float32),
    )


def _whole(recording, config):
    emphasised = pre_emphasise(recording.waveform, config.wavenet.pre_emphasis)
    classes = to_classes(compand(emphasised, 256), 256)
    return classes, class_values(256)[classes]


@pytest.mark.parametrize("start", [0, 1, 4])
def test_a_crop_is_a_slice_of_the_whole_with_its_true_past(start, recording, config):
    inputs, classes = w.crop_inputs(recording, config, start, 3)
    all_classes, values = _whole(recording, config)
    first = 640 * start
    np.testing.assert_array_equal(classes, all_classes[first : first + 1920])
    before = values[first - 1] if start else class_values(256)[silence_class(256)]
    np.testing.assert_array_equal(inputs["waveform"], np.concatenate([[before], values[first : first + 1919]]))
    np.testing.assert_array_equal(inputs["facial"], recording.facial[start : start + 3])
    np.testing.assert_array_equal(inputs["mel"], recording.mel[8 * start : 8 * start + 24])


def test_lag_taps_of_a_crop_are_those_of_the_whole_utterance(recording, config):
    whole, _ = w.crop_inputs(recording, config, 0, 7)
    crop, _ = w.crop_inputs(recording, config, 3, 2)
    np.testing.assert_array_equal(crop["pitch_lag"], whole["pitch_lag"][1920:3200])
    np.testing.assert_array_equal(crop["pitch"], whole["pitch"][24:40])
    np.testing.assert_array_equal(crop["prediction"], whole["prediction"][1920:3200])
    np.testing.assert_array_equal(crop["residuals"], whole["residuals"][1920:3200])
    _, values = _whole(recording, config)
    t, frame = 2400, 30  # the centre of frame 30
    lag = round(16000 / recording.pitch.f0_hz[frame])
    assert whole["pitch_lag"][t].tolist() == [values[t - lag + o] for o in LAG_OFFSETS]


def test_prediction_and_residuals_by_hand(recording, config):
    whole, _ = w.crop_inputs(recording, config, 0, 7)
    _, values = _whole(recording, config)
    signal = expand(values, 256).astype(float)

    def prediction(t):
        return sum(recording.coefficients[t // 80, k] * signal[t - 1 - k] for k in range(16) if t - 1 - k >= 0)

    t, lag = 2400, round(16000 / recording.pitch.f0_hz[30])
    assert whole["prediction"][t] == pytest.approx(compand(np.array(prediction(t)), 256), abs=1e-5)
    places = [t - 1, *[t - lag + o for o in LAG_OFFSETS]]
    expected = [float(compand(np.array(signal[i] - prediction(i)), 256)) for i in places]
    np.testing.assert_allclose(whole["residuals"][t], expected, atol=1e-4)  # mu-law is steep near 0


@pytest.mark.parametrize("n_classes", [256, 1024])
def test_edges_of_clip_and_range(n_classes, recording, config):
    """Silence stands before the first sample and none inside; full scale and beyond are the outermost classes."""
    net = dataclasses.replace(config.wavenet, n_classes=n_classes, pre_emphasis=0.0)
    own = dataclasses.replace(config, wavenet=net)
    waveform = recording.waveform.copy()
    waveform[:4], waveform[1916:1924], waveform[-3:] = [0.95, -0.95, 0.0, 1e-9], 0.95, [-0.95, 0.0, 0.95]
    loud = dataclasses.replace(recording, waveform=waveform)
    whole, classes = w.crop_inputs(loud, own, 0, 7)
    values, silence = class_values(n_classes), silence_class(n_classes)
    assert whole["waveform"][0] == values[silence] and abs(values[silence]) < 1 / (n_classes - 1) + 1e-7
    assert classes[2] == classes[3] == silence  # digital silence is what stands before the clip: no click
    step = 2 / (n_classes - 1)
    np.testing.assert_allclose(values[classes], compand(waveform, n_classes), atol=step / 2 + 1e-6)
    np.testing.assert_array_equal(whole["waveform"][1:], values[classes[:-1]])
    last, last_classes = w.crop_inputs(loud, own, 4, 3)  # to the last sample
    np.testing.assert_array_equal(last_classes, classes[2560:])
    np.testing.assert_array_equal(last["waveform"], whole["waveform"][2560:])
    assert to_classes(compand(np.array([1.0, 1.5, -1.0, -7.0]), n_classes), n_classes).tolist() == [
        *(n_classes - 1, n_classes - 1, 0, 0)
    ]


def test_pre_emphasis_beyond_full_scale_is_clipped(recording, config):
    """An alternating signal at 0.9 grows to 1.67 by pre-emphasis of 0.85: the outermost classes, none wraps round."""
    alternating = dataclasses.replace(recording, waveform=np.resize([0.9, -0.9], 4480).astype(np.float32))
    inputs, classes = w.crop_inputs(alternating, config, 2, 2)
    assert set(classes.tolist()) == {0, 255} and np.abs(inputs["waveform"]).max() == 1.0


def test_mixed_features_are_drawn_with_equal_chance(recording, config):
    other = dataclasses.replace(recording, mel=recording.mel + 100)
    sampler = w.CropSampler([recording], config, seed=1, others=[other])
    first, again = ([b["mel"].mean((1, 2)) > 50 for b, _ in sampler.batches(epoch, 60)] for epoch in (4, 4))
    np.testing.assert_array_equal(first, again)
    assert 0.4 < np.mean(first) < 0.6  # 180 draws: within 2.7 standard deviations


def test_converted_mel_below_the_floor_is_fed_as_it_is(recording, config):
    low = np.float32(np.log(config.acoustic.log_floor) - 0.5)
    deep = dataclasses.replace(recording, mel=np.full_like(recording.mel, low))
    np.testing.assert_array_equal(w.crop_inputs(deep, config, 2, 2)[0]["mel"], low)


def test_level_moves_sound_and_mel_together(recording, config):
    plain, _ = w.crop_inputs(recording, config, 2, 2)
    louder, classes = w.crop_inputs(recording, config, 2, 2, gain_db=-6.0)
    quieter = dataclasses.replace(recording, waveform=(recording.waveform * 10 ** (-6 / 20)).astype(np.float32))
    np.testing.assert_array_equal(classes, w.crop_inputs(quieter, config, 2, 2)[1])
    above = plain["mel"] > np.log(config.acoustic.log_floor) + 1
    shift = np.log(10 ** (-6 / 20))
    np.testing.assert_allclose((louder["mel"] - plain["mel"])[above], shift, atol=1e-5)


def test_level_never_clips(recording, config):
    _, classes = w.crop_inputs(recording, config, 2, 2, gain_db=40.0)
    loudest = np.abs(recording.waveform).max()
    assert loudest * 10 ** (40 / 20) > 1
    # peak 0.95, and pre-emphasis of noise can at most add 0.85 of it
    _, expected = w.crop_inputs(recording, config, 2, 2, gain_db=20 * np.log10(0.95 / loudest))
    np.testing.assert_array_equal(classes, expected)


def test_batches_depend_on_seed_and_epoch_alone(recording, config):
    sampler = w.CropSampler([recording], config, seed=1, vary_level=True)

    def draw(epoch, seed=1):
        return list(w.CropSampler([recording], config, seed=seed, vary_level=True).batches(epoch, 2))

    first, again = draw(5), list(sampler.batches(5, 2))
    for (a, b), (c, d) in zip(first, again, strict=True):
        np.testing.assert_array_equal(b, d)
        assert all((a[name] == c[name]).all() for name in a)
    assert (draw(5)[0][1] != draw(6)[0][1]).any() and (draw(5)[0][1] != draw(5, seed=2)[0][1]).any()
    assert first[0][1].shape == (3, 3 * 640)  # 0.13 s holds three whole video frames
    assert first[0][0]["mel"].shape == (3, 24, 80)


def test_standardised_input_is_what_the_run_feeds(recording, config):
    inputs, _ = w.crop_inputs(recording, config, 0, 2, standardise=lambda mel: (mel + 4) / 2)
    plain, _ = w.crop_inputs(recording, config, 0, 2)
    np.testing.assert_allclose(inputs["mel"], (plain["mel"] + 4) / 2)


def test_too_short_recordings_are_refused(recording, config):
    short = dataclasses.replace(recording, waveform=recording.waveform[:640], mel=recording.mel[:8])
    with pytest.raises(MediaError, match="crop_seconds"):
        w.CropSampler([short], config, seed=1)


def test_files_are_found_and_read(config, tmp_path, rng):
    folder = tmp_path / "speech"
    (folder / "below").mkdir(parents=True)
    for i, name in enumerate(["a_one.wav", "below/b_two.flac"]):
        soundfile.write(folder / name, 0.1 * rng.normal(size=48000 + 500 * i), 48000)
    np.savetxt(folder / "a_one.f0.txt", np.full(200, 123.0))
    paths = r.find_recordings([folder])
    assert [path.name for path in paths] == ["a_one.wav", "b_two.flac"]
    first, second = (r.read_recording(path, config) for path in paths)
    assert first.waveform.shape == (16000,) and first.mel.shape == (200, 80)
    assert (first.f0_hz == 123).all() and second.f0_hz is None


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(MediaError, match="no such folder"):
        r.find_recordings([tmp_path / "none"])
    with pytest.raises(MediaError, match="holds no recordings"):
        r.find_recordings([tmp_path])
