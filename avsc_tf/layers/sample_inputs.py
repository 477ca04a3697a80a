"""The WaveNet's sample-level inputs."""

from __future__ import annotations

import math

import keras
from keras import ops

from avsc_tf.signal.companding import LINEAR_SCALE


@keras.saving.register_keras_serializable("avsc_tf")
class SampleInputs(keras.layers.Layer):
    """Previous companded samples [batch, time] (and lag taps, prediction, residuals) -> [batch, time, features].

    Without `linear`: the previous sample, as in the paper's system. With it: the two previous samples, companded and
    linear, so that neither small nor large differences are lost; lag taps and the prediction come in both forms too,
    residuals (small by nature) companded only.
    """

    def __init__(self, *, n_classes: int, linear: bool, **kwargs):
        super().__init__(**kwargs)
        self.n_classes = n_classes
        self.linear = linear

    def call(self, previous, lag_taps=None, prediction=None, residuals=None):
        features = [previous[..., None]]
        if self.linear:
            before = ops.pad(previous, [[0, 0], [1, 0]])[:, : ops.shape(previous)[1]]
            features = [ops.stack([previous, before, self._expanded(previous), self._expanded(before)], axis=-1)]
        for extra in (lag_taps, None if prediction is None else prediction[..., None]):
            if extra is not None:
                features += [extra, self._expanded(extra)] if self.linear else [extra]
        if residuals is not None:
            features.append(residuals)
        return ops.concatenate(features, axis=-1) if len(features) > 1 else features[0]

    def _expanded(self, companded):
        """mu-law undone, times LINEAR_SCALE."""
        mu = self.n_classes - 1
        grown = (ops.exp(ops.abs(companded) * math.log1p(mu)) - 1.0) / mu
        return LINEAR_SCALE * ops.sign(companded) * grown

    def compute_output_shape(self, previous_shape, lag_taps_shape=None, prediction_shape=None, residuals_shape=None):
        forms = 2 if self.linear else 1
        width = 4 if self.linear else 1
        width += forms * lag_taps_shape[-1] if lag_taps_shape else 0
        width += forms if prediction_shape else 0
        width += residuals_shape[-1] if residuals_shape else 0
        return (*previous_shape, width)

    def get_config(self):
        return super().get_config() | {"n_classes": self.n_classes, "linear": self.linear}
