"""Appearance: layer fc1 of VGG-19 after its ReLU, 4096 values per frame (paper section 3.1). TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np

from avsc_tf.core.config import FaceConfig
from avsc_tf.core.errors import ConfigError

N_FC1 = 4096
_IMAGENET_PX = 224
_IMAGENET_MEAN_BGR = np.array([103.939, 116.779, 123.68], np.float32)
_LARGEST_FLOAT16 = 65504.0
_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # channels and convolutions
_MOST_AT_ONCE = 8  # batches; one of 16 images of 224 pixels takes 0.4 GB in float32

Shape = tuple[int, ...]
LayerWeights = tuple[str, np.ndarray, np.ndarray]  # name, kernel, bias


class Vgg19Features:
    """Computes features of crops, in batches of nearly equal size.

    A clip is divided into the fewest batches that `face.vgg_batch` allows, as even as possible: no padding is computed,
    and the features of a frame depend on its clip alone. Each batch is computed on one thread, because the number of
    threads changes the order of sums and so the last bits; several batches at a time use all cores.

    Args:
        face: `vgg_weights` is "imagenet" (Keras downloads the weights), the path of a weights file, or "untrained"
            (He-normal weights drawn from `seed`: a random but fixed description of the face).

    Raises:
        ConfigError: the weights are not available, or VGG-19 does not have the settings.
    """

    def __init__(self, face: FaceConfig, seed: int):
        if face.n_vgg != N_FC1:
            raise ConfigError(f"face.n_vgg is {face.n_vgg}; layer fc1 of VGG-19 has {N_FC1}. Set it to {N_FC1}.")
        if face.vgg_weights != "untrained" and face.vgg_px != _IMAGENET_PX:
            raise ConfigError(
                f"face.vgg_px is {face.vgg_px}; trained weights need {_IMAGENET_PX}. Set it so, or choose "
                "face.vgg_weights=untrained."
            )
        self._face = face
        shapes = kernel_shapes(face.vgg_px)
        trained = face.vgg_weights != "untrained"
        weights = _trained_weights(face, shapes) if trained else he_normal(shapes, face.vgg_dtype, seed)
        self._network = _OneThreadNetwork(face, shapes, weights)

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        """Crops uint8 [T, height, width, 3], RGB -> activations float16 [T, 4096], at least 0 and finite."""
        features = np.empty((len(crops), N_FC1), np.float16)

        def compute(batch: slice) -> None:
            trained = self._face.vgg_weights != "untrained"
            images = network_inputs(crops[batch], px=self._face.vgg_px, trained=trained)
            features[batch] = np.minimum(self._network(images), _LARGEST_FLOAT16)

        with ThreadPoolExecutor(_batches_at_once()) as pool:
            list(pool.map(compute, even_batches(len(crops), self._face.vgg_batch)))
        return features


class _OneThreadNetwork:
    """VGG-19 up to fc1 in a separate TensorFlow session; each call runs on the calling thread alone (or on the GPU).

    Args:
        shapes: kernel shape per layer, see `kernel_shapes`.
        weights: name, kernel and bias of each layer, stored and computed in `vgg_dtype` (0.25 GB in bfloat16).
    """

    def __init__(self, face: FaceConfig, shapes: dict[str, Shape], weights: Iterable[LayerWeights]):
        import tensorflow as tf

        v1 = tf.compat.v1
        self._caller_runs = v1.RunOptions(inter_op_thread_pool=-1)
        with tf.Graph().as_default() as graph:
            initial = {
                name: [v1.placeholder(face.vgg_dtype, s) for s in (shape, shape[-1:])] for name, shape in shapes.items()
            }
            variables = {
                name: [v1.Variable(value, use_resource=True) for value in pair] for name, pair in initial.items()
            }
            self._images = v1.placeholder(tf.float32, (None, face.vgg_px, face.vgg_px, 3))
            self._features = tf.cast(_fc1(tf.cast(self._images, face.vgg_dtype), variables), tf.float32)
        self._session = v1.Session(graph=graph, config=_one_thread())
        for name, *values in weights:
            for variable, place, value in zip(variables[name], initial[name], values, strict=True):
                self._session.run(variable.initializer, {place: value})

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """float32 [N, px, px, 3] -> float32 [N, 4096]."""
        features: np.ndarray = self._session.run(self._features, {self._images: images}, options=self._caller_runs)
        return features


def _one_thread() -> Any:
    """Settings of a one-thread session; the process decides which GPUs are visible."""
    import tensorflow as tf

    tf.config.list_logical_devices()  # initialise the GPUs by TensorFlow's settings before the session's
    gpus = tf.config.get_visible_devices("GPU")
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=1,
        inter_op_parallelism_threads=1,
        use_per_session_threads=True,
        allow_soft_placement=True,
        device_count={"GPU": len(gpus)},
    )
    config.gpu_options.visible_device_list = ",".join(gpu.name.rpartition(":")[2] for gpu in gpus)
    return config


def _batches_at_once() -> int:
    """Number of batches computed at a time: TensorFlow's threads in this process, or 1 on a GPU."""
    import tensorflow as tf

    if tf.config.get_visible_devices("GPU"):
        return 1
    return min(tf.config.threading.get_intra_op_parallelism_threads() or joblib.cpu_count(), _MOST_AT_ONCE)


