"""Discriminator of the image reconstruction network (paper section 3.3, figure 3 right)."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from avsc_tf.core.config import Config
from avsc_tf.models.patch_discriminator import PatchDiscriminator


@keras.saving.register_keras_serializable(package="avsc_tf")
class ImageDiscriminator(keras.Model):
    """Image [batch, size_px, size_px, 3] in [-1, 1] -> one unbounded score [batch, 1] (LSGAN: real 1, generated 0).

    Each layer is a stride-2 convolution and ReLU, then max pooling with stride 2; no batch normalisation. At 256 pixels
    four of them end at 1 x 1. A smaller image reaches 1 x 1 earlier; what follows it keeps its channels and its
    convolution, and pools nothing.
    """

    def __init__(self, *, size_px: int, channels: tuple[int, ...], kernel_size: int = 5, **kwargs: Any) -> None:
        image = keras.Input((size_px, size_px, 3), name="image")
        x = image
        for i, n in enumerate(channels):
            x = layers.Conv2D(n, kernel_size, strides=2, padding="same", name=f"conv_{i + 1}")(x)
            x = layers.ReLU(name=f"conv_{i + 1}_relu")(x)
            if x.shape[1] > 1:
                x = layers.MaxPooling2D(2, strides=2, padding="same", name=f"pool_{i + 1}")(x)
        x = layers.Flatten(name="flat")(x)
        super().__init__(inputs=image, outputs=layers.Dense(1, name="score")(x), **kwargs)
        self.size_px = size_px
        self.channels = tuple(channels)
        self.kernel_size = kernel_size

    def get_config(self) -> dict[str, Any]:
        return {
            "size_px": self.size_px,
            "channels": list(self.channels),
            "kernel_size": self.kernel_size,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> ImageDiscriminator:
        return cls(**config)


def build_image_discriminator(config: Config) -> ImageDiscriminator | PatchDiscriminator:
    """The discriminator that `config.image` describes: the paper's, or one of patches on several scales."""
    image = config.image
    settings: dict[str, Any] = {
        "size_px": image.size_px,
        "channels": image.discriminator_channels,
        "kernel_size": image.discriminator_kernel,
        "name": "image_discriminator",
    }
    if image.discriminator_scales:
        return PatchDiscriminator(scales=image.discriminator_scales, **settings)
    return ImageDiscriminator(**settings)
