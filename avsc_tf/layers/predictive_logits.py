"""Class logits with a peak that a predicted sample value moves about."""

from __future__ import annotations

import keras
from keras import ops

from avsc_tf.layers.projection import gain_initializer, pointwise
from avsc_tf.signal.companding import PEAK_WIDTH, START_SHARPNESS, class_values


@keras.saving.register_keras_serializable("avsc_tf")
class PredictiveLogits(keras.layers.Layer):
    """x [batch, time, in], prediction [batch, time] -> logits [batch, time, n_classes].

    To the logits of a plain softmax is added -sharpness * sqrt(1 + ((value - centre) / PEAK_WIDTH)^2), about a Laplace
    distribution of the companded value. The centre is the prediction plus a shift, and shift and sharpness are two
    further outputs of the network: it need not learn anew for each loudness where the next sample will be.
    """

    def __init__(self, n_classes: int, *, gain: float = 0.3, **kwargs):
        super().__init__(**kwargs)
        self.n_classes = n_classes
        self.gain = gain

    def build(self, x_shape, prediction_shape):
        width = x_shape[-1]
        self.kernel = self.add_weight(
            name="kernel", shape=(width, self.n_classes), initializer=gain_initializer(self.gain)
        )
        self.bias = self.add_weight(name="bias", shape=(self.n_classes,), initializer="zeros")
        self.peak_kernel = self.add_weight(name="peak_kernel", shape=(width, 2), initializer="zeros")
        self.peak_bias = self.add_weight(name="peak_bias", shape=(2,), initializer="zeros")

    def call(self, x, prediction):
        logits = pointwise(x, ops.convert_to_tensor(self.kernel)) + self.bias
        peak = pointwise(x, ops.convert_to_tensor(self.peak_kernel)) + self.peak_bias
        centre = prediction[..., None] + peak[..., :1]
        distance = (ops.cast(class_values(self.n_classes), x.dtype) - centre) / PEAK_WIDTH
        return logits - (peak[..., 1:] + START_SHARPNESS) * ops.sqrt(1.0 + distance * distance)

    def compute_output_shape(self, x_shape, prediction_shape):
        return (*prediction_shape, self.n_classes)

    def get_config(self):
        return super().get_config() | {"n_classes": self.n_classes, "gain": self.gain}
