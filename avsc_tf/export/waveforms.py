"""Pre-emphasis undone, in the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

Tensor = Any


def de_emphasised(linear: Tensor, coefficient: float, *, block: int) -> Tensor:
    """y[t] = x[t] + coefficient * y[t-1] over [batch, blocks * block], as `signal.companding.de_emphasise`.

    Within a block by one product with a triangle of powers; only the last sample of each block is handed on.
    """
    if not coefficient:
        return linear
    apart = np.subtract.outer(np.arange(block), np.arange(block))
    powers = np.where(apart >= 0, coefficient ** np.maximum(apart, 0).astype(float), 0.0).T  # [from, to]
    blocks = tf.reshape(tf.cast(linear, tf.float64), (tf.shape(linear)[0], -1, block)) @ powers
    whole = coefficient**block
    ends = tf.transpose(blocks[:, :, -1])  # [blocks, batch]
    handed = tf.scan(lambda before, own: own + whole * before, ends, tf.zeros_like(ends[0]))
    handed = tf.transpose(tf.concat([tf.zeros_like(handed[:1]), handed[:-1]], axis=0))
    decay = coefficient ** np.arange(1, block + 1, dtype=float)
    return tf.cast(tf.reshape(blocks + handed[:, :, None] * decay, tf.shape(linear)), tf.float32)
