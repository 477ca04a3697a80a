"""How likely the WaveNet finds given speech, all samples at once, in the graph.

The inputs are those of training, see `datasets.waveform.crop_inputs`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from avsc_tf.core.config import Config
from avsc_tf.features.pitch import LAG_OFFSETS
from avsc_tf.layers.logistic_mixture import class_log_probability
from avsc_tf.signal.companding import class_values, expand, silence_class

Tensor = Any


class Scorer:
    """Teacher-forced log likelihoods of a `models.wavenet.WaveNet`."""

    def __init__(self, model: Any, config: Config):
        self.model, self.net = model, config.wavenet
        self.values = class_values(self.net.n_classes)
        self.linear = expand(self.values, self.net.n_classes)

    def __call__(self, waveform: Tensor, inputs: dict[str, Tensor], lag: Tensor, coefficients: Tensor) -> Tensor:
        """Natural log of each sample's probability, [samples].

        Args:
            waveform: [samples], full scale 1, at wavenet.sample_rate_hz.
            inputs: at frame rate, of one utterance: mel, and facial and pitch where the network takes them.
            lag: int32 [samples], or [0] without the pitch lag.
            coefficients: [frames, order], or [frames, 0].
        """
        net, classes = self.net, self.classes(waveform)
        silence = float(self.values[silence_class(net.n_classes)])
        values, signal = tf.gather(self.values, classes), tf.gather(self.linear, classes)
        found = {**inputs, "waveform": _later(values, silence)[None]}
        has_lag = net.pitch_input == "lag"
        if has_lag:
            found["pitch_lag"] = _taps(values, lag, silence)[None]
        if net.prediction_order:
            prediction = self._predicted(signal, coefficients)
            residual = self._compand(signal - prediction)
            before = _later(residual, 0.0)[:, None]
            parts = [before, _taps(residual, lag, 0.0)] if has_lag else [before]
            found["prediction"] = self._compand(prediction)[None]
            found["residuals"] = tf.concat(parts, axis=1)[None]
        logits = self.model(found, training=False)[0]
        if net.n_mixtures:
            return class_log_probability(logits, classes, net.n_classes)
        return -tf.nn.sparse_softmax_cross_entropy_with_logits(labels=classes, logits=logits)

    def classes(self, waveform: Tensor) -> Tensor:
        """[samples] -> int32 [samples], as training makes them."""
        wide = tf.cast(waveform, tf.float64)
        emphasised = tf.cast(wide - self.net.pre_emphasis * _later(wide, 0.0), tf.float32)
        steps = (tf.cast(self._compand(emphasised), tf.float64) + 1.0) / 2.0 * (self.net.n_classes - 1)
        return tf.clip_by_value(tf.cast(tf.floor(steps + 0.5), tf.int32), 0, self.net.n_classes - 1)

    def _compand(self, linear: Tensor) -> Tensor:
        mu = float(self.net.n_classes - 1)
        return tf.sign(linear) * tf.math.log1p(mu * tf.minimum(tf.abs(linear), 1.0)) / np.float32(np.log1p(mu))

    def _predicted(self, signal: Tensor, coefficients: Tensor) -> Tensor:
        """As `features.linear_prediction.predict`, a block of one frame at a time."""
        order, hop = self.net.prediction_order, self.model.hop_samples
        padded = tf.pad(signal, [[order, 0]])
        past = tf.stack([padded[order - 1 - k : tf.shape(padded)[0] - 1 - k] for k in range(order)], axis=1)
        by_frame = tf.reshape(past, (-1, hop, order)) @ coefficients[:, :, None]
        return tf.clip_by_value(tf.reshape(by_frame, [-1]), -1.0, 1.0)


def _later(signal: Tensor, first: float) -> Tensor:
    """By one sample."""
    return tf.concat([tf.fill([1], tf.cast(first, signal.dtype)), signal[:-1]], axis=0)


def _taps(past: Tensor, lag: Tensor, silence: float) -> Tensor:
    """As `features.pitch.lag_taps` from sample 0: [samples, taps]."""
    index = (tf.range(tf.shape(past)[0]) - lag)[:, None] + np.array(LAG_OFFSETS, np.int32)
    known = (index >= 0) & (lag > 0)[:, None]
    return tf.where(known, tf.gather(past, tf.clip_by_value(index, 0, tf.shape(past)[0] - 1)), silence)
