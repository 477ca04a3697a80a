"""Discriminator that judges patches on several scales (ours; Wang et al. 2018, pix2pixHD, section 3.2)."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

LEAK = 0.2
STRIDES_2 = 3  # layers after which a score stands for about 50 x 50 pixels of its scale; later ones keep the size


@keras.saving.register_keras_serializable(package="avsc_tf")
class PatchDiscriminator(keras.Model):
    """Image [batch, size_px, size_px, 3] in [-1, 1] -> scores of its patches, and what they were judged by.

    One stack of convolutions a scale, each scale half of the one before. Output `{"scores": [one a scale:
    [batch, h, w, 1]], "features": [each layer of each scale]}`; the features are what feature matching compares.
    """

    def __init__(
        self, *, size_px: int, channels: tuple[int, ...], scales: int, kernel_size: int = 4, **kwargs: Any
    ) -> None:
        image = keras.Input((size_px, size_px, 3), name="image")
        x, scores, features = image, [], []
        for s in range(1, scales + 1):
            if s > 1:
                x = layers.AveragePooling2D(2, name=f"half_{s}")(x)
            score, found = _stack(x, channels, kernel_size, f"scale_{s}")
            scores.append(score)
            features += found
        super().__init__(inputs=image, outputs={"scores": scores, "features": features}, **kwargs)
        self.size_px = size_px
        self.channels = tuple(channels)
        self.scales = scales
        self.kernel_size = kernel_size

    def get_config(self) -> dict[str, Any]:
        return {
            "size_px": self.size_px,
            "channels": list(self.channels),
            "scales": self.scales,
            "kernel_size": self.kernel_size,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> PatchDiscriminator:
        return cls(**config)


def _stack(x: Any, channels: tuple[int, ...], kernel_size: int, name: str) -> tuple[Any, list[Any]]:
    features = []
    for i, n in enumerate(channels):
        strides = 2 if i < STRIDES_2 else 1
        x = layers.Conv2D(n, kernel_size, strides=strides, padding="same", name=f"{name}_conv_{i + 1}")(x)
        x = layers.LeakyReLU(LEAK, name=f"{name}_conv_{i + 1}_relu")(x)
        features.append(x)
    return layers.Conv2D(1, kernel_size, padding="same", name=f"{name}_score")(x), features
