"""Networks whose matrix products run in half precision while they train; their weights stay float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import keras

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}

# What a loss is taken of, and what reads or makes numbers that half precision cannot tell apart, is small and stays
# exact. bfloat16 does not know 10-bit classes near full scale from each other, and the logits of a narrow peak even
# less; it would write a picture in steps of a grey level near white.
WAVENET_FLOAT32_LAYERS = ("mel_normalisation", "sample_inputs", "input_projection", "logits")
CONVERSION_FLOAT32_LAYERS = (
    *("mel_out", "facial_out", "mel_sum", "facial_sum", "linear_map", "linear_vgg"),
    *("modality_dropout", "mel_present", "facial_present", "linear_map_mel_alone", "linear_map_facial_alone"),
)
GENERATOR_FLOAT32_LAYERS = (
    *("image_linear", "image_inside", "image_sum", "image"),
    *("path_hidden", "path_codes", "path_picture", "path_warp"),
)
DISCRIMINATOR_FLOAT32_LAYERS = ("score", *(f"scale_{s}_score" for s in range(1, 9)))

Network = TypeVar("Network", bound=keras.Model)


def for_training(
    model: Network, compute_dtype: str, build: Callable[[], Any], float32_layers: tuple[str, ...]
) -> Network:
    """A network with the weights of `model` that computes in `compute_dtype`: `model` itself in float32.

    float16 needs its loss scaled: see `training.engine.optimizers`.

    Args:
        build: makes the same network anew.
        float32_layers: names of the layers that stay exact, where the network has them.
    """
    if compute_dtype == "float32":
        return model
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[compute_dtype])
    try:
        mixed = build()
    finally:
        keras.config.set_dtype_policy(before)
    for layer in mixed.layers:
        if layer.name in float32_layers:
            layer.dtype_policy = "float32"
    mixed.set_weights(model.get_weights())
    return mixed
