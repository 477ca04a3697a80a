"""Streams that may be missing: which ones are there, and training without one of them (ours, not from the paper).

A missing stream is all zeros, which is its mean where features are standardised. No stream that was recorded is, so the
streams themselves say whether they are there.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("avsc_tf")
class ModalityDropout(keras.layers.Layer):
    """In training each example loses its first stream with probability `rate`, its second with `rate`, never both.

    Streams [batch, frames, dimensions] -> the same, those that are lost all zeros. The seed state is a variable, so
    that a training that goes on draws what an uninterrupted one would have drawn.

    Args:
        rate: from 0 to 0.5.
    """

    def __init__(self, rate: float, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, streams: list[Any], training: bool = False) -> list[Any]:
        if not training or not self.rate:
            return list(streams)
        drawn = keras.random.uniform((ops.shape(streams[0])[0], 1, 1), seed=self.seed_generator)
        kept = drawn >= self.rate, (drawn < self.rate) | (drawn >= 2 * self.rate)
        return [stream * ops.cast(one, stream.dtype) for stream, one in zip(streams, kept, strict=True)]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return [tuple(shape) for shape in input_shape]

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"rate": self.rate}


@keras.saving.register_keras_serializable("avsc_tf")
class Presence(keras.layers.Layer):
    """[batch, frames, dimensions] -> [batch, 1, 1]: 1 where the stream is there, 0 where all of it is zero."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.built = True

    def call(self, stream: Any) -> Any:
        return ops.cast(ops.any(ops.not_equal(stream, 0), axis=(1, 2), keepdims=True), stream.dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, int, int]:
        return (input_shape[0], 1, 1)
