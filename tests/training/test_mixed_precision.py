"""Half-precision training: where it computes in which type, that it learns, and that float32 weights come out."""

from __future__ import annotations

import dataclasses
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from avsc_tf.config import config_from_dict
from avsc_tf.models.wavenet import build_wavenet
from avsc_tf.runs import weights_path
from avsc_tf.training.checkpoints import load_weights
from avsc_tf.training.mixed_precision import FLOAT32_LAYERS, for_training
from avsc_tf.training.wavenet import compile_wavenet, train_wavenet


def with_dtype(config, dtype: str, **wavenet):
    changed = dataclasses.replace(config.wavenet, compute_dtype=dtype, **wavenet)
    return config_from_dict(dataclasses.replace(config, wavenet=changed).as_dict())


@pytest.fixture
def inputs(tiny_config, rng):
    n_samples = 16 * 80
    return {
        "waveform": rng.uniform(-0.5, 0.5, (2, n_samples)).astype(np.float32),
        "mel": rng.normal(-5, 2, (2, 16, 80)).astype(np.float32),
        "facial": rng.normal(size=(2, 2, tiny_config.face.n_facial)).astype(np.float32),
        "prediction": rng.uniform(-0.5, 0.5, (2, n_samples)).astype(np.float32),
        "residuals": rng.uniform(-0.1, 0.1, (2, n_samples, 1)).astype(np.float32),
    }


def model_of(config) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = build_wavenet(config)
    model.mel_normalisation.set_statistics(np.full(80, -5.0), np.full(80, 2.0))
    return model


@pytest.mark.parametrize("units", [0, 4])
def test_matrix_products_run_in_bfloat16(units, tiny_config, inputs):
    config = with_dtype(tiny_config, "bfloat16", condition_rnn_units=units)
    trained = for_training(model_of(config), config)
    graph = tf.function(lambda x: trained(x, training=True)).get_concrete_function(inputs).graph
    products = [op for op in graph.get_operations() if op.type in ("MatMul", "BatchMatMulV2", "Conv2D")]
    in_half = [op for op in products if op.outputs[0].dtype == tf.bfloat16]
    # every block has 2 products (its last one 1); condition convolution and projection, facial projection, skip, post
    assert len(in_half) >= 2 * config.wavenet.n_layers - 1 + 5
    exact = {re.sub(r"_\d+$", "", op.name.split("/")[1]) for op in products if op.outputs[0].dtype == tf.float32}
    assert exact <= set(FLOAT32_LAYERS) | {"condition_rnn"}
    assert {"input_projection", "logits"} <= exact
    assert trained(inputs).dtype == tf.float32
    assert keras.config.dtype_policy().name == "float32"


def test_mel_normalisation_stays_exact(tiny_config, inputs):
    """bfloat16 has 8 bits: of a natural-log mel near -9 it would keep steps of 0.03."""
    config = with_dtype(tiny_config, "bfloat16")
    model = model_of(config)
    trained = for_training(model, config)
    np.testing.assert_array_equal(trained.mel_normalisation(inputs["mel"]), model.mel_normalisation(inputs["mel"]))


def test_half_precision_agrees_with_float32(tiny_config, inputs):
    config = with_dtype(tiny_config, "bfloat16")
    model = model_of(config)
    exact, rough = (tf.nn.softmax(m(inputs)).numpy() for m in (model, for_training(model, config)))
    assert 0 < np.abs(exact - rough).max() < 0.02  # a few units of bfloat16 (0.4 %) through four layers


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_loss_falls_and_weights_stay_float32(dtype, tiny_config, inputs):
    config = with_dtype(tiny_config, dtype, lr_schedule="constant", learning_rate=5e-3)
    trained = for_training(model_of(config), config)
    compile_wavenet(trained, config, total_steps=40)
    assert type(trained.optimizer).__name__ == ("LossScaleOptimizer" if dtype == "float16" else "Adam")
    classes = np.full(inputs["waveform"].shape, 20)
    losses = [float(trained.train_on_batch(inputs, classes)[0]) for _ in range(40)]
    assert losses[-1] < losses[0] - 1
    assert {keras.backend.standardize_dtype(w.dtype) for w in trained.weights} == {"float32"}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_delivered_weights_load_into_a_float32_network(dtype, tiny_config, tiny_records, tmp_path):
    config = with_dtype(tiny_config, dtype)
    model, history = train_wavenet(config, tiny_records, tmp_path)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert np.isfinite(history[-1]["loss"]) and history[-1]["learning_rate"] > 0
    fresh = build_wavenet(with_dtype(config, "float32"))
    load_weights(fresh, weights_path(tmp_path, "wavenet"))
    start = model_of(config).get_layer("skip").get_weights()[0]
    for a, b in zip(fresh.get_weights(), model.get_weights(), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b)
    assert (fresh.get_layer("skip").get_weights()[0] != start).any()
