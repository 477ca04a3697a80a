"""The WaveNet's samples by TensorFlow and XLA: for a GPU, or many utterances at once on any device."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from avsc_tf.core.config import Config, WaveNetConfig
from avsc_tf.vocoder.sampler_graph import Form, Inputs, Weights, generate, teacher_forced
from avsc_tf.vocoder.utterances import Floats, Utterance

Classes = NDArray[np.int32]

LEAST_FRAMES = 32  # of the padded length


class TensorFlowEngine:
    """A network's weights for `sampler_graph`, compiled by XLA.

    Utterances of a batch are padded to one length: the next power of two of the longest one's frames, so that few
    lengths are ever compiled (a few seconds each, and again for each batch size). The loop itself ends with the
    longest utterance; padding costs memory, no time.

    What an utterance sounds like depends on its own inputs alone, up to float rounding: another batch size may sum in
    another order, and a draw at the very edge between two classes may then fall on the other one. The engine for the
    CPU is exact to the bit.

    Args:
        model: a built `models.wavenet.WaveNet`.
        config: the settings it was built from.
        device: a TensorFlow device name such as "/CPU:0" or "/GPU:0"; None leaves it to TensorFlow.
    """

    def __init__(self, model: Any, config: Config, *, device: str | None = None):
        net = config.wavenet
        self.hop_samples = int(model.hop_samples)
        self._device = device
        self._form = form_of(net)
        with self._placed():
            self._weights = weights_of(model)
        of_batch = _signature(net.n_layers, net.residual_channels, net.prediction_order)
        floats, whole = tf.TensorSpec((None, None), tf.float32), tf.TensorSpec((None, None), tf.int32)
        count = tf.TensorSpec((), tf.int32)
        self._generate = _compiled(self._generate_graph, [of_batch, floats, floats, count])
        self._teacher_forced = _compiled(self._teacher_forced_graph, [of_batch, whole, count])

    def _generate_graph(self, inputs: Inputs, temperature: Any, uniform: Any, n_samples: Any) -> Any:
        return generate(self._weights, self._form, inputs, temperature, uniform, n_samples)

    def _teacher_forced_graph(self, inputs: Inputs, classes: Any, n_samples: Any) -> Any:
        return teacher_forced(self._weights, self._form, inputs, classes, n_samples)

    def generate_batch(
        self, jobs: Sequence[Utterance], *, temperatures: Sequence[Floats], uniforms: Sequence[Floats]
    ) -> list[Classes]:
        """All utterances side by side.

        Args:
            temperatures: [frames] each; 0 takes the likeliest class.
            uniforms: [samples] each, in [0, 1).

        Returns:
            int32 classes [samples] each.
        """
        if not jobs:
            return []
        n_frames = padded_frames(jobs)
        lengths = [len(uniform) for uniform in uniforms]
        with self._placed():
            classes = self._generate(
                self._inputs(jobs, n_frames),
                _stacked(temperatures, n_frames),
                _stacked(uniforms, n_frames * self.hop_samples),
                max(lengths),
            ).numpy()
        return [row[:n] for row, n in zip(classes, lengths, strict=True)]

    def logits(self, job: Utterance, classes: Classes) -> Floats:
        """Teacher-forced: [samples, n_classes], each sample's prediction from those before it."""
        n_frames = padded_frames([job])
        padded = _stacked([classes.astype(np.int32)], n_frames * self.hop_samples)
        with self._placed():
            found = self._teacher_forced(self._inputs([job], n_frames), padded, len(classes))
            return found.numpy()[0, : len(classes)]

    def _inputs(self, jobs: Sequence[Utterance], n_frames: int) -> Inputs:
        n_lags = n_frames * self.hop_samples if self._form.has_lag else 0
        order = self._form.prediction_order
        return Inputs(
            condition=_stacked([job.condition for job in jobs], n_frames),
            lag=_stacked([job.lag for job in jobs], n_lags),
            coefficients=_stacked([job.coefficients.reshape(-1, order) for job in jobs], n_frames)
            if order
            else np.zeros((len(jobs), n_frames, 0), np.float32),
        )

    @contextlib.contextmanager
    def _placed(self) -> Iterator[None]:
        """On the asked device, in full float32: NVIDIA's TF32 keeps ten bits of a product's factors."""
        allowed = tf.config.experimental.tensor_float_32_execution_enabled()
        tf.config.experimental.enable_tensor_float_32_execution(False)
        try:
            with tf.device(self._device):
                yield
        finally:
            tf.config.experimental.enable_tensor_float_32_execution(allowed)


def form_of(net: WaveNetConfig) -> Form:
    return Form(
        n_classes=net.n_classes,
        n_mixtures=net.n_mixtures,
        dilations=net.dilations,
        linear=net.input_features == "companded_and_linear",
        has_lag=net.pitch_input == "lag",
        prediction_order=net.prediction_order,
    )


def weights_of(model: Any, read: Callable[[Any], Any] | None = None) -> Weights:
    """The weights of a built `models.wavenet.WaveNet` as they are now; `read` makes a tensor of each, constant ones
    by default.
    """
    read = read or (lambda weight: tf.constant(np.asarray(weight, np.float32)))

    def of(layer: str, weight: str) -> Any:
        return read(getattr(model.get_layer(layer), weight))

    blocks = [f"block_{k}" for k in range(model.n_layers)]
    has_peak = bool(model.prediction_order) and not model.n_mixtures
    return Weights(
        input_kernel=of("input_projection", "kernel"),
        input_bias=of("input_projection", "bias"),
        gate_kernels=[of(block, "kernel") for block in blocks],
        residual_kernels=[of(block, "residual_kernel") for block in blocks[:-1]],
        residual_biases=[of(block, "residual_bias") for block in blocks[:-1]],
        skip_kernel=of("skip", "kernel"),
        skip_bias=of("skip", "bias"),
        post_kernel=of("post", "kernel"),
        post_bias=of("post", "bias"),
        logit_kernel=of("logits", "kernel"),
        logit_bias=of("logits", "bias"),
        peak_kernel=of("logits", "peak_kernel") if has_peak else None,
        peak_bias=of("logits", "peak_bias") if has_peak else None,
    )


def padded_frames(jobs: Sequence[Utterance]) -> int:
    """The length that a batch is padded to: a power of two."""
    longest = max(len(job.condition) for job in jobs)
    return max(LEAST_FRAMES, 1 << (longest - 1).bit_length())


def _stacked(arrays: Sequence[NDArray[Any]], length: int) -> NDArray[Any]:
    """Arrays padded with zeros along their first axis, then stacked: [batch, length, ...]."""
    out = np.zeros((len(arrays), length, *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return out


def _signature(n_layers: int, width: int, order: int) -> Inputs:
    return Inputs(
        condition=tf.TensorSpec((None, None, n_layers, 2 * width), tf.float32),
        lag=tf.TensorSpec((None, None), tf.int32),
        coefficients=tf.TensorSpec((None, None, order), tf.float32),
    )


def _compiled(function: Any, signature: list[Any]) -> Any:
    """Traced once for all lengths and batch sizes; XLA compiles each of them when it first comes."""
    return tf.function(function, input_signature=signature, jit_compile=True)
