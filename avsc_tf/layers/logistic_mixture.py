"""A discretised mixture of logistic distributions in place of a softmax (Salimans et al., 2017)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from avsc_tf.layers.projection import gain_initializer, pointwise
from avsc_tf.signal.companding import MIN_LOG_SCALE, START_LOG_SCALE


@keras.saving.register_keras_serializable("avsc_tf")
class LogisticMixture(keras.layers.Layer):
    """x [batch, time, in] (and prediction [batch, time]) -> [batch, time, 3 * n_mixtures].

    The last axis holds the mixtures' weights (logits), then their means, then the logarithms of their scales, both in
    companded units. With a prediction, the means are told as differences from it.
    """

    def __init__(self, n_mixtures: int, *, gain: float = 0.3, **kwargs):
        super().__init__(**kwargs)
        self.n_mixtures = n_mixtures
        self.gain = gain

    def build(self, x_shape, prediction_shape=None):
        shape = (x_shape[-1], 3 * self.n_mixtures)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=gain_initializer(self.gain))
        self.bias = self.add_weight(name="bias", shape=shape[1:], initializer="zeros")

    def call(self, x, prediction=None):
        logits, means, log_scales = ops.split(pointwise(x, ops.convert_to_tensor(self.kernel)) + self.bias, 3, axis=-1)
        if prediction is not None:
            means = means + prediction[..., None]
        log_scales = ops.maximum(log_scales + START_LOG_SCALE, MIN_LOG_SCALE)
        return ops.concatenate([logits, means, log_scales], axis=-1)

    def compute_output_shape(self, x_shape, prediction_shape=None):
        return (*x_shape[:-1], 3 * self.n_mixtures)

    def get_config(self):
        return super().get_config() | {"n_mixtures": self.n_mixtures, "gain": self.gain}


def class_log_probability(parameters: Any, classes: Any, n_classes: int) -> Any:
    """log P of integer `classes` [...] under `parameters` [..., 3 * n_mixtures]: [...].

    A class holds the share of the distribution within half a step of its value, an outermost one all beyond, too.
    Written as log(1 - exp(lower - upper)) + log sigma(upper) + log sigma(-lower), which nothing cancels out of.
    """
    logits, means, log_scales = ops.split(parameters, 3, axis=-1)
    half_step = 1.0 / (n_classes - 1)
    value = ops.cast(classes, parameters.dtype) * (2.0 * half_step) - 1.0
    inverse = ops.exp(-log_scales)
    upper = (value[..., None] + half_step - means) * inverse
    lower = (value[..., None] - half_step - means) * inverse
    within = ops.log(-ops.expm1(-2.0 * half_step * inverse)) + ops.log_sigmoid(upper) + ops.log_sigmoid(-lower)
    place = classes[..., None]
    share = ops.where(place == 0, ops.log_sigmoid(upper), within)
    share = ops.where(place == n_classes - 1, ops.log_sigmoid(-lower), share)
    return ops.logsumexp(ops.log_softmax(logits, axis=-1) + share, axis=-1)


def class_logits(parameters: Any, n_classes: int) -> Any:
    """log P of every class: [..., n_classes]."""
    return class_log_probability(parameters[..., None, :], np.arange(n_classes), n_classes)
