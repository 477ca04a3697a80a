"""Conversion network: paper's shapes and size, any length, residual paths, linear path, round trip, every config."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from avsc_tf.core.config import Config, load_config
from avsc_tf.models.conversion_net import build_conversion_net

SMALL = [
    "face.n_vgg=12",
    "conversion.audio_down_channels=[4, 6, 6]",
    "conversion.facial_down_channels=[10, 6, 6]",
    "conversion.fusion_channels=[12, 12]",
    "conversion.audio_up_channels=[6, 6, 4]",
    "conversion.facial_up_channels=[6, 10]",
]


@pytest.fixture
def small(root) -> Config:
    return load_config(root / "configs" / "paper.yaml", SMALL)


def inputs(config: Config, n_frames: int, rng: np.random.Generator, batch: int = 2) -> dict[str, np.ndarray]:
    mel = rng.normal(size=(batch, 8 * n_frames, config.acoustic.n_mels)).astype(np.float32)
    return {"mel": mel, "facial": rng.normal(size=(batch, n_frames, config.face.n_facial)).astype(np.float32)}


def test_parameter_count_at_the_papers_size(root):
    net = build_conversion_net(load_config(root / "configs" / "paper.yaml"))
    # a layer: (5 * in + 1) * out, and 4 * out of batch norm
    audio_down = (401 * 256 + 4 * 256) + (1281 * 512 + 4 * 512) + (2561 * 512 + 4 * 512)
    facial_down = (21181 * 1024 + 4 * 1024) + (5121 * 512 + 4 * 512) + (2561 * 512 + 4 * 512)
    fusion = 5 * (5121 * 1024 + 4 * 1024)
    audio_up = (5121 * 512 + 4 * 512) + (2561 * 512 + 4 * 512) + (2561 * 256 + 4 * 256)
    facial_up = (5121 * 512 + 4 * 512) + (2561 * 1024 + 4 * 1024)
    outputs = 1281 * 80 + 5121 * 4236
    assert net.count_params() == audio_down + facial_down + fusion + audio_up + facial_up + outputs == 85585116
    assert net.get_layer("audio_down_3").output.shape == (None, None, 512)
    assert net.outputs[0].shape[-1] + net.outputs[1].shape[-1] == 80 + 4236


def test_hidden_layers_are_convolution_relu_norm(small):
    net = build_conversion_net(small)
    hidden = [
        layer.name for layer in net.layers if isinstance(layer, keras.layers.Conv1D | keras.layers.Conv1DTranspose)
    ]
    assert len(hidden) == 3 + 3 + 2 + 3 + 2 + 2
    for name in hidden:
        layer = net.get_layer(name)
        assert layer.kernel_size == (5,)
        if name.endswith("_out"):
            assert layer.activation is keras.activations.linear
        else:
            assert net.get_layer(f"{name}_relu").input is layer.output
            assert net.get_layer(f"{name}_norm").input is net.get_layer(f"{name}_relu").output


def test_residual_paths_connect_maps_of_one_shape(small):
    net = build_conversion_net(small)
    sums = {layer.name: layer.input for layer in net.layers if layer.name.endswith("_residual")}
    assert set(sums) == {
        "facial_down_3_residual",
        "fusion_1_residual",
        "fusion_2_residual",
        "audio_up_1_residual",  # 6 channels at two mel frames a video frame: audio_down_2
        "facial_up_1_residual",  # 6 channels: facial_down_3
        "facial_up_2_residual",  # 10 channels: facial_down_1
    }
    assert sums["audio_up_1_residual"][1] is net.get_layer("audio_down_2_norm").output
    assert sums["facial_up_1_residual"][1] is net.get_layer("facial_down_3_residual").output
    assert sums["facial_up_2_residual"][1] is net.get_layer("facial_down_1_norm").output


@pytest.mark.parametrize("n_frames", [1, 2, 7, 50])
def test_any_number_of_video_frames(small, rng, n_frames):
    x = inputs(small, n_frames, rng)
    y = build_conversion_net(small)(x)
    assert y["mel"].shape == (2, 8 * n_frames, 80)
    assert y["facial"].shape == (2, n_frames, 152)


def test_both_modalities_reach_both_outputs(small, rng):
    net = build_conversion_net(small)
    x = inputs(small, 9, rng, batch=1)
    before = {name: value.numpy() for name, value in net(x).items()}
    for changed in ("mel", "facial"):
        after = net({**x, changed: x[changed] + 1.0})
        for name in ("mel", "facial"):
            assert np.abs(after[name].numpy() - before[name]).max() > 1e-4, (changed, name)


def test_linear_path_is_all_there_is_before_the_first_step(small, rng):
    net = replace(small.conversion, linear_path=True, linear_path_context=1, linear_path_rank=3)
    model = build_conversion_net(replace(small, conversion=net))
    kernel = rng.normal(size=(3, 640 + 140, 640 + 140 + 3)).astype(np.float32) / 30
    bias = rng.normal(size=640 + 140 + 3).astype(np.float32)
    vgg_kernel, vgg_bias = rng.normal(size=(3, 12)).astype(np.float32), rng.normal(size=12).astype(np.float32)
    model.get_layer("linear_map").set_weights([kernel, bias])
    model.get_layer("linear_vgg").set_weights([vgg_kernel, vgg_bias])
    x = inputs(small, 4, rng, batch=1)
    joined = np.concatenate([x["mel"].reshape(4, 640), x["facial"][0, :, 12:]], axis=1)
    padded = np.pad(joined, ((1, 1), (0, 0)))
    expected = sum(padded[k : k + 4] @ kernel[k] for k in range(3)) + bias
    y = model(x)
    tolerance = {"atol": 2e-5, "rtol": 1e-5}  # float32 sums over 2340 products of size 1/30
    np.testing.assert_allclose(y["mel"][0], expected[:, :640].reshape(32, 80), **tolerance)
    np.testing.assert_allclose(y["facial"][0, :, 12:], expected[:, 640:780], **tolerance)
    np.testing.assert_allclose(y["facial"][0, :, :12], expected[:, 780:] @ vgg_kernel + vgg_bias, **tolerance)
    assert not {"linear_map", "linear_vgg"} & {v.path.split("/")[-2] for v in model.trainable_variables}


def test_round_trip(small, rng, tmp_path):
    settings = {"linear_path": True, "dropout": 0.1, "input_noise": 0.2, "linear_path_context": 1}
    model = build_conversion_net(replace(small, conversion=replace(small.conversion, **settings)))
    model.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    x = inputs(small, 3, rng)
    for name, value in model(x).items():
        np.testing.assert_array_equal(value, loaded(x)[name])
    assert loaded.get_config() == model.get_config()
