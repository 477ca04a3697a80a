"""Step by step == all at once, over shapes; seeds, batches and temperatures."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from avsc_tf.config import load_config
from avsc_tf.conversion.sampler import WaveNetSampler
from avsc_tf.datasets.recordings import Recording, resample_for_wavenet, with_side_information
from avsc_tf.datasets.waveform import crop_inputs
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.pitch import PACKAGED_PITCH, PitchEstimator
from avsc_tf.layers.logistic_mixture import class_logits
from avsc_tf.models.wavenet import build_wavenet
from avsc_tf.timebase import Timebase

TINY = [
    "wavenet.n_classes=32",
    "wavenet.n_layers=5",
    "wavenet.dilation_cycle=4",
    "wavenet.residual_channels=6",
    "wavenet.skip_channels=10",
    "wavenet.post_channels=14",
    "wavenet.condition_channels=7",
    "wavenet.facial_channels=3",
    "wavenet.mel_matching_passes=0",
    "face.n_vgg=9",
]
SHAPES = {
    "demo": [],
    "one layer, odd widths": ["wavenet.n_layers=1", "wavenet.residual_channels=5", "wavenet.skip_channels=3"],
    "previous sample only": ["wavenet.input_features=companded"],
    "no pitch lag, BLSTM": ["wavenet.pitch_input=none", "wavenet.condition_rnn_units=6"],
    "no face, 24 kHz": ["wavenet.facial_channels=0", "wavenet.sample_rate_hz=24000"],
    "no prediction": ["wavenet.prediction_order=0"],
    "F0 alone": ["wavenet.pitch_input=f0"],
    "mixture of logistics": ["wavenet.n_mixtures=3"],
    "mixture without prediction": ["wavenet.n_mixtures=2", "wavenet.prediction_order=0"],
    "paper's inputs": [
        "wavenet.pitch_input=none",
        "wavenet.prediction_order=0",
        "wavenet.input_features=companded",
        "wavenet.condition_rnn_units=4",
        "wavenet.pre_emphasis=0",
    ],
}


def make(root, *overrides: str):
    """A network with random weights, its settings and its sampler."""
    config = load_config(root / "configs" / "demo.yaml", [*TINY, *overrides])
    keras.utils.set_random_seed(8)
    model, rng = build_wavenet(config), np.random.default_rng(9)
    for weight in model.trainable_weights:
        scale = 0.03 if "peak" in weight.path else 0.3  # a sharper peak makes logits of -150, beyond float32's 1e-4
        weight.assign(weight.numpy() + scale * rng.normal(size=weight.shape))
    model.mel_normalisation.set_statistics(np.full(80, -5.0), np.full(80, 2.0))
    return config, model, WaveNetSampler(model, config)


def utterance(config, n_video: int, seed: int = 0) -> Recording:
    """A buzz in noise, so that pitch is found in some frames."""
    rng, timebase = np.random.default_rng(seed), Timebase.from_config(config.time)
    t = np.arange(timebase.samples_in(n_video)) / timebase.sample_rate_hz
    buzz = sum(np.cos(2 * np.pi * 150 * k * t + k) / k for k in range(1, 40)) * (t > t[-1] / 3)
    waveform = (0.1 * buzz + 0.001 * rng.normal(size=len(t))).astype(np.float32)
    mel = mel_spectrogram(waveform, config.acoustic, timebase)
    facial = rng.normal(size=(n_video, config.face.n_facial)).astype(np.float32)
    estimator = PitchEstimator.load(PACKAGED_PITCH) if config.wavenet.pitch_input != "none" else None
    recording = Recording("buzz", resample_for_wavenet(waveform, config), mel, facial)
    return with_side_information([recording], config, estimator)[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_step_by_step_equals_all_at_once(shape, root):
    config, model, sampler = make(root, *SHAPES[shape])
    recording = utterance(config, n_video=4)
    inputs, classes = crop_inputs(recording, config, 0, 4)
    expected = np.asarray(model({name: value[None] for name, value in inputs.items()}))[0]
    if config.wavenet.n_mixtures:
        expected = np.asarray(class_logits(expected, config.wavenet.n_classes))
    found = sampler.logits(classes, recording.mel, recording.facial)
    if config.wavenet.pitch_input == "lag":
        assert 0.1 < recording.pitch.is_voiced.mean() < 0.9  # or the lag taps would not be tested
    np.testing.assert_allclose(found, expected, atol=1e-4)  # float32, sums in another order


def test_generated_speech_obeys_its_own_logits(root):
    """At a temperature near 0 every sample is the likeliest class, given those before."""
    config, _, sampler = make(root)
    recording = utterance(config, n_video=2)
    waveform = sampler.generate([recording.mel], [recording.facial], temperature=1e-3, voiced_temperature=1e-3, seed=1)[
        0
    ]
    values = np.stack([sampler.to_waveform(np.full(1, q, np.int32))[0] for q in range(32)])
    emphasised = waveform - config.wavenet.pre_emphasis * np.concatenate([[0], waveform[:-1]])
    classes = np.abs(emphasised[:, None] - values).argmin(1).astype(np.int32)
    likeliest = sampler.logits(classes, recording.mel, recording.facial).argmax(1)
    assert (likeliest == classes).mean() > 0.99  # ties within 1e-3 nats may fall either way


def test_the_same_seed_gives_the_same_sound_whatever_the_batch(root):
    config, _, sampler = make(root)
    first, second, third = (utterance(config, n, seed=n) for n in (2, 5, 3))
    alone = sampler.generate([second.mel], [second.facial], seed=7)[0]
    batch = [first, second, third]
    together = sampler.generate([r.mel for r in batch], [r.facial for r in batch], seed=7, n_threads=2)
    np.testing.assert_array_equal(together[1], alone)
    assert [len(w) for w in together] == [n * 640 for n in (2, 5, 3)]
    other = sampler.generate([second.mel], [second.facial], seed=8)[0]
    assert (other != alone).any()


def test_what_follows_does_not_change_what_was_said(root):
    """The condition looks one mel frame ahead and the pitch three convolutions of kernel 5; not more."""
    config, _, sampler = make(root, "wavenet.pitch_input=none")
    recording = utterance(config, n_video=5)
    changed = recording.mel.copy()
    changed[24:] += 1.0
    before, after = (sampler.generate([mel], [recording.facial], seed=3)[0] for mel in (recording.mel, changed))
    np.testing.assert_array_equal(before[: 23 * 80], after[: 23 * 80])
    assert (before[23 * 80 :] != after[23 * 80 :]).any()


def test_sampled_classes_follow_the_softmax(root):
    """First sample over many seeds against its distribution."""
    config, _, sampler = make(root, "wavenet.n_classes=4", "wavenet.pitch_input=none")
    recording = utterance(config, n_video=1)
    logits = sampler.logits(np.zeros(640, np.int32), recording.mel, recording.facial)[0].astype(float)
    expected = np.exp(logits) / np.exp(logits).sum()
    values = [sampler.to_waveform(np.full(1, q, np.int32))[0] for q in range(4)]
    drawn = [sampler.generate([recording.mel], [recording.facial], seed=s)[0][0] for s in range(400)]
    found = np.array([np.isclose(drawn, v).mean() for v in values])
    assert np.abs(found - expected).max() < 4 * np.sqrt(0.25 / 400)  # four standard errors


def test_the_face_may_be_absent(root):
    config, _, sampler = make(root)
    recording = utterance(config, n_video=2)
    absent = sampler.generate([recording.mel], seed=1)[0]
    zeros = sampler.generate([recording.mel], [np.zeros_like(recording.facial)], seed=1)[0]
    np.testing.assert_array_equal(absent, zeros)
