"""A WaveNet whose matrix products run in half precision while it trains; its weights stay float32."""

from __future__ import annotations

import keras

from avsc_tf.config import Config
from avsc_tf.models.wavenet import WaveNet, build_wavenet

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}

# bfloat16 tells 10-bit classes near full scale no longer apart, and the logits of a narrow peak even less; what reads
# samples or mel from outside, and what the loss is taken of, is small and stays exact.
FLOAT32_LAYERS = ("mel_normalisation", "sample_inputs", "input_projection", "logits")


def for_training(model: WaveNet, config: Config) -> WaveNet:
    """A network with the weights of `model` that computes as `wavenet.compute_dtype` says: `model` itself in float32.

    float16 needs its loss scaled: Keras does so where such a model is compiled.
    """
    if config.wavenet.compute_dtype == "float32":
        return model
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[config.wavenet.compute_dtype])
    try:
        mixed = build_wavenet(config)
    finally:
        keras.config.set_dtype_policy(before)
    for name in FLOAT32_LAYERS:
        mixed.get_layer(name).dtype_policy = "float32"
    mixed.set_weights(model.get_weights())
    return mixed
