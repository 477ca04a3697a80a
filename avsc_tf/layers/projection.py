"""A linear map of the last axis as one plain matrix product."""

from __future__ import annotations

import keras
from keras import ops


def pointwise(x, kernel):
    """x [..., in] times kernel [in, out]. Flattened first: a batched product is several times slower on a CPU."""
    shape = ops.shape(x)
    flat = ops.matmul(ops.reshape(x, (-1, kernel.shape[0])), kernel)
    return ops.reshape(flat, (*shape[:-1], kernel.shape[1]))


def gain_initializer(gain: float):
    """Normal values; an input of unit variance gives an output of deviation `gain`."""
    if gain == 0.0:
        return "zeros"
    return keras.initializers.VarianceScaling(gain**2, mode="fan_in", distribution="untruncated_normal")


@keras.saving.register_keras_serializable("avsc_tf")
class Projection(keras.layers.Layer):
    """x [batch, time, in] -> [batch, time, units]."""

    def __init__(
        self, units: int, *, gain: float = 1.0, activation: str | None = None, use_bias: bool = True, **kwargs
    ):
        super().__init__(**kwargs)
        self.units = units
        self.gain = gain
        self.activation = activation
        self.use_bias = use_bias
        self._activate = keras.activations.get(activation)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], self.units), initializer=gain_initializer(self.gain)
        )
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros") if self.use_bias else None

    def call(self, x):
        y = pointwise(x, ops.convert_to_tensor(self.kernel))
        return self._activate(y if self.bias is None else y + self.bias)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        own = {"units": self.units, "gain": self.gain, "activation": self.activation, "use_bias": self.use_bias}
        return super().get_config() | own
