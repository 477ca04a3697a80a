"""Starting from a network with fewer inputs: nothing is heard of the new ones at first, and they learn."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest

from avsc_tf.core.config import config_from_dict
from avsc_tf.core.errors import ConfigError
from avsc_tf.features.pitch import LAG_OFFSETS
from avsc_tf.models.wavenet import build_wavenet
from avsc_tf.training.engine.checkpoints import save_weights
from avsc_tf.training.wavenet.start import load_initial_weights
from avsc_tf.training.wavenet.train import wavenet_training

N_VIDEO = 3
# Zero rows add exact zeros, but a matrix product of another inner size sums in another order: float32 rounding.
ROUNDING = 2e-5


def with_net(config, **wavenet):
    changed = dataclasses.replace(config.wavenet, **wavenet)
    return config_from_dict(dataclasses.replace(config, wavenet=changed).as_dict())


def random_model(config, seed: int):
    """No weight is zero, so that a row that lands in the wrong place shows."""
    keras.utils.set_random_seed(seed)
    model = build_wavenet(config)
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.3, w.shape).astype(np.float32) for w in model.get_weights()])
    model.mel_normalisation.set_statistics(np.zeros(80), np.ones(80))
    model.mel_normalisation.set_run_statistics(np.zeros(80), np.ones(80))
    return model


def inputs_of(model, config, seed: int = 3):
    """Something for every input the model has; the same for the same name whatever the others are."""
    net, n_mel = config.wavenet, 8 * N_VIDEO
    n_samples = n_mel * model.hop_samples
    rng = np.random.default_rng(seed)
    everything = {
        "waveform": rng.uniform(-0.5, 0.5, (2, n_samples)),
        "mel": rng.normal(size=(2, n_mel, 80)),
        "facial": rng.normal(size=(2, N_VIDEO, config.face.n_facial)),
        "pitch": rng.normal(size=(2, n_mel, 2)),
        "pitch_lag": rng.uniform(-0.5, 0.5, (2, n_samples, len(LAG_OFFSETS))),
        "prediction": rng.uniform(-0.5, 0.5, (2, n_samples)),
        "residuals": rng.uniform(-0.5, 0.5, (2, n_samples, 1 + len(LAG_OFFSETS))),
    }
    chosen = {name: everything[name].astype(np.float32) for name in model.input}
    if "residuals" in chosen and net.pitch_input != "lag":
        chosen["residuals"] = chosen["residuals"][..., :1]
    return chosen


CASES = {
    "no face": ({"facial_channels": 0}, {"facial_channels": 5}),
    "fewer facial channels": ({"facial_channels": 3}, {"facial_channels": 5}),
    "no face, BLSTM": (
        {"facial_channels": 0, "condition_rnn_units": 6},
        {"facial_channels": 4, "condition_rnn_units": 6},
    ),
    "no pitch": ({"pitch_input": "none"}, {"pitch_input": "f0"}),
    "no lag": ({"pitch_input": "f0"}, {"pitch_input": "lag"}),
    "neither": ({"facial_channels": 0, "pitch_input": "none"}, {"facial_channels": 3, "pitch_input": "lag"}),
    "paper's form": (
        {"facial_channels": 0, "prediction_order": 0, "input_features": "companded", "condition_rnn_units": 4},
        {"facial_channels": 2, "prediction_order": 0, "input_features": "companded", "condition_rnn_units": 4},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_wider_network_starts_as_the_narrow_one(case, tiny_config, tmp_path):
    old, new = (with_net(tiny_config, **settings) for settings in CASES[case])
    donor = random_model(old, 1)
    save_weights(donor, tmp_path / "old.weights.h5")
    keras.utils.set_random_seed(2)
    model = build_wavenet(new)
    load_initial_weights(model, tmp_path / "old.weights.h5", new)
    expected = donor(inputs_of(donor, old))
    np.testing.assert_allclose(model(inputs_of(model, new)), expected, atol=ROUNDING, rtol=ROUNDING)
    assert np.abs(np.asarray(expected)).max() > 0.1


@pytest.mark.parametrize("units", [0, 6])
def test_new_facial_part_learns(units, tiny_config, tmp_path):
    """The first step moves the projection, the second also what reads it."""
    old = with_net(tiny_config, facial_channels=0, condition_rnn_units=units)
    new = with_net(old, facial_channels=4)
    save_weights(random_model(old, 1), tmp_path / "old.weights.h5")
    keras.utils.set_random_seed(2)
    model = build_wavenet(new)
    load_initial_weights(model, tmp_path / "old.weights.h5", new)
    reader = model.get_layer("condition_rnn" if units else "condition_conv")
    projection, rows = model.get_layer("facial_projection").get_weights()[0], reader.get_weights()[0]
    assert not projection.any() and rows[..., 80:84, :].all()
    training = wavenet_training(model, new, total_steps=9)
    inputs = inputs_of(model, new)
    classes = np.random.default_rng(0).integers(0, new.wavenet.n_classes, inputs["waveform"].shape)
    for _ in range(60):  # behind a warm-up of 50 steps
        training.train_step((inputs, classes))
    assert np.abs(model.get_layer("facial_projection").get_weights()[0]).max() > 1e-3
    assert np.abs(reader.get_weights()[0] - rows)[..., 80:84, :].max() > 1e-3
    silent = {**inputs, "facial": np.zeros_like(inputs["facial"])}
    assert np.abs(np.asarray(model(inputs)) - np.asarray(model(silent))).max() > 1e-3


@pytest.mark.parametrize(
    ("old", "new", "layer"),
    [
        ({"facial_channels": 5}, {"facial_channels": 3}, "projection"),  # some would be lost
        ({"facial_channels": 0, "post_channels": 7}, {"facial_channels": 3}, "post"),
        ({"pitch_input": "f0"}, {"pitch_input": "none"}, "condition_conv"),
        ({"n_layers": 3}, {"n_layers": 4}, "condition_projection|block|gated|skip"),
    ],
)
def test_other_differences_are_named(old, new, layer, tiny_config, tmp_path):
    old, new = with_net(tiny_config, **old), with_net(tiny_config, **new)
    save_weights(random_model(old, 1), tmp_path / "old.weights.h5")
    model = build_wavenet(new)
    before = model.get_weights()
    with pytest.raises(ConfigError, match=rf"old\.weights\.h5: holds another network .*({layer})"):
        load_initial_weights(model, tmp_path / "old.weights.h5", new)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
