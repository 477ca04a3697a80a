"""The WaveNet's layers against slow NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from avsc_tf.layers.causal_conv import GatedResidualBlock, delay
from avsc_tf.layers.conditioning import FacialAtMelRate, MelRestandardise
from avsc_tf.layers.predictive_logits import PredictiveLogits
from avsc_tf.layers.projection import Projection
from avsc_tf.layers.sample_inputs import SampleInputs
from avsc_tf.signal.companding import LINEAR_SCALE, PEAK_WIDTH, START_SHARPNESS, class_values, expand


def _randomised(layer, rng):
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape))
    return layer


@pytest.mark.parametrize("samples", [1, 3, 11])
def test_delay_shifts_and_fills_with_zeros(samples, rng):
    x = rng.normal(size=(2, 7, 3)).astype(np.float32)
    expected = np.zeros_like(x)
    expected[:, samples:] = x[:, : max(0, 7 - samples)]
    np.testing.assert_array_equal(np.asarray(delay(x, samples)), expected)


@pytest.mark.parametrize("dilation", [1, 4])
@pytest.mark.parametrize("has_residual", [True, False])
def test_block_follows_the_wavenet_equations(dilation, has_residual, rng):
    batch, frames, hop, channels = 2, 3, 5, 4
    x = rng.normal(size=(batch, frames * hop, channels)).astype(np.float32)
    condition = rng.normal(size=(batch, frames, 2 * channels)).astype(np.float32)
    block = GatedResidualBlock(dilation=dilation, hop_samples=hop, has_residual=has_residual)
    block.build(x.shape, condition.shape)
    _randomised(block, rng)
    next_x, gate = (np.asarray(y) for y in block(x, condition))

    kernel = np.asarray(block.kernel)
    for b in range(batch):
        for t in range(frames * hop):
            earlier = x[b, t - dilation] if t >= dilation else np.zeros(channels)
            z = earlier @ kernel[:channels] + x[b, t] @ kernel[channels:] + condition[b, t // hop]
            expected = np.tanh(z[:channels]) / (1 + np.exp(-z[channels:]))
            np.testing.assert_allclose(gate[b, t], expected, atol=1e-5)  # float32 against float64
            if has_residual:
                moved = x[b, t] + expected @ np.asarray(block.residual_kernel) + np.asarray(block.residual_bias)
                np.testing.assert_allclose(next_x[b, t], moved, atol=1e-4)
            else:
                np.testing.assert_array_equal(next_x[b, t], x[b, t])


def test_projection_is_a_dense_layer(rng):
    x = rng.normal(size=(2, 5, 3)).astype(np.float32)
    layer = Projection(7, activation="relu")
    layer.build(x.shape)
    _randomised(layer, rng)
    expected = np.maximum(x @ np.asarray(layer.kernel) + np.asarray(layer.bias), 0)
    np.testing.assert_allclose(np.asarray(layer(x)), expected, atol=1e-5)


def test_projection_starts_with_the_asked_gain():
    x = np.random.default_rng(1).normal(size=(1, 4000, 64)).astype(np.float32)
    layer = Projection(50, gain=0.5)
    assert np.asarray(layer(x)).std() == pytest.approx(0.5, rel=0.05)  # 3200 weights: 1.3 % standard error


def test_restandardised_mel_undoes_the_runs_statistics(rng):
    log_mel = rng.normal(-4, 2, size=(1, 6, 5)).astype(np.float32)
    run_mean, run_std, mean, std = (rng.uniform(0.5, 2, 5).astype(np.float32) for _ in range(4))
    layer = MelRestandardise()
    layer.build(log_mel.shape)
    layer.set_statistics(mean, std)
    as_pretrained = np.asarray(layer(log_mel))
    np.testing.assert_allclose(as_pretrained, (log_mel - mean) / std, atol=1e-5)
    layer.set_run_statistics(run_mean, run_std)
    of_the_run = (log_mel - run_mean) / run_std
    np.testing.assert_allclose(np.asarray(layer(of_the_run)), as_pretrained, atol=1e-5)
    np.testing.assert_allclose(layer.natural_log(of_the_run), log_mel, atol=1e-5)
    assert not layer.trainable_weights


def test_facial_is_repeated_and_absent_at_the_start(rng):
    facial = rng.normal(size=(2, 3, 6)).astype(np.float32)
    layer = FacialAtMelRate(4, mel_per_video=8)
    assert not np.asarray(layer(facial)).any()
    _randomised(layer, rng)
    out = np.asarray(layer(facial))
    assert out.shape == (2, 24, 4)
    np.testing.assert_array_equal(out[:, 8:16], np.repeat(out[:, 8:9], 8, axis=1))
    assert layer.compute_output_shape((2, 3, 6)) == (2, 24, 4)


def test_sample_inputs_hold_both_forms_of_both_past_samples(rng):
    previous = rng.uniform(-1, 1, size=(2, 5)).astype(np.float32)
    taps = rng.uniform(-1, 1, size=(2, 5, 3)).astype(np.float32)
    out = np.asarray(SampleInputs(n_classes=64, linear=True)(previous, taps))
    before = np.pad(previous, [(0, 0), (1, 0)])[:, :5]
    columns = [previous, before, LINEAR_SCALE * expand(previous, 64), LINEAR_SCALE * expand(before, 64)]
    expected = np.concatenate([np.stack(columns, -1), taps, LINEAR_SCALE * expand(taps, 64)], axis=-1)
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_sample_inputs_append_prediction_and_residuals(rng):
    previous, prediction = rng.uniform(-1, 1, size=(2, 2, 5)).astype(np.float32)
    residuals = rng.uniform(-1, 1, size=(2, 5, 3)).astype(np.float32)
    layer = SampleInputs(n_classes=64, linear=True)
    out = np.asarray(layer(previous, None, prediction, residuals))
    forms = np.stack([prediction, LINEAR_SCALE * expand(prediction, 64)], -1)
    np.testing.assert_allclose(out[..., 4:], np.concatenate([forms, residuals], -1), atol=1e-5)
    assert layer.compute_output_shape((2, 5), None, (2, 5), (2, 5, 3)) == out.shape


def test_predictive_logits_peak_where_they_are_told(rng):
    x = rng.normal(size=(2, 4, 3)).astype(np.float32)
    prediction = rng.uniform(-0.8, 0.8, size=(2, 4)).astype(np.float32)
    layer = PredictiveLogits(32, gain=0.0)
    plain = np.asarray(layer(x, prediction))
    values = class_values(32)
    assert (plain.argmax(-1) == np.abs(values - prediction[..., None]).argmin(-1)).all()
    _randomised(layer, rng)
    shift, sharpness = np.moveaxis(x @ np.asarray(layer.peak_kernel) + np.asarray(layer.peak_bias), -1, 0)
    distance = (values - (prediction + shift)[..., None]) / PEAK_WIDTH
    peak = (sharpness + START_SHARPNESS)[..., None] * np.sqrt(1 + distance**2)
    expected = x @ np.asarray(layer.kernel) + np.asarray(layer.bias) - peak
    np.testing.assert_allclose(np.asarray(layer(x, prediction)), expected, rtol=1e-4, atol=1e-4)  # float32, to 1e3


def test_sample_inputs_of_the_paper_are_the_previous_sample(rng):
    previous = rng.uniform(-1, 1, size=(2, 5)).astype(np.float32)
    out = np.asarray(SampleInputs(n_classes=64, linear=False)(previous))
    np.testing.assert_array_equal(out, previous[..., None])


@pytest.mark.parametrize(
    "layer",
    [
        GatedResidualBlock(dilation=2, hop_samples=5, has_residual=False),
        Projection(3, gain=0.2, activation="relu", use_bias=False),
        MelRestandardise(),
        FacialAtMelRate(4, mel_per_video=8),
        SampleInputs(n_classes=64, linear=True),
        PredictiveLogits(64, gain=0.1),
    ],
)
def test_layers_come_back_from_their_config(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
