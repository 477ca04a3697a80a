"""The WaveNet's samples as one TensorFlow while_loop: plain functions of tensors, to be compiled by XLA or exported.

The past inputs of all dilated layers lie in one ring buffer [slots, batch, residual], read by one gather and written by
one scatter a sample. No Python runs while it speaks. Names and order of the inputs as in `layers.sample_inputs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from avsc_tf.features.pitch import LAG_OFFSETS
from avsc_tf.layers.logistic_mixture import class_logits
from avsc_tf.signal.companding import (
    LINEAR_SCALE,
    MIN_LOG_SCALE,
    PEAK_WIDTH,
    START_LOG_SCALE,
    START_SHARPNESS,
    class_values,
    expand,
    silence_class,
)

Tensor = Any  # TensorFlow has no type hints


class Weights(NamedTuple):
    """Of a `models.wavenet.WaveNet`, float32; a kernel is [in, out]."""

    input_kernel: Tensor
    input_bias: Tensor
    gate_kernels: Sequence[Tensor]  # of each layer; rows: x(t - dilation), x(t)
    residual_kernels: Sequence[Tensor]  # of each layer but the last
    residual_biases: Sequence[Tensor]
    skip_kernel: Tensor  # [layers * residual, skip]
    skip_bias: Tensor
    post_kernel: Tensor
    post_bias: Tensor
    logit_kernel: Tensor
    logit_bias: Tensor
    peak_kernel: Tensor | None  # [post, 2]: shift and sharpness; only of a softmax with prediction
    peak_bias: Tensor | None


@dataclass(frozen=True)
class Form:
    """What the settings say about the network, beside its weights."""

    n_classes: int
    n_mixtures: int
    dilations: tuple[int, ...]
    linear: bool  # input_features "companded_and_linear"
    has_lag: bool
    prediction_order: int


class Inputs(NamedTuple):
    """A batch of utterances, padded to one length; `samples` = frames * hop."""

    condition: Tensor  # [batch, frames, layers, 2 * residual]
    lag: Tensor  # int32 [batch, samples], 0 where unvoiced; [batch, 0] without the pitch lag
    coefficients: Tensor  # [batch, frames, order]; [batch, frames, 0] without prediction


class State(NamedTuple):
    """What a sample leaves to the next."""

    ring: Tensor  # [slots, batch, residual]
    classes: Tensor  # int32 [samples, batch]: spoken so far, or all of them where they are given
    previous: Tensor  # int32 [batch], class of the sample before
    before: Tensor  # [batch, 2], the sample before that: companded and linear
    signal: Tensor  # [batch, order], the latest first
    residual: Tensor  # [batch], companded: sample less prediction
    residuals: Tensor  # [samples, batch], of all samples; [0, batch] where no lag asks for them


def generate(
    weights: Weights, form: Form, inputs: Inputs, temperature: Tensor, uniform: Tensor, n_samples: Tensor
) -> Tensor:
    """Draw the first `n_samples` samples.

    Args:
        temperature: [batch, frames]; 0 takes the likeliest class.
        uniform: [batch, samples] in [0, 1): a sample is the class whose share of the cumulated softmax holds it.
        n_samples: scalar int32, not more than `samples`.

    Returns:
        int32 [batch, samples], 0 from `n_samples` on.
    """
    step = _Step(weights, form, inputs, tf.shape(uniform)[1])
    temperature, uniform = tf.transpose(temperature), tf.transpose(uniform)

    def body(t: Tensor, state: State) -> tuple[Tensor, State]:
        logits, predicted, ring = step.logits(t, state)
        chosen = draw(logits, temperature[t // step.hop], uniform[t])
        classes = tf.tensor_scatter_nd_update(state.classes, [[t]], chosen[None])
        return t + 1, step.advance(t, state._replace(ring=ring, classes=classes), chosen, predicted)

    start = tf.zeros_like(uniform, tf.int32)
    _, state = tf.while_loop(lambda t, _: t < n_samples, body, (0, step.start(start)), parallel_iterations=1)
    return tf.transpose(state.classes)


def teacher_forced(weights: Weights, form: Form, inputs: Inputs, classes: Tensor, n_samples: Tensor) -> Tensor:
    """classes int32 [batch, samples] -> logits [batch, samples, n_classes], each sample's from those before it."""
    step = _Step(weights, form, inputs, tf.shape(classes)[1])
    given = tf.transpose(classes)
    shape = (tf.shape(given)[0], tf.shape(given)[1], form.n_classes)

    def body(t: Tensor, state: State, out: Tensor) -> tuple[Tensor, State, Tensor]:
        logits, predicted, ring = step.logits(t, state)
        out = tf.tensor_scatter_nd_update(out, [[t]], logits[None])
        return t + 1, step.advance(t, state._replace(ring=ring), given[t], predicted), out

    start = (0, step.start(given), tf.zeros(shape))
    _, _, out = tf.while_loop(lambda t, *_: t < n_samples, body, start, parallel_iterations=1)
    return tf.transpose(out, (1, 0, 2))


