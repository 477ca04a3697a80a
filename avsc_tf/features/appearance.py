"""Appearance: layer fc1 of VGG-19 after its ReLU, 4096 numbers a frame (paper section 3.1). TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from avsc_tf.config import FaceConfig
from avsc_tf.errors import ConfigError

N_FC1 = 4096
_IMAGENET_PX = 224
_IMAGENET_MEAN_BGR = np.array([103.939, 116.779, 123.68], np.float32)
_LARGEST_FLOAT16 = 65504.0


class Vgg19Features:
    """Crops to features, in batches of about one size.

    A clip is cut into the fewest batches that `face.vgg_batch` allows, as even as can be: no padding is computed, and
    what a frame gives depends on its clip alone, never on the clips beside it.

    `face.vgg_weights`: "imagenet" downloads Keras' weights; a path reads them from a file; "untrained" takes
    He-normal weights drawn from `seed`, the same in every run (a random but fixed description of the face).

    Raises:
        ConfigError: weights that cannot be had, or settings VGG-19 does not have.
    """

    def __init__(self, face: FaceConfig, seed: int):
        import tensorflow as tf

        if face.n_vgg != N_FC1:
            raise ConfigError(f"face.n_vgg is {face.n_vgg}; layer fc1 of VGG-19 has {N_FC1}. Set it to {N_FC1}.")
        if face.vgg_weights != "untrained" and face.vgg_px != _IMAGENET_PX:
            raise ConfigError(
                f"face.vgg_px is {face.vgg_px}; trained weights need {_IMAGENET_PX}. Set it so, or choose "
                "face.vgg_weights=untrained."
            )
        self._face = face
        self._model = _fc1_model(face, seed)
        shape = (None, face.vgg_px, face.vgg_px, 3)
        self._apply = tf.function(self._forward, input_signature=[tf.TensorSpec(shape, tf.float32)])

    def _forward(self, images: Any) -> Any:
        import tensorflow as tf

        features = self._model(tf.cast(images, self._face.vgg_dtype), training=False)
        return tf.cast(features, tf.float32)

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        """uint8 [T, height, width, 3], RGB -> float16 [T, 4096], activations (at least 0, finite)."""
        trained = self._face.vgg_weights != "untrained"
        features = np.empty((len(crops), N_FC1), np.float16)
        for part in even_batches(len(crops), self._face.vgg_batch):
            images = network_inputs(crops[part], px=self._face.vgg_px, trained=trained)
            features[part] = np.minimum(self._apply(images).numpy(), _LARGEST_FLOAT16)
        return features


def computes_bfloat16() -> bool | None:
    """Whether this processor multiplies bfloat16 in hardware; None where the system does not tell."""
    try:
        words = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return None
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(words)


def even_batches(n: int, largest: int) -> list[slice]:
    """The fewest slices of `n` items that hold at most `largest` each, none longer than another by more than one."""
    n_batches = -(-n // largest)
    ends = [n * (i + 1) // n_batches for i in range(n_batches)]
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def network_inputs(crops: np.ndarray, *, px: int, trained: bool) -> np.ndarray:
    """uint8 [T, height, width, 3], RGB -> float32 [T, px, px, 3] as the weights expect them.

    Trained weights want BGR less ImageNet's mean; untrained ones unit scale, which He initialisation then keeps.
    """
    resized = [cv2.resize(crop, (px, px), interpolation=cv2.INTER_AREA) for crop in crops]
    images = np.stack(resized).astype(np.float32) if resized else np.empty((0, px, px, 3), np.float32)
    return images[..., ::-1] - _IMAGENET_MEAN_BGR if trained else (images - 127.5) / 64


def _fc1_model(face: FaceConfig, seed: int) -> Any:
    """VGG-19 up to fc1 with its weights, stored and computed in `vgg_dtype` (0.25 GB in bfloat16)."""
    model = _trunk(face)
    if face.vgg_weights == "untrained":
        he_normal(model, seed)
        return model
    full = _trained_vgg19(face)
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(full.get_layer(layer.name).get_weights())
    return model


def _trunk(face: FaceConfig) -> Any:
    """The layers of keras.applications.VGG19 up to fc1, of its names, without touching Keras' global policy."""
    import keras

    def with_dtype(layer: Any) -> Any:
        return layer.__class__.from_config({**layer.get_config(), "dtype": face.vgg_dtype})

    shape = (face.vgg_px, face.vgg_px, 3)
    convolutions = keras.applications.VGG19(weights=None, include_top=False, input_shape=shape)
    convolutions = keras.models.clone_model(convolutions, clone_function=with_dtype)
    flat = keras.layers.Flatten(name="flatten", dtype=face.vgg_dtype)(convolutions.output)
    fc1 = keras.layers.Dense(N_FC1, activation="relu", name="fc1", dtype=face.vgg_dtype, kernel_initializer="zeros")
    return keras.Model(convolutions.input, fc1(flat))


def _trained_vgg19(face: FaceConfig) -> Any:
    """The whole network in float32: weight files hold its top as well."""
    import keras

    shape = (face.vgg_px, face.vgg_px, 3)
    if face.vgg_weights == "imagenet":
        try:
            return keras.applications.VGG19(weights="imagenet", input_shape=shape)
        except Exception as error:  # urllib's, keras' and the archive's errors all mean: not to be had
            raise ConfigError(
                f"face.vgg_weights=imagenet: the download failed ({error}). Set it to the path of "
                "vgg19_weights_tf_dim_ordering_tf_kernels.h5, or to `untrained` for random weights."
            ) from error
    model = keras.applications.VGG19(weights=None, input_shape=shape)
    load_weights(model, Path(face.vgg_weights))
    return model


def load_weights(model: Any, path: Path) -> None:
    if not path.is_file():
        raise ConfigError(
            f"face.vgg_weights={path}: no such file. Name a VGG-19 weights file, `imagenet`, or `untrained`."
        )
    try:
        model.load_weights(str(path))
    except Exception as error:  # h5py, Keras and zip errors all mean: not these weights
        raise ConfigError(
            f"face.vgg_weights={path}: not the weights of keras.applications.VGG19 with its top ({error}). "
            "Name vgg19_weights_tf_dim_ordering_tf_kernels.h5."
        ) from error


def he_normal(model: Any, seed: int) -> None:
    """He et al. 2015: normal kernels of variance 2 / fan-in, zero biases; ReLU then keeps the activations' scale."""
    import ml_dtypes  # noqa: F401  (NumPy's bfloat16)

    rng = np.random.default_rng([seed, 19])
    for layer in model.layers:
        if not layer.weights:
            continue
        kernel, bias = layer.weights
        scale = np.float32(np.sqrt(2 / np.prod(kernel.shape[:-1])))
        values = np.empty(kernel.shape, kernel.dtype)
        for row in range(len(values)):  # a row at a time: fc1 alone is 0.4 GB in float32
            values[row] = rng.standard_normal(kernel.shape[1:], np.float32) * scale
        layer.set_weights([values, np.zeros(bias.shape, bias.dtype)])