def kernel_shapes(px: int) -> dict[str, Shape]:
    """Kernel shape of each layer up to fc1, by Keras' layer names, for images of side `px`."""
    shapes: dict[str, Shape] = {}
    n_in = 3
    for block, (n_out, n_convolutions) in enumerate(_BLOCKS, 1):
        for k in range(1, n_convolutions + 1):
            shapes[f"block{block}_conv{k}"] = (3, 3, n_in, n_out)
            n_in = n_out
    n_flat = n_in * (px >> len(_BLOCKS)) ** 2
    return {**shapes, "fc1": (n_flat, N_FC1)}


def _fc1(x: Any, variables: dict[str, Any]) -> Any:
    """VGG-19 up to fc1 (Simonyan & Zisserman 2014, table 1, column E)."""
    import tensorflow as tf

    for block, (_, n_convolutions) in enumerate(_BLOCKS, 1):
        for k in range(1, n_convolutions + 1):
            kernel, bias = variables[f"block{block}_conv{k}"]
            x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias))
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    kernel, bias = variables["fc1"]
    return tf.nn.relu(tf.nn.bias_add(tf.matmul(tf.reshape(x, (-1, kernel.shape[0])), kernel), bias))


def computes_bfloat16() -> bool | None:
    """Whether this processor multiplies bfloat16 in hardware; None where the system does not report it."""
    try:
        words = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return None
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(words)


def vgg_notes(face: FaceConfig) -> list[str]:
    """Remarks on the settings of VGG-19 for the user."""
    notes = []
    if face.vgg_weights == "untrained":
        notes.append("VGG-19 has untrained (He-initialised) weights, as face.vgg_weights asks")
    if face.vgg_dtype == "bfloat16" and computes_bfloat16() is False:
        notes.append("this processor has no bfloat16 arithmetic; face.vgg_dtype=float32 may be faster here")
    return notes


def even_batches(n: int, largest: int) -> list[slice]:
    """The fewest slices of `n` items of at most `largest` each; their lengths differ by at most one."""
    n_batches = -(-n // largest)
    ends = [n * (i + 1) // n_batches for i in range(n_batches)]
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def network_inputs(crops: np.ndarray, *, px: int, trained: bool) -> np.ndarray:
    """Crops uint8 [T, height, width, 3], RGB -> inputs of the network float32 [T, px, px, 3].

    Trained weights take BGR minus ImageNet's mean, untrained ones unit scale, which He initialisation preserves.
    """
    resized = [cv2.resize(crop, (px, px), interpolation=cv2.INTER_AREA) for crop in crops]
    images = np.stack(resized).astype(np.float32) if resized else np.empty((0, px, px, 3), np.float32)
    return images[..., ::-1] - _IMAGENET_MEAN_BGR if trained else (images - 127.5) / 64


def _trained_weights(face: FaceConfig, names: Iterable[str]) -> Iterator[LayerWeights]:
    import ml_dtypes  # noqa: F401  (NumPy's bfloat16)

    full = _trained_vgg19(face)
    for name in names:
        kernel, bias = full.get_layer(name).get_weights()
        yield name, kernel.astype(face.vgg_dtype), bias.astype(face.vgg_dtype)


def _trained_vgg19(face: FaceConfig) -> Any:
    """The whole network in float32; weight files contain its top as well."""
    import keras

    shape = (face.vgg_px, face.vgg_px, 3)
    if face.vgg_weights == "imagenet":
        try:
            return keras.applications.VGG19(weights="imagenet", input_shape=shape)
        except Exception as error:  # errors of urllib, Keras and the archive
            raise ConfigError(
                f"face.vgg_weights=imagenet: the download failed ({error}). Set it to the path of "
                "vgg19_weights_tf_dim_ordering_tf_kernels.h5, or to `untrained` for random weights."
            ) from error
    model = keras.applications.VGG19(weights=None, input_shape=shape)
    load_weights(model, Path(face.vgg_weights))
    return model


def load_weights(model: Any, path: Path) -> None:
    """Load the weights of the whole VGG-19 from a file.

    Raises:
        ConfigError: the file is missing or has other weights.
    """
    if not path.is_file():
        raise ConfigError(
            f"face.vgg_weights={path}: no such file. Name a VGG-19 weights file, `imagenet`, or `untrained`."
        )
    try:
        model.load_weights(str(path))
    except Exception as error:  # errors of h5py, Keras and zip
        raise ConfigError(
            f"face.vgg_weights={path}: not the weights of keras.applications.VGG19 with its top ({error}). "
            "Name vgg19_weights_tf_dim_ordering_tf_kernels.h5."
        ) from error


def he_normal(shapes: dict[str, Shape], dtype: str, seed: int) -> Iterator[LayerWeights]:
    """Normal kernels of variance 2 / fan-in and zero biases (He et al. 2015), which preserve the activations' scale."""
    import ml_dtypes  # noqa: F401  (NumPy's bfloat16)

    rng = np.random.default_rng([seed, 19])
    for name, shape in shapes.items():
        scale = np.float32(np.sqrt(2 / np.prod(shape[:-1])))
        kernel = np.empty(shape, dtype)
        for row in range(len(kernel)):  # row by row: fc1 alone is 0.4 GB in float32
            kernel[row] = rng.standard_normal(shape[1:], np.float32) * scale
        yield name, kernel, np.zeros(shape[-1:], dtype)
