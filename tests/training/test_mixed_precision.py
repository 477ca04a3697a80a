"""Half-precision training: where it computes in which type, that it learns, and that float32 weights come out."""

from __future__ import annotations

import dataclasses
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from avsc_tf.core.config import config_from_dict
from avsc_tf.core.runs import weights_path
from avsc_tf.models.conversion_net import build_conversion_net
from avsc_tf.models.image_generator import build_image_generator
from avsc_tf.models.wavenet import build_wavenet
from avsc_tf.training.conversion.train import conversion_training
from avsc_tf.training.engine.checkpoints import load_weights
from avsc_tf.training.engine.mixed_precision import WAVENET_FLOAT32_LAYERS
from avsc_tf.training.image.train import build_gan
from avsc_tf.training.wavenet.train import train_wavenet, wavenet_training


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


def in_training(model, config) -> keras.Model:
    return wavenet_training(model, config, total_steps=1).network


@pytest.mark.parametrize("units", [0, 4])
def test_matrix_products_run_in_bfloat16(units, tiny_config, inputs):
    config = with_dtype(tiny_config, "bfloat16", condition_rnn_units=units)
    trained = in_training(model_of(config), config)
    graph = tf.function(lambda x: trained(x, training=True)).get_concrete_function(inputs).graph
    products = [op for op in graph.get_operations() if op.type in ("MatMul", "BatchMatMulV2", "Conv2D")]
    in_half = [op for op in products if op.outputs[0].dtype == tf.bfloat16]
    # every block has 2 products (its last one 1); condition convolution and projection, facial projection, skip, post
    assert len(in_half) >= 2 * config.wavenet.n_layers - 1 + 5
    exact = {re.sub(r"_\d+$", "", op.name.split("/")[1]) for op in products if op.outputs[0].dtype == tf.float32}
    assert exact <= set(WAVENET_FLOAT32_LAYERS) | {"condition_rnn"}
    assert {"input_projection", "logits"} <= exact
    assert trained(inputs).dtype == tf.float32
    assert keras.config.dtype_policy().name == "float32"


def test_mel_normalisation_stays_exact(tiny_config, inputs):
    """bfloat16 has 8 bits: of a natural-log mel near -9 it would keep steps of 0.03."""
    config = with_dtype(tiny_config, "bfloat16")
    model = model_of(config)
    trained = in_training(model, config)
    np.testing.assert_array_equal(trained.mel_normalisation(inputs["mel"]), model.mel_normalisation(inputs["mel"]))


def test_half_precision_agrees_with_float32(tiny_config, inputs):
    config = with_dtype(tiny_config, "bfloat16")
    model = model_of(config)
    exact, rough = (tf.nn.softmax(m(inputs)).numpy() for m in (model, in_training(model, config)))
    assert 0 < np.abs(exact - rough).max() < 0.02  # a few units of bfloat16 (0.4 %) through four layers


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_loss_falls_and_weights_stay_float32(dtype, tiny_config, inputs):
    config = with_dtype(tiny_config, dtype, lr_schedule="constant", learning_rate=5e-3)
    training = wavenet_training(model_of(config), config, total_steps=40)
    assert type(training.optimizer).__name__ == ("LossScaleOptimizer" if dtype == "float16" else "Adam")
    step, classes = tf.function(training.train_step), np.full(inputs["waveform"].shape, 20)
    figures = [step((inputs, classes)) for _ in range(40)]
    assert float(figures[-1]["loss"]) < float(figures[0]["loss"]) - 1
    assert 1e-3 < float(figures[-1]["gradient_norm"]) < 1e3  # of the loss, not of the scaled one
    assert {keras.backend.standardize_dtype(w.dtype) for w in training.network.weights} == {"float32"}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_other_networks_learn_in_half_precision(dtype, tiny_config, rng):
    """Their losses are taken of float32 outputs, near those of the float32 step, and fall."""
    mel, facial = rng.normal(size=(2, 24, 80)).astype("f"), rng.normal(size=(2, 3, 164)).astype("f")
    pair = {"mel": mel, "facial": facial}
    size_px = tiny_config.image.size_px
    images = np.tile(rng.uniform(-1, 1, (1, size_px, size_px, 3)), (2, 1, 1, 1)).astype("f")
    faces = ({"mel": mel[:, :8], "facial": facial[:, 0]}, images, np.zeros((2, size_px, size_px, 1), "f"))
    for network, batch, name in (("conversion", (pair, pair), "loss"), ("image", faces, "generator/l1")):
        rough, exact = (_losses(network, tiny_config, kind, batch, name) for kind in (dtype, "float32"))
        assert rough[0] == pytest.approx(exact[0], rel=0.02)  # a few units of bfloat16 (0.4 %) through ten layers
        assert rough[-1] < rough[0]


def test_the_warp_stays_exact_and_patches_learn_in_half_precision(tiny_config, rng):
    image = dataclasses.replace(
        tiny_config.image,
        **{"compute_dtype": "bfloat16", "path_components": 3, "path_units": 8, "path_warp": True},
        **{"discriminator_scales": 2, "feature_matching_weight": 1.0, "lr_schedule": "constant"},
    )
    config = dataclasses.replace(tiny_config, image=image)
    training = build_gan(config, build_image_generator(config), total_steps=9)
    assert training.network.get_layer("path_warp").compute_dtype == "float32"
    size_px = image.size_px
    inputs = {"mel": rng.normal(size=(2, 8, 80)).astype("f"), "facial": rng.normal(size=(2, 164)).astype("f")}
    images = rng.uniform(-1, 1, (2, size_px, size_px, 3)).astype("f")
    step = tf.function(training.train_step)
    figures = [step((inputs, images, np.zeros((2, size_px, size_px, 1), "f"))) for _ in range(12)]
    assert figures[-1]["generator/l1"] < figures[0]["generator/l1"]
    assert all(value.dtype == tf.float32 for value in figures[-1].values())


def _losses(network: str, config, dtype: str, batch, name: str) -> list[float]:
    keras.utils.set_random_seed(1)
    net = dataclasses.replace(getattr(config, network), compute_dtype=dtype, lr_schedule="constant")
    config = dataclasses.replace(config, **{network: net})
    if network == "conversion":
        training = conversion_training(build_conversion_net(config), config, total_steps=9)
    else:
        training = build_gan(config, build_image_generator(config), total_steps=9)
    step = tf.function(training.train_step)
    assert {w.dtype for w in training.network.trainable_weights} == {"float32"}
    losses = [step(batch)[name] for _ in range(12)]
    assert losses[0].dtype == tf.float32
    return [float(loss) for loss in losses]


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
