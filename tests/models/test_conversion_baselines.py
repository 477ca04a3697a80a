"""The conversion network with one modality (paper section 4.4), and with streams that may be missing."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from avsc_tf.core.config import Config, load_config
from avsc_tf.models.conversion_net import alone_map, build_conversion_net

SMALL = [
    "face.n_vgg=12",
    "conversion.audio_down_channels=[4, 6, 6]",
    "conversion.facial_down_channels=[10, 6, 6]",
    "conversion.fusion_channels=[12, 12]",
    "conversion.audio_up_channels=[6, 6, 4]",
    "conversion.facial_up_channels=[6, 10]",
]
LINEAR = ["conversion.linear_path=true", "conversion.linear_path_rank=3", "conversion.linear_path_context=1"]
OF = {"audio": "mel", "visual": "facial"}


def small(root, name: str, *overrides: str) -> Config:
    return load_config(root / "configs" / f"{name}.yaml", [*SMALL, *overrides])


def inputs(n_frames: int, rng: np.random.Generator, batch: int = 2) -> dict[str, np.ndarray]:
    mel = rng.normal(size=(batch, 8 * n_frames, 80)).astype(np.float32)
    return {"mel": mel, "facial": rng.normal(size=(batch, n_frames, 152)).astype(np.float32)}


def test_parameter_count_at_the_papers_size(root):
    """The joint network's layers without the other modality's; the fusion reads 512 channels in place of 1024."""
    audio_down = (401 * 256 + 4 * 256) + (1281 * 512 + 4 * 512) + (2561 * 512 + 4 * 512)
    facial_down = (21181 * 1024 + 4 * 1024) + (5121 * 512 + 4 * 512) + (2561 * 512 + 4 * 512)
    fusion = (2561 * 1024 + 4 * 1024) + 4 * (5121 * 1024 + 4 * 1024)
    audio_up = (5121 * 512 + 4 * 512) + (2561 * 512 + 4 * 512) + (2561 * 256 + 4 * 256)
    facial_up = (5121 * 512 + 4 * 512) + (2561 * 1024 + 4 * 1024)
    for name, expected in (
        ("audio", audio_down + fusion + audio_up + 1281 * 80),
        ("visual", facial_down + fusion + facial_up + 5121 * 4236),
    ):
        net = build_conversion_net(load_config(root / "configs" / f"baseline_{name}.yaml"))
        assert net.count_params() == expected, name


@pytest.mark.parametrize("name", ["audio", "visual"])
def test_stride_one_throughout(root, name):
    net = build_conversion_net(small(root, f"baseline_{name}"))
    convolutions = [layer for layer in net.layers if isinstance(layer, keras.layers.Conv1D)]
    assert len(convolutions) == {"audio": 3 + 2 + 3 + 1, "visual": 3 + 2 + 2 + 1}[name]
    assert all(layer.strides == (1,) and layer.kernel_size == (5,) for layer in convolutions)
    assert not [layer for layer in net.layers if isinstance(layer, keras.layers.Conv1DTranspose)]
    assert list(net.input) == list(net.output) == [OF[name]]


def test_maps_of_one_shape_are_connected_in_the_audio_network_too(root):
    net = build_conversion_net(small(root, "baseline_audio"))
    sums = {layer.name: layer.input for layer in net.layers if layer.name.endswith("_residual")}
    assert set(sums) == {
        "audio_down_3_residual",  # 6 channels after 6
        "fusion_2_residual",
        "audio_up_1_residual",  # 6 channels: audio_down_3
        "audio_up_2_residual",  # its input and audio_down_3
        "audio_up_3_residual",  # 4 channels: audio_down_1
    }
    assert len(sums["audio_up_2_residual"]) == 3
    assert sums["audio_up_3_residual"][1] is net.get_layer("audio_down_1_norm").output


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("name", ["audio", "visual"])
def test_the_other_stream_may_be_given_and_changes_nothing(root, rng, tmp_path, name, linear):
    net = build_conversion_net(small(root, f"baseline_{name}", *(LINEAR if linear else [])))
    for weight in net.weights:
        weight.assign(weight + 0.01 * rng.normal(size=weight.shape))  # the output layers of a linear path start at zero
    x, kept = inputs(7, rng), OF[name]
    y = net(x)
    assert list(y) == [kept]
    assert y[kept].shape == x[kept].shape
    np.testing.assert_array_equal(y[kept], net({kept: x[kept]})[kept])
    net.save(tmp_path / "net.keras")
    np.testing.assert_array_equal(y[kept], keras.models.load_model(tmp_path / "net.keras")(x)[kept])


def test_linear_path_of_one_stream(root, rng):
    """Tied mel to tied mel; keypoints to keypoints, and through codes to the VGG part."""
    x = inputs(4, rng, batch=1)
    for name, n_in, n_out in (("audio", 640, 640), ("visual", 140, 143)):
        net = build_conversion_net(small(root, f"baseline_{name}", *LINEAR))
        kernel = rng.normal(size=(3, n_in, n_out)).astype(np.float32) / 30
        net.get_layer("linear_map").set_weights([kernel, np.zeros(n_out, np.float32)])
        read = x["mel"].reshape(4, 640) if name == "audio" else x["facial"][0, :, 12:]
        padded = np.pad(read, ((1, 1), (0, 0)))
        expected = sum(padded[k : k + 4] @ kernel[k] for k in range(3))
        y = net(x)
        tolerance = {"atol": 2e-5, "rtol": 1e-5}  # float32 sums over 1,920 products of size 1/30
        if name == "audio":
            np.testing.assert_allclose(y["mel"][0], expected.reshape(32, 80), **tolerance)
            continue
        vgg_kernel = net.get_layer("linear_vgg").get_weights()[0]
        np.testing.assert_allclose(y["facial"][0, :, 12:], expected[:, :140], **tolerance)
        np.testing.assert_allclose(y["facial"][0, :, :12], expected[:, 140:] @ vgg_kernel, **tolerance)


def test_a_missing_stream_goes_down_the_others_own_map(root, rng):
    net = build_conversion_net(small(root, "paper", *LINEAR, "conversion.modality_dropout=0.2"))
    maps = {name: net.get_layer(name) for name in ("linear_map", alone_map("mel"), alone_map("facial"))}
    for value, layer in zip((1.0, 2.0, 3.0), maps.values(), strict=True):
        layer.set_weights([np.zeros(layer.kernel.shape, np.float32), np.full(783, value, np.float32)])
    x = inputs(3, rng, batch=3)
    x["facial"][1], x["mel"][2] = 0, 0
    y = net(x)  # the convolutions' own outputs are still zero
    for i, expected in enumerate((1.0, 2.0, 3.0)):
        assert (np.asarray(y["mel"][i]) == expected).all()
        assert (np.asarray(y["facial"][i, :, 12:]) == expected).all()


def test_nothing_at_all_gives_the_mean(root):
    net = build_conversion_net(small(root, "paper", *LINEAR, "conversion.modality_dropout=0.2"))
    y = net({"mel": np.zeros((1, 16, 80), np.float32), "facial": np.zeros((1, 2, 152), np.float32)})
    assert not np.asarray(y["mel"]).any() and not np.asarray(y["facial"]).any()


def test_noise_does_not_fill_a_missing_stream(root, rng):
    """In training, too, a missing stream is zeros: two passes differ by the noise of the other stream alone."""
    config = small(root, "paper", "conversion.modality_dropout=0.5", "conversion.input_noise=0.3")
    net = build_conversion_net(config)
    probe = keras.Model(net.input, [net.get_layer("mel_kept").output, net.get_layer("facial_kept").output])
    x = inputs(2, rng, batch=40)
    mel, facial = (np.asarray(kept) for kept in probe(x, training=True))
    gone = [~stream.reshape(40, -1).any(axis=1) for stream in (mel, facial)]
    assert (gone[0] ^ gone[1]).all()  # at 0.5 one of the two is always missing
    assert 5 < gone[0].sum() < 35  # four deviations of 40 throws


def test_missing_streams_round_trip(root, rng, tmp_path):
    net = build_conversion_net(small(root, "paper", *LINEAR, "conversion.modality_dropout=0.2"))
    net.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    x = inputs(3, rng) | {"facial": np.zeros((2, 3, 152), np.float32)}
    for name, value in net(x).items():
        np.testing.assert_array_equal(value, loaded(x)[name])
