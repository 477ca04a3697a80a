"""Step by step == all at once, over shapes; seeds, batches and temperatures."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.datasets.waveform import crop_inputs
from avsc_tf.layers.logistic_mixture import class_logits

SHAPES = {
    "demo": [],
    "one layer, odd widths": ["wavenet.n_layers=1", "wavenet.residual_channels=5", "wavenet.skip_channels=3"],
    "several panels, 48 kHz": [
        "wavenet.sample_rate_hz=48000",
        "wavenet.n_layers=3",
        "wavenet.residual_channels=40",
        "wavenet.skip_channels=70",
        "wavenet.post_channels=97",
        "wavenet.n_classes=130",
    ],
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


@pytest.mark.parametrize("shape", SHAPES)
def test_step_by_step_equals_all_at_once(shape, make, utterance):
    config, model, sampler = make(*SHAPES[shape])
    recording = utterance(config, n_video=4)
    inputs, classes = crop_inputs(recording, config, 0, 4)
    expected = np.asarray(model({name: value[None] for name, value in inputs.items()}))[0]
    if config.wavenet.n_mixtures:
        expected = np.asarray(class_logits(expected, config.wavenet.n_classes))
    found = sampler.logits(classes, recording.mel, recording.facial)
    if config.wavenet.pitch_input == "lag":
        assert 0.1 < recording.pitch.is_voiced.mean() < 0.9  # or the lag taps would not be tested
    np.testing.assert_allclose(found, expected, atol=1e-4)  # float32, sums in another order


def test_generated_speech_obeys_its_own_logits(make, utterance):
    """At a temperature near 0 every sample is the likeliest class, given those before."""
    config, _, sampler = make()
    recording = utterance(config, n_video=2)
    waveform = sampler.generate([recording.mel], [recording.facial], temperature=1e-3, voiced_temperature=1e-3, seed=1)[
        0
    ]
    values = np.stack([sampler.to_waveform(np.full(1, q, np.int32))[0] for q in range(32)])
    emphasised = waveform - config.wavenet.pre_emphasis * np.concatenate([[0], waveform[:-1]])
    classes = np.abs(emphasised[:, None] - values).argmin(1).astype(np.int32)
    likeliest = sampler.logits(classes, recording.mel, recording.facial).argmax(1)
    assert (likeliest == classes).mean() > 0.99  # ties within 1e-3 nats may fall either way


def test_the_same_seed_gives_the_same_sound_whatever_the_batch(make, utterance):
    config, _, sampler = make()
    first, second, third = (utterance(config, n, seed=n) for n in (2, 5, 3))
    alone = sampler.generate([second.mel], [second.facial], seed=7)[0]
    batch = [first, second, third]
    together = sampler.generate([r.mel for r in batch], [r.facial for r in batch], seed=7, n_threads=2)
    np.testing.assert_array_equal(together[1], alone)
    assert [len(w) for w in together] == [n * 640 for n in (2, 5, 3)]
    other = sampler.generate([second.mel], [second.facial], seed=8)[0]
    assert (other != alone).any()


def test_what_follows_does_not_change_what_was_said(make, utterance):
    """The condition looks one mel frame ahead and the pitch three convolutions of kernel 5; not more."""
    config, _, sampler = make("wavenet.pitch_input=none")
    recording = utterance(config, n_video=5)
    changed = recording.mel.copy()
    changed[24:] += 1.0
    before, after = (sampler.generate([mel], [recording.facial], seed=3)[0] for mel in (recording.mel, changed))
    np.testing.assert_array_equal(before[: 23 * 80], after[: 23 * 80])
    assert (before[23 * 80 :] != after[23 * 80 :]).any()


def test_sampled_classes_follow_the_softmax(make, utterance):
    """First sample over many seeds against its distribution."""
    config, _, sampler = make("wavenet.n_classes=4", "wavenet.pitch_input=none")
    recording = utterance(config, n_video=1)
    logits = sampler.logits(np.zeros(640, np.int32), recording.mel, recording.facial)[0].astype(float)
    expected = np.exp(logits) / np.exp(logits).sum()
    values = [sampler.to_waveform(np.full(1, q, np.int32))[0] for q in range(4)]
    drawn = [sampler.generate([recording.mel], [recording.facial], seed=s)[0][0] for s in range(400)]
    found = np.array([np.isclose(drawn, v).mean() for v in values])
    assert np.abs(found - expected).max() < 4 * np.sqrt(0.25 / 400)  # four standard errors


def test_the_face_may_be_absent(make, utterance):
    config, _, sampler = make()
    recording = utterance(config, n_video=2)
    absent = sampler.generate([recording.mel], seed=1)[0]
    zeros = sampler.generate([recording.mel], [np.zeros_like(recording.facial)], seed=1)[0]
    np.testing.assert_array_equal(absent, zeros)