class _Step:
    """One sample of every utterance, in three parts: `start`, then `logits` and `advance` in turn."""

    def __init__(self, weights: Weights, form: Form, inputs: Inputs, n_samples: Tensor):
        self.weights, self.form = weights, form
        self.condition = tf.transpose(inputs.condition, (1, 2, 0, 3))  # [frames, layers, batch, 2 * residual]
        self.lag = tf.transpose(inputs.lag)
        self.coefficients = tf.transpose(inputs.coefficients, (1, 0, 2))
        self.n_samples = n_samples
        self.hop = n_samples // tf.shape(self.condition)[0]
        self.batch = tf.shape(self.condition)[2]
        values = class_values(form.n_classes)
        self.companded = tf.constant(values)
        self.expanded = tf.constant((LINEAR_SCALE * expand(values, form.n_classes)).astype(np.float32))
        self.first_slots = np.concatenate([[0], np.cumsum(form.dilations)]).astype(np.int32)

    def start(self, classes: Tensor) -> State:
        width, n_kept = self.weights.input_kernel.shape[1], self.n_samples if self._keeps_residuals else 0
        return State(
            ring=tf.zeros((int(self.first_slots[-1]), self.batch, width)),
            classes=classes,
            previous=tf.fill([self.batch], silence_class(self.form.n_classes)),
            before=tf.zeros((self.batch, 2)),
            signal=tf.zeros((self.batch, self.form.prediction_order)),
            residual=tf.zeros([self.batch]),
            residuals=tf.zeros((n_kept, self.batch)),
        )

    @property
    def _keeps_residuals(self) -> bool:
        return self.form.has_lag and self.form.prediction_order > 0

    def logits(self, t: Tensor, state: State) -> tuple[Tensor, Tensor | None, Tensor]:
        """([batch, n_classes], prediction [batch] where there is one, the ring with this sample in it)."""
        weights, form = self.weights, self.form
        frame = t // self.hop
        predicted = self._predict(frame, state)
        features = tf.concat(self._features(t, state, predicted), axis=1)
        x = features @ weights.input_kernel + weights.input_bias
        slots = self.first_slots[:-1] + t % np.array(form.dilations, np.int32)
        past, condition = tf.gather(state.ring, slots), self.condition[frame]
        seen, gates, width = [], [], x.shape[1]
        for k, kernel in enumerate(weights.gate_kernels):
            seen.append(x)
            filtered = tf.concat([past[k], x], axis=1) @ kernel + condition[k]
            gates.append(tf.tanh(filtered[:, :width]) * tf.sigmoid(filtered[:, width:]))
            if k < len(weights.residual_kernels):
                x += gates[k] @ weights.residual_kernels[k] + weights.residual_biases[k]
        ring = tf.tensor_scatter_nd_update(state.ring, slots[:, None], tf.stack(seen))
        y = tf.nn.relu(tf.concat(gates, axis=1) @ weights.skip_kernel + weights.skip_bias)
        y = tf.nn.relu(y @ weights.post_kernel + weights.post_bias)
        return self._output(y, predicted), predicted, ring

    def advance(self, t: Tensor, state: State, chosen: Tensor, predicted: Tensor | None) -> State:
        """`chosen` [batch] becomes the sample before."""
        before = tf.stack([tf.gather(self.companded, state.previous), tf.gather(self.expanded, state.previous)], axis=1)
        state = state._replace(previous=chosen, before=before)
        if predicted is None:
            return state
        sample = tf.gather(self.expanded, chosen) / LINEAR_SCALE
        residual = self._compand(sample - predicted)
        residuals = state.residuals
        if self._keeps_residuals:
            residuals = tf.tensor_scatter_nd_update(residuals, [[t]], residual[None])
        signal = tf.concat([sample[:, None], state.signal[:, :-1]], axis=1)
        return state._replace(signal=signal, residual=residual, residuals=residuals)

    def _predict(self, frame: Tensor, state: State) -> Tensor | None:
        """Linear prediction within [-1, 1], [batch]."""
        if not self.form.prediction_order:
            return None
        return tf.clip_by_value(tf.reduce_sum(self.coefficients[frame] * state.signal, axis=1), -1.0, 1.0)

    def _features(self, t: Tensor, state: State, predicted: Tensor | None) -> list[Tensor]:
        """[batch, some] each."""
        linear = self.form.linear
        features = [tf.gather(self.companded, state.previous)[:, None]]
        if linear:
            features += [state.before[:, :1], tf.gather(self.expanded, state.previous)[:, None], state.before[:, 1:]]
        if self.form.has_lag:
            place, is_known = self._one_period_ago(t)
            taps = tf.where(is_known, _rows(state.classes, place), silence_class(self.form.n_classes))
            features.append(tf.gather(self.companded, taps))
            if linear:
                features.append(tf.gather(self.expanded, taps))
        if predicted is not None:
            features.append(self._compand(predicted)[:, None])
            if linear:
                features.append(LINEAR_SCALE * predicted[:, None])
            features.append(state.residual[:, None])
            if self.form.has_lag:
                features.append(tf.where(is_known, _rows(state.residuals, place), 0.0))
        return features

    def _one_period_ago(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Sample numbers [batch, taps] one pitch period ago, within the signal; and where there is such a sample."""
        lag = self.lag[t][:, None]
        place = t - lag + np.array(LAG_OFFSETS, np.int32)
        return tf.clip_by_value(place, 0, self.n_samples - 1), (lag > 0) & (place >= 0)

    def _output(self, y: Tensor, predicted: Tensor | None) -> Tensor:
        """Logits as `layers.predictive_logits` and `layers.logistic_mixture` make them."""
        weights, form = self.weights, self.form
        raw = y @ weights.logit_kernel + weights.logit_bias
        centre = None if predicted is None else self._compand(predicted)[:, None]
        if form.n_mixtures:
            shares, means, log_scales = tf.split(raw, 3, axis=1)
            means = means if centre is None else means + centre
            log_scales = tf.maximum(log_scales + START_LOG_SCALE, MIN_LOG_SCALE)
            return class_logits(tf.concat([shares, means, log_scales], axis=1), form.n_classes)
        if centre is None:
            return raw
        shift, sharpness = tf.split(y @ weights.peak_kernel + weights.peak_bias, 2, axis=1)
        distance = (self.companded - (centre + shift)) / PEAK_WIDTH
        return raw - (sharpness + START_SHARPNESS) * tf.sqrt(1.0 + distance * distance)

    def _compand(self, linear: Tensor) -> Tensor:
        mu = float(self.form.n_classes - 1)
        return tf.sign(linear) * tf.math.log1p(mu * tf.minimum(tf.abs(linear), 1.0)) / np.float32(np.log1p(mu))


def _rows(history: Tensor, place: Tensor) -> Tensor:
    """history [samples, batch] at place [batch, taps], each utterance from its own column."""
    batch = tf.shape(history)[1]
    return tf.gather(tf.reshape(history, [-1]), place * batch + tf.range(batch)[:, None])


def draw(logits: Tensor, temperature: Tensor, uniform: Tensor) -> Tensor:
    """logits [batch, n_classes], temperature and uniform [batch] -> int32 [batch], by the inverse cumulated softmax.

    Summed in blocks of about the square root of the number of classes: XLA's cumulated sum takes its square.
    """
    n_classes = logits.shape[1]
    width = 1 << ((n_classes - 1).bit_length() + 1) // 2
    n_blocks = -(-n_classes // width)
    heat = tf.where(temperature > 0, temperature, 1.0)[:, None]
    shares = tf.exp((logits - tf.reduce_max(logits, axis=1, keepdims=True)) / heat)
    blocks = tf.reshape(tf.pad(shares, [[0, 0], [0, n_blocks * width - n_classes]]), (-1, n_blocks, width))
    cumulated = tf.reduce_sum(blocks, axis=2) @ np.triu(np.ones((n_blocks, n_blocks), np.float32))
    threshold = uniform * cumulated[:, -1]
    block = _first_above(cumulated, threshold, n_blocks)
    below = tf.where(block > 0, tf.gather(cumulated, tf.maximum(block - 1, 0), batch_dims=1), 0.0)
    within = tf.gather(blocks, block, batch_dims=1) @ np.triu(np.ones((width, width), np.float32))
    chosen = tf.minimum(block * width + _first_above(within, threshold - below, width), n_classes - 1)
    return tf.where(temperature > 0, chosen, tf.argmax(logits, axis=1, output_type=tf.int32))


def _first_above(cumulated: Tensor, threshold: Tensor, n: int) -> Tensor:
    """Place of the first of n values above the threshold, the last one at most."""
    passed = tf.reduce_sum(tf.cast(cumulated <= threshold[:, None], tf.int32), axis=1)
    return tf.minimum(passed, n - 1)
