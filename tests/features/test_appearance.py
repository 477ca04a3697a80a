"""VGG-19 fc1: batches, seeds, precision, and weights that cannot be had."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from avsc_tf.core.config import FaceConfig
from avsc_tf.core.errors import ConfigError
from avsc_tf.features.appearance import even_batches

SETTINGS = FaceConfig(
    crop_px=48,
    crop_face_share=0.55,
    min_detection_confidence=0.5,
    max_gap_seconds=0.2,
    max_edge_seconds=0.0,
    n_keypoints=70,
    vgg_px=32,
    vgg_weights="untrained",
    vgg_dtype="float32",
    vgg_batch=4,
    n_vgg=4096,
)


def _features(seed: int = 5, **changes):
    from avsc_tf.features.appearance import Vgg19Features

    return Vgg19Features(dataclasses.replace(SETTINGS, **changes), seed)


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    """Smooth pictures; noise would leave nothing after INTER_AREA."""
    rng = np.random.default_rng(3)
    return np.repeat(np.repeat(rng.integers(0, 255, (6, 6, 6, 3), dtype=np.uint8), 8, axis=1), 8, axis=2)


@pytest.fixture(scope="module")
def vgg():
    return _features()


def test_shape_and_scale(vgg, crops):
    features = vgg(crops)
    assert features.shape == (6, 4096)
    assert features.dtype == np.float16
    assert np.isfinite(features).all()
    assert features.min() == 0  # after the ReLU
    # He initialisation keeps the scale of unit inputs
    assert 0.05 < features.astype(np.float32).mean() < 2
    assert 0.3 < (features > 0).mean() < 0.7
    assert vgg(crops[:0]).shape == (0, 4096)


def test_batches_do_not_matter(vgg, crops):
    """Six frames are two batches of three; each frame alone gives the same."""
    together = vgg(crops).astype(np.float32)
    alone = np.concatenate([vgg(crops[k : k + 1]) for k in range(6)]).astype(np.float32)
    np.testing.assert_allclose(together, alone, rtol=2e-3, atol=1e-3)  # a step of float16


def test_seed_decides_the_weights():
    from avsc_tf.features.appearance import he_normal

    shapes = {"conv": (3, 3, 7, 50), "dense": (50, 60)}

    def kernels(seed: int) -> list[np.ndarray]:
        weights = list(he_normal(shapes, "float32", seed))
        assert [name for name, _, _ in weights] == list(shapes)
        assert not any(bias.any() for _, _, bias in weights)
        return [kernel for _, kernel, _ in weights]

    for first, again, other, fan_in in zip(kernels(5), kernels(5), kernels(6), (63, 50), strict=True):
        np.testing.assert_array_equal(first, again)
        assert (first != other).all()
        assert first.std() == pytest.approx(np.sqrt(2 / fan_in), rel=0.05)  # 3000 draws: 1.3 % standard error


def test_bfloat16_is_near_float32(vgg, crops):
    narrow = _features(vgg_dtype="bfloat16")
    exact, rounded = vgg(crops).astype(np.float64), narrow(crops).astype(np.float64)
    # 8 bits of mantissa through 17 layers: 0.8 % measured at 224 pixels
    assert np.linalg.norm(rounded - exact) < 0.03 * np.linalg.norm(exact)


def test_weights_from_a_file(tmp_path, monkeypatch, crops):
    """A saved VGG-19 is read back: the same features as the model that was saved gives by itself."""
    import keras

    from avsc_tf.features import appearance

    monkeypatch.setattr(appearance, "_IMAGENET_PX", 32)  # at 224 pixels the weights are 570 MB
    full = keras.applications.VGG19(weights=None, input_shape=(32, 32, 3))
    path = tmp_path / "vgg.weights.h5"
    full.save_weights(path)
    read = _features(vgg_weights=str(path))(crops[:2])
    path.unlink()  # 170 MB
    trunk = keras.Model(full.input, full.get_layer("fc1").output)
    expected = trunk.predict(appearance.network_inputs(crops[:2], px=32, trained=True), verbose=0)
    assert expected.max() > 0.01
    np.testing.assert_allclose(read, expected, rtol=2e-3, atol=1e-4)  # a step of float16
    path.write_bytes(b"not weights")
    with pytest.raises(ConfigError, match=r"vgg\.weights\.h5: not the weights"):
        appearance.load_weights(full, path)


def test_absent_weights(tmp_path):
    from avsc_tf.features.appearance import load_weights

    with pytest.raises(ConfigError, match=r"absent\.h5: no such file"):
        load_weights(None, tmp_path / "absent.h5")


def test_trained_inputs_are_bgr_without_the_mean():
    from avsc_tf.features.appearance import network_inputs

    crop = np.zeros((1, 48, 48, 3), np.uint8)
    crop[..., 0] = 200  # red
    trained = network_inputs(crop, px=32, trained=True)
    assert trained.shape == (1, 32, 32, 3)
    np.testing.assert_allclose(trained[0, 5, 7], [-103.939, -116.779, 200 - 123.68], rtol=1e-6)
    np.testing.assert_allclose(
        network_inputs(crop, px=32, trained=False)[0, 5, 7], [72.5 / 64, -127.5 / 64, -127.5 / 64]
    )


def test_settings_vgg_does_not_have():
    with pytest.raises(ConfigError, match=r"face\.n_vgg is 64"):
        _features(n_vgg=64)
    with pytest.raises(ConfigError, match=r"face\.vgg_px is 32; trained weights need 224"):
        _features(vgg_weights="imagenet")


@pytest.mark.parametrize(("n", "largest", "lengths"), [(75, 16, [15] * 5), (7, 3, [2, 2, 3]), (4, 4, [4]), (0, 5, [])])
def test_even_batches_cover_all_frames(n, largest, lengths):
    parts = even_batches(n, largest)
    assert [part.stop - part.start for part in parts] == lengths
    assert [i for part in parts for i in range(n)[part]] == list(range(n))
