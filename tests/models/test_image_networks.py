"""Image generator and discriminator: the paper's layers and size, smaller ones, the closed-form path, round trips."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from avsc_tf.core.config import Config, load_config
from avsc_tf.models.image_discriminator import ImageDiscriminator, build_image_discriminator
from avsc_tf.models.image_generator import build_image_generator
from avsc_tf.models.patch_discriminator import PatchDiscriminator

SMALL = [
    "face.n_vgg=12",
    "image.size_px=32",
    "image.dense_units=[7]",
    "image.generator_channels=[2, 2, 4, 4, 2, 2, 3]",
    "image.discriminator_channels=[2, 3]",
]


def small(root, *overrides: str) -> Config:
    return load_config(root / "configs" / "paper.yaml", [*SMALL, *overrides])


def features(config: Config, rng: np.random.Generator, batch: int = 3) -> dict[str, np.ndarray]:
    return {
        "mel": rng.normal(size=(batch, 8, 80)).astype(np.float32),
        "facial": rng.normal(size=(batch, config.face.n_facial)).astype(np.float32),
    }


def test_generator_at_the_papers_size(root):
    net = build_image_generator(load_config(root / "configs" / "paper.yaml"))
    # a layer: (inputs + 1) * out, and 4 * out of batch norm; kernel 5 x 5
    dense = 4877 * 4096 + 4 * 4096 + 4097 * 4096 + 4 * 4096
    convolutions = 26 * 64 + 1601 * 64 + 1601 * 128 + 3201 * 128 + 3201 * 64 + 1601 * 64 + 1601 * 3
    norms = 4 * (64 + 64 + 128 + 128 + 64 + 64)
    assert net.count_params() == dense + convolutions + norms == 37823235
    assert net.get_layer("map").output.shape == (None, 64, 64, 1)
    assert net.output.shape == (None, 256, 256, 3)
    kinds = [type(net.get_layer(f"conv_{i}")).__name__ for i in range(1, 7)]
    assert kinds.count("Conv2DTranspose") == 2 and kinds.count("Conv2D") == 4


def test_discriminator_at_the_papers_size(root):
    net = build_image_discriminator(load_config(root / "configs" / "paper.yaml"))
    assert net.count_params() == 76 * 8 + 201 * 16 + 401 * 32 + 801 * 32 + 33 == 42321
    assert net.get_layer("pool_4").output.shape == (None, 1, 1, 32)
    assert not [layer for layer in net.layers if isinstance(layer, keras.layers.BatchNormalization)]


@pytest.mark.parametrize(("size_px", "pools"), [(256, 4), (128, 3), (64, 3), (16, 2), (4, 1)])
def test_small_images_stop_pooling_at_one_pixel(size_px, pools, rng):
    net = ImageDiscriminator(size_px=size_px, channels=(2, 3, 4, 5))
    assert len([layer for layer in net.layers if layer.name.startswith("pool")]) == pools
    assert net(rng.uniform(-1, 1, (2, size_px, size_px, 3)).astype(np.float32)).shape == (2, 1)


def test_norm_before_relu_and_tanh_at_the_end(root, rng):
    config = small(root)
    net = build_image_generator(config)
    for name in ("dense_1", "dense_2", *(f"conv_{i}" for i in range(1, 7))):
        assert net.get_layer(f"{name}_norm").input is net.get_layer(name).output
        assert net.get_layer(f"{name}_relu").input is net.get_layer(f"{name}_norm").output
    images = net(features(config, rng)).numpy()
    assert images.shape == (3, 32, 32, 3)
    assert np.abs(images).max() <= 1.0
    assert net.get_layer("image").activation is keras.activations.tanh


def test_path_is_all_there_is_before_the_first_step(root, rng):
    config = small(root, "image.path_components=4", "image.path_units=9")
    net = build_image_generator(config)
    shapes = [(140, 9), (9,), (9, 4), (4,), (4, 3072), (3072,)]
    w1, b1, w2, b2, w3, b3 = (rng.normal(size=shape).astype(np.float32) * 0.2 for shape in shapes)
    for name, weights in (("path_hidden", [w1, b1]), ("path_codes", [w2, b2]), ("path_picture", [w3, b3])):
        net.get_layer(name).set_weights(weights)
    x = features(config, rng)
    codes = np.maximum(x["facial"][:, 12:] @ w1 + b1, 0) @ w2 + b2
    expected = np.clip(codes @ w3 + b3, -1, 1).reshape(3, 32, 32, 3)
    np.testing.assert_allclose(net(x), expected, atol=1e-5)  # float32 sums over 140 products
    assert (np.abs(expected) == 1).any() and (np.abs(expected) < 1).any()
    assert not [v for v in net.trainable_variables if "path" in v.path]


WARPED = ("image.path_components=4", "image.path_units=9", "image.path_warp=true", "image.path_texture_scale=1.25")
PATCHES = ("image.discriminator_scales=2", "image.discriminator_kernel=4")


def test_warped_path_is_the_texture_where_the_face_is_the_mean_one(root, rng):
    config = small(root, *WARPED, "image.path_texture_scale=1.0")
    net = build_image_generator(config)
    texture = rng.uniform(-0.9, 0.9, 32 * 32 * 3).astype(np.float32)
    net.get_layer("path_picture").set_weights([np.zeros((4, 32 * 32 * 3)), texture])
    mean = (64 + 128 * rng.random((70, 2))).reshape(-1)
    net.get_layer("path_warp").set_weights([mean, np.full(140, 3.0)])
    x = features(config, rng)
    moved = net(x).numpy()
    x["facial"][:, 12:] = 0  # the mean face
    np.testing.assert_allclose(net(x), np.tile(texture.reshape(1, 32, 32, 3), (3, 1, 1, 1)), atol=2e-3)
    assert np.abs(moved - net(x)).mean() > 0.05  # 3 of 256 pixels of movement change noise
    np.testing.assert_allclose(moved[:, 0, 0], texture[None, :3].repeat(3, 0), atol=0.3)  # the corner stays


def test_convolutions_paint_into_the_texture_inside_the_face(root, rng):
    config = small(root, *WARPED)
    net = build_image_generator(config)
    assert net.get_layer("image_inside").output.shape == (None, 40, 40, 3)
    assert net.output.shape == (None, 32, 32, 3)
    before = net(x := features(config, rng)).numpy()
    kernel, bias = net.get_layer("image_linear").get_weights()
    net.get_layer("image_linear").set_weights([kernel, bias + 0.5])
    mask = np.zeros((40, 40, 1), np.float32)
    mask[10:30, 10:30] = 1
    net.get_layer("image_inside").set_weights([mask])
    change = net(x).numpy() - before
    assert change[:, 0].max() == 0 and change.max() == pytest.approx(0.5, abs=1e-5)


def test_patches_are_judged_on_two_scales(root, rng):
    config = small(root, *PATCHES, "image.discriminator_channels=[2, 3, 4, 5]", "image.size_px=64")
    net = build_image_discriminator(config)
    assert isinstance(net, PatchDiscriminator)
    out = net(rng.uniform(-1, 1, (3, 64, 64, 3)).astype(np.float32))
    assert [score.shape for score in out["scores"]] == [(3, 8, 8, 1), (3, 4, 4, 1)]
    assert [f.shape[1:] for f in out["features"][:4]] == [(32, 32, 2), (16, 16, 3), (8, 8, 4), (8, 8, 5)]
    assert len(out["features"]) == 8


def test_a_patch_is_judged_by_what_is_near(root, rng):
    """Far pixels do not move a score: three layers of stride 2 and kernel 4 see 22 pixels, the last convolution 46."""
    net = PatchDiscriminator(size_px=128, channels=(2, 3, 4), scales=1)
    image = rng.uniform(-1, 1, (1, 128, 128, 3)).astype(np.float32)
    other = image.copy()
    other[:, 60:] += 1.0
    a, b = (net(x)["scores"][0].numpy()[0, ..., 0] for x in (image, other))
    np.testing.assert_array_equal(a[:4], b[:4])
    assert np.abs(a[8:] - b[8:]).min() > 0


def test_warped_generator_is_plain_operations(root, rng, tmp_path):
    """A SavedModel of it needs none of our code, and takes any batch."""
    config = small(root, *WARPED)
    net = build_image_generator(config)
    net.get_layer("path_picture").set_weights([rng.normal(size=(4, 4800)), rng.uniform(-1, 1, 4800)])
    net.get_layer("path_warp").set_weights([(64 + 128 * rng.random((70, 2))).reshape(-1), np.full(140, 3.0)])
    net.export(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(tmp_path / "saved")
    for batch in (1, 3):
        x = features(config, rng, batch)
        np.testing.assert_allclose(served.serve(x), net(x, training=False), atol=1e-5)  # fused otherwise


@pytest.mark.parametrize("overrides", [(), ("image.path_components=4", "image.feature_noise=0.1"), (*WARPED, *PATCHES)])
def test_round_trip(root, rng, tmp_path, overrides):
    config = small(root, *overrides)
    net = build_image_generator(config)
    net.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    x = features(config, rng)
    np.testing.assert_array_equal(net(x), loaded(x))
    assert loaded.get_config() == net.get_config()
    discriminator = build_image_discriminator(config)
    discriminator.save(tmp_path / "d.keras")
    images = net(x)
    ours, theirs = (
        keras.tree.flatten(d(images)) for d in (discriminator, keras.models.load_model(tmp_path / "d.keras"))
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_generator_without_mel(root, rng, tmp_path):
    """The visual baseline (section 4.4): the mel may be given and changes nothing."""
    net = build_image_generator(small(root, "image.mel_input=false"))
    x = features(small(root), rng)
    image = net(x)
    assert net.get_layer("dense_1").kernel.shape == (152, 7)
    np.testing.assert_array_equal(image, net({"facial": x["facial"]}))
    net.save(tmp_path / "net.keras")
    np.testing.assert_array_equal(image, keras.models.load_model(tmp_path / "net.keras")(x))
