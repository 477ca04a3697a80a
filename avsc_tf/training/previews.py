"""Pictures for TensorBoard: what a network makes of one held-out sentence, beside what it should make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from avsc_tf.training.callbacks import Preview

GREY_RANGE = 2.5  # standard deviations shown from black to white


def mel_preview(model: keras.Model, pair: Mapping[str, np.ndarray]) -> Preview:
    """Source, converted and target mel of one aligned pair (schema.PAIR), one above the other."""
    inputs = {"mel": pair["source_mel"][None], "facial": np.asarray(pair["source_facial"], np.float32)[None]}

    def show(finished_epochs: int, writer: Any) -> None:
        converted = model(inputs, training=False)["mel"][0].numpy()
        picture = mel_picture([pair["source_mel"], converted, pair["target_mel"]])
        with writer.as_default(step=finished_epochs):
            tf.summary.image("source, converted, target", picture[None])

    return show


def mel_picture(mels: list[np.ndarray]) -> np.ndarray:
    """Standardised mels [frames, n_mels] -> uint8 grey picture [rows, frames, 1], white lines between them."""
    line = np.full((2, len(mels[0])), GREY_RANGE, np.float32)
    rows = [part for mel in mels for part in (mel.T[::-1], line)][:-1]
    grey = np.clip(np.concatenate(rows) / GREY_RANGE, -1, 1)
    return ((grey + 1) * 127.5).astype(np.uint8)[..., None]


def face_preview(generator: keras.Model, inputs: Mapping[str, np.ndarray], images: np.ndarray) -> Preview:
    """Generated frames above their originals; `inputs` of the generator, `images` [n, size, size, 3] in [-1, 1]."""

    def show(finished_epochs: int, writer: Any) -> None:
        generated = generator(inputs, training=False).numpy()
        picture = np.concatenate([np.concatenate(list(rows), axis=1) for rows in (generated, images)])
        with writer.as_default(step=finished_epochs):
            tf.summary.image("generated, original", np.clip((picture + 1) / 2, 0, 1)[None])

    return show
