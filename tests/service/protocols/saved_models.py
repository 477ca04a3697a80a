"""Small SavedModels that the tests of the service serve: many types, free dimensions, scalars, errors at run time."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

TYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "bool", "string")


class Linear(tf.Module):
    """x [batch, 3] -> y = x @ kernel [batch, 2]: one named input, one output; a second signature has two of each."""

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

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def scalar(self, x):
        return {"mean": tf.reduce_mean(x)}


class Types(tf.Module):
    """For each type a signature that gives its input back, of any shape."""

    @staticmethod
    def signatures() -> dict:
        def same(x):
            return {"out": tf.identity(x)}

        return {
            name: tf.function(same, input_signature=[tf.TensorSpec(None, getattr(tf, name), name="x")])
            for name in TYPES
        }


class Odd(tf.Module):
    """Things that go wrong or take long."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def fails(self, x):
        with tf.control_dependencies([tf.debugging.assert_less(x, 0.0, message="x is not negative")]):
            return {"y": tf.identity(x)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="n")])
    def large(self, n):
        return {"zeros": tf.zeros([n], tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="steps")])
    def slow(self, steps):
        """A loop that can be interrupted between its steps."""
        matrix = tf.ones([64, 64])
        for _ in tf.range(steps):
            matrix = tf.tanh(matrix @ matrix)
        return {"sum": tf.reduce_sum(matrix)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text_bytes")])
    def text(self, text_bytes):
        return {"upper": tf.strings.upper(text_bytes), "same_bytes": tf.identity(text_bytes)}

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, name="x")])
    def halves(self, x):
        return {"half": tf.cast(x, tf.float16)}


CONFIG = """
model_config_list {
  config { name: "linear" base_path: "/models/linear" model_platform: "tensorflow"
           model_version_policy { all {} } version_labels { key: "stable" value: 1 } }
  config { name: "types" base_path: "types" model_platform: "tensorflow" }
  config { name: "odd" base_path: "/models/odd" model_platform: "tensorflow" }
}
"""  # base paths of a container, and one beside the file


def write_models(folder: Path) -> None:
    """linear (versions 1 and 3), types and odd, as NAME/VERSION/ folders with a models.config."""
    linear, types, odd = Linear(), Types(), Odd()
    for version in (1, 3):
        linear.kernel.assign(linear.kernel * version)
        signatures = {"serving_default": linear.one, "two": linear.two, "scalar": linear.scalar}
        tf.saved_model.save(linear, str(folder / "linear" / str(version)), signatures=signatures)
    tf.saved_model.save(types, str(folder / "types" / "1"), signatures=types.signatures())
    names = ("fails", "large", "slow", "text", "halves")
    tf.saved_model.save(odd, str(folder / "odd" / "1"), signatures={name: getattr(odd, name) for name in names})
    (folder / "models.config").write_text(CONFIG, encoding="utf-8")
