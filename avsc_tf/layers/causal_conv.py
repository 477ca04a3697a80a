"""The WaveNet's gated residual block (van den Oord et al., 2016), kernel 2, as matrix products."""

from __future__ import annotations

import keras
from keras import ops

from avsc_tf.layers.projection import gain_initializer, pointwise


def delay(x, samples: int):
    """x [batch, time, channels] later by `samples`, zeros before the start."""
    length = ops.shape(x)[1]
    return ops.pad(x, [[0, 0], [samples, 0], [0, 0]])[:, :length]


@keras.saving.register_keras_serializable("avsc_tf")
class GatedResidualBlock(keras.layers.Layer):
    """tanh and sigmoid halves of a dilated causal convolution plus condition; residual and gate output.

    The convolution of kernel 2 is the product of [x(t - dilation), x(t)] with one matrix, much faster on a CPU than a
    dilated Conv1D. The skip connections of all blocks are one further product over all gate outputs, outside.

    Inputs: x [batch, frames * hop_samples, residual], condition [batch, frames, 2 * residual] at frame rate, whose
    bias serves the convolution too. Outputs: (x of the next block, gate [batch, time, residual]).
    """

    def __init__(self, *, dilation: int, hop_samples: int, has_residual: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.dilation = dilation
        self.hop_samples = hop_samples
        self.has_residual = has_residual

    def build(self, x_shape, condition_shape):
        channels = x_shape[-1]
        self.kernel = self.add_weight(
            name="kernel", shape=(2 * channels, 2 * channels), initializer=gain_initializer(1.0)
        )
        if self.has_residual:
            self.residual_kernel = self.add_weight(
                name="residual_kernel", shape=(channels, channels), initializer=gain_initializer(0.5)
            )
            self.residual_bias = self.add_weight(name="residual_bias", shape=(channels,), initializer="zeros")

    def call(self, x, condition):
        batch, time = ops.shape(x)[0], ops.shape(x)[1]
        channels = x.shape[-1]
        pair = ops.concatenate([delay(x, self.dilation), x], axis=-1)
        filtered = pointwise(pair, ops.convert_to_tensor(self.kernel))
        framed = ops.reshape(filtered, (batch, -1, self.hop_samples, 2 * channels)) + condition[:, :, None]
        filtered = ops.reshape(framed, (batch, time, 2 * channels))
        gate = ops.tanh(filtered[..., :channels]) * ops.sigmoid(filtered[..., channels:])
        if self.has_residual:
            x = x + pointwise(gate, ops.convert_to_tensor(self.residual_kernel)) + self.residual_bias
        return x, gate

    def compute_output_shape(self, x_shape, condition_shape):
        return x_shape, x_shape

    def get_config(self):
        own = {"dilation": self.dilation, "hop_samples": self.hop_samples, "has_residual": self.has_residual}
        return super().get_config() | own
