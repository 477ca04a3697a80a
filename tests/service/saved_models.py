"""Small SavedModels that the tests of the service serve."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf


class Linear(tf.Module):
    """x [batch, 3] -> y = x @ kernel [batch, 2]; a second signature has two inputs and two outputs."""

    def __init__(self) -> None:
        self.kernel = tf.Variable([[1.0, 0.5], [2.0, -0.25], [3.0, 0.1]])

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def one(self, x):
        return {"y": x @ self.kernel}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 3], tf.float32, name="a"),
            tf.TensorSpec([None], tf.int64, name="b"),
        ]
    )
    def two(self, a, b):
        return {"total": tf.reduce_sum(a, 1) + tf.cast(b, tf.float32), "twice": 2 * b}


class Odd(tf.Module):
    """Other types, scalars, and things that go wrong or take long."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, 4], tf.uint8, name="x")])
    def pixels(self, x):
        return {"same": tf.identity(x), "is_dark": x < 8}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def text(self, text):
        return {"same": tf.identity(text)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def mean(self, x):
        return {"mean": tf.reduce_mean(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def fails(self, x):
        with tf.control_dependencies([tf.debugging.assert_less(x, 0.0, message="x is not negative")]):
            return {"y": tf.identity(x)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="n")])
    def zeros(self, n):
        return {"zeros": tf.zeros([n], tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="steps")])
    def slow(self, steps):
        """A loop that can be interrupted between its steps."""
        matrix = tf.ones([64, 64])
        for _ in tf.range(steps):
            matrix = tf.tanh(matrix @ matrix)
        return {"sum": tf.reduce_sum(matrix)}


def write_models(folder: Path) -> None:
    """linear (versions 1 and 3) and odd, as NAME/VERSION/ folders."""
    linear, odd = Linear(), Odd()
    for version in (1, 3):
        linear.kernel.assign(linear.kernel * version)
        signatures = {"serving_default": linear.one, "two": linear.two}
        tf.saved_model.save(linear, str(folder / "linear" / str(version)), signatures=signatures)
    names = ("pixels", "text", "mean", "fails", "zeros", "slow")
    tf.saved_model.save(odd, str(folder / "odd" / "1"), signatures={name: getattr(odd, name) for name in names})
