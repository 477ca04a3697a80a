"""The WaveNet's laws: size, causality, receptive field, use of every input."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from avsc_tf.core.config import load_config
from avsc_tf.models.wavenet import WaveNet, build_wavenet

HOP, PER = 80, 8

SMALL = [
    "wavenet.n_classes=16",
    "wavenet.n_layers=5",
    "wavenet.dilation_cycle=3",
    "wavenet.residual_channels=6",
    "wavenet.skip_channels=10",
    "wavenet.post_channels=12",
    "wavenet.condition_channels=7",
    "wavenet.facial_channels=3",
    "face.n_vgg=9",
]


def small_wavenet(root, *overrides: str, base: str = "demo") -> WaveNet:
    keras.utils.set_random_seed(3)
    model = build_wavenet(load_config(root / "configs" / f"{base}.yaml", [*SMALL, *overrides]))
    rng = np.random.default_rng(4)
    for weight in model.trainable_weights:  # zeros at the start would hide an input
        weight.assign(weight.numpy() + 0.2 * rng.normal(size=weight.shape))
    return model


def random_inputs(model: WaveNet, rng, *, batch: int = 2, n_video: int = 2) -> dict[str, np.ndarray]:
    frames = n_video * PER
    shapes = {
        "waveform": (batch, frames * HOP),
        "mel": (batch, frames, model.n_mels),
        "facial": (batch, n_video, model.n_facial),
        "pitch": (batch, frames, 2),
        "pitch_lag": (batch, frames * HOP, 5),
        "prediction": (batch, frames * HOP),
        "residuals": (batch, frames * HOP, 6),
    }
    return {name: rng.uniform(-0.9, 0.9, shapes[name]).astype(np.float32) for name in model.input}


def test_the_papers_size_by_hand(root):
    model = build_wavenet(load_config(root / "configs" / "paper.yaml"))
    parts = {
        "input": 1 * 64 + 64,
        "mel normalisation": 4 * 80,
        "facial": 4236 * 16 + 16,
        "BLSTM": 2 * 4 * ((96 + 32) * 32 + 32),
        "condition convolution": 3 * 64 * 64 + 64,
        "condition projection": 64 * 40 * 128 + 40 * 128,
        "dilated convolutions": 40 * 2 * 64 * 128,
        "residual": 39 * (64 * 64 + 64),
        "skip": 40 * 64 * 256 + 256,
        "post": 256 * 512 + 512,
        "logits": 512 * 1024 + 1024,
    }
    assert model.count_params() == sum(parts.values()) == 2_576_528
    assert model.receptive_field_samples == 4093
    assert len(model.trainable_weights) == 2 + 2 + 6 + 2 + 2 + 40 + 2 * 39 + 6


def test_the_papers_network_steps(root, rng):
    model = build_wavenet(load_config(root / "configs" / "paper.yaml"))
    inputs = random_inputs(model, rng, batch=1, n_video=1)
    classes = rng.integers(0, 1024, (1, PER * HOP))
    model.compile(optimizer=keras.optimizers.Adam(5e-4), loss=keras.losses.SparseCategoricalCrossentropy(True))
    losses = [model.train_on_batch(inputs, classes) for _ in range(2)]
    assert model(inputs).shape == (1, PER * HOP, 1024)
    assert losses[0] == pytest.approx(np.log(1024), abs=0.3)  # near uniform at the start
    assert losses[1] < losses[0]


@pytest.mark.parametrize("base", ["demo", "paper"])
def test_the_future_never_changes_the_past(base, root, rng):
    model = small_wavenet(root, base=base)
    inputs = random_inputs(model, rng)
    place = 700
    changed = {name: value.copy() for name, value in inputs.items()}
    for name in ("waveform", "pitch_lag", "prediction", "residuals"):
        if name in changed:
            changed[name][:, place:] += 0.1
    before, after = (np.asarray(model(x)) for x in (inputs, changed))
    np.testing.assert_array_equal(before[:, :place], after[:, :place])
    assert (before[:, place] != after[:, place]).any()


@pytest.mark.parametrize("input_features", ["companded", "companded_and_linear"])
def test_receptive_field_by_formula_is_the_measured_one(input_features, root, rng):
    model = small_wavenet(root, f"wavenet.input_features={input_features}")
    inputs = random_inputs(model, rng, batch=1)
    place = 100
    changed = {**inputs, "waveform": inputs["waveform"].copy()}
    changed["waveform"][0, place] += 0.5  # the sample before output `place`
    moved = np.abs(np.asarray(model(inputs)) - np.asarray(model(changed))).max(-1)[0] > 0
    reached = np.flatnonzero(moved)
    # dilations 1 2 4 1 2, and the sample itself; one more where the last but one enters too
    expected = 11 + (input_features == "companded_and_linear")
    assert model.receptive_field_samples == expected
    assert reached[0] == place and reached[-1] == place + expected - 1


@pytest.mark.parametrize("rnn_units", [0, 4])
def test_every_input_counts(rnn_units, root, rng):
    model = small_wavenet(root, f"wavenet.condition_rnn_units={rnn_units}")
    inputs = random_inputs(model, rng)
    reference = np.asarray(model(inputs))
    for name, value in inputs.items():
        assert (np.asarray(model({**inputs, name: value * 0.5})) != reference).any(), name


def test_pretraining_without_video_is_not_disturbed_by_it(root, rng):
    keras.utils.set_random_seed(5)
    model = build_wavenet(load_config(root / "configs" / "demo.yaml", SMALL))
    inputs = random_inputs(model, rng)
    without = {**inputs, "facial": np.zeros_like(inputs["facial"])}
    np.testing.assert_array_equal(np.asarray(model(inputs)), np.asarray(model(without)))


def test_whole_utterances_and_crops_share_one_network(root, rng):
    model = small_wavenet(root)
    inputs = random_inputs(model, rng, n_video=3)
    whole = np.asarray(model(inputs))
    rates = {"mel": PER, "facial": 1, "pitch": PER}  # all others at sample rate
    start = {name: value[:, : 2 * rates.get(name, PER * HOP)] for name, value in inputs.items()}
    part = np.asarray(model(start))
    kept = (2 * PER - 1) * HOP  # the last frame's condition looks one mel frame ahead
    # Another length may add up in another order: an error of eps times the number of terms, of the values' size.
    n_terms = max(int(np.prod(kernel.shape[:-1])) for kernel in model.weights if len(kernel.shape) > 1)
    tolerance = n_terms * float(np.finfo(np.float32).eps) * np.abs(whole).max()
    np.testing.assert_allclose(part[:, :kept], whole[:, :kept], rtol=0, atol=tolerance)
    beyond = np.abs(part[:, kept:] - whole[:, kept : part.shape[1]]).max()
    assert beyond > 100 * tolerance  # what the condition does change is far larger


def test_saved_and_loaded_network_says_the_same(root, rng, tmp_path):
    model = small_wavenet(root)
    inputs = random_inputs(model, rng)
    model.save(tmp_path / "wavenet.keras")
    again = keras.saving.load_model(tmp_path / "wavenet.keras")
    assert again.get_config() == model.get_config()
    np.testing.assert_array_equal(np.asarray(again(inputs)), np.asarray(model(inputs)))
