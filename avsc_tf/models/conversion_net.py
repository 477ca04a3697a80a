"""Audiovisual transformation network (paper section 3.1, figure 2).

Five stacks of one-dimensional convolutions over time: audio down (stride 2, as often as brings mel frames to video
frames), facial reduction, fusion of both, audio up (transposed, stride 2), facial up; and two linear outputs. Hidden
layers: convolution, ReLU, batch normalisation.

Residual paths connect feature maps of the same shape. We read that as: a layer adds its input where the two have one
shape, and a layer of an up stack adds the newest map of its down stack that has its shape (as in the U-shaped network
of the paper's reference [10]).
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from avsc_tf.config import Config
from avsc_tf.timebase import Timebase


@keras.saving.register_keras_serializable(package="avsc_tf")
class ConversionNet(keras.Model):
    """Standardised features of the source in, of the target out, for any whole number of video frames.

    Inputs and outputs: `{"mel": [batch, mel_per_video * frames, n_mels], "facial": [batch, frames, n_facial]}`.

    Args:
        n_keypoint_values: trailing dimensions of the facial feature that are keypoints; the linear path reads them.
        audio_down_channels: one stride-2 convolution each; their number decides `mel_per_video`.
        input_noise: standard deviation of the noise added to standardised inputs in training (not from the paper).
        linear_path: add a fixed linear map of the inputs to the outputs, whose own layers then start at zero (ours;
            `avsc_tf.training.closed_form` fits it).
        linear_path_context: video frames on each side that the linear map sees.
        linear_path_rank: dimensions through which the linear map writes the VGG part.
    """

    def __init__(
        self,
        *,
        n_mels: int,
        n_facial: int,
        n_keypoint_values: int,
        audio_down_channels: tuple[int, ...],
        facial_down_channels: tuple[int, ...],
        fusion_channels: tuple[int, ...],
        audio_up_channels: tuple[int, ...],
        facial_up_channels: tuple[int, ...],
        kernel_size: int = 5,
        batch_norm_momentum: float = 0.99,
        dropout: float = 0.0,
        input_noise: float = 0.0,
        linear_path: bool = False,
        linear_path_context: int = 0,
        linear_path_rank: int = 0,
        **kwargs: Any,
    ) -> None:
        settings = {name: value for name, value in locals().items() if name not in ("self", "kwargs", "__class__")}
        mel = keras.Input((None, n_mels), name="mel")  # [batch, 8 frames, n_mels]
        facial = keras.Input((None, n_facial), name="facial")  # [batch, frames, n_facial]
        stack = _Stack(kernel_size, batch_norm_momentum, dropout)

        audio_x = layers.GaussianNoise(input_noise, name="mel_noise")(mel) if input_noise else mel
        facial_x = layers.GaussianNoise(input_noise, name="facial_noise")(facial) if input_noise else facial
        audio_maps = stack.down("audio_down", audio_x, audio_down_channels)
        facial_maps = stack.same("facial_down", facial_x, facial_down_channels)
        fused = layers.Concatenate(name="fusion_input")([audio_maps[-1], facial_maps[-1]])
        fused = stack.same("fusion", fused, fusion_channels)[-1]
        audio_y = stack.up("audio_up", fused, audio_up_channels, earlier=audio_maps)
        facial_y = stack.same("facial_up", fused, facial_up_channels, earlier=facial_maps)[-1]

        start = "zeros" if linear_path else "glorot_uniform"
        mel_y = layers.Conv1D(n_mels, kernel_size, padding="same", kernel_initializer=start, name="mel_out")(audio_y)
        facial_out = layers.Conv1D(n_facial, kernel_size, padding="same", kernel_initializer=start, name="facial_out")
        facial_y = facial_out(facial_y)
        if linear_path:
            mel_l, facial_l = _linear_path(
                mel, facial, n_keypoint_values, 2 ** len(audio_down_channels), linear_path_context, linear_path_rank
            )
            mel_y, facial_y = (
                layers.Add(name="mel_sum")([mel_y, mel_l]),
                layers.Add(name="facial_sum")([facial_y, facial_l]),
            )
        super().__init__(inputs={"mel": mel, "facial": facial}, outputs={"mel": mel_y, "facial": facial_y}, **kwargs)
        self.settings = settings

    def get_config(self) -> dict[str, Any]:
        return {**{k: list(v) if isinstance(v, tuple) else v for k, v in self.settings.items()}, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> ConversionNet:
        return cls(**config)


def build_conversion_net(config: Config) -> ConversionNet:
    """The network that `config.conversion` describes, for features of `config`."""
    net = config.conversion
    assert 2 ** len(net.audio_down_channels) == Timebase.from_config(config.time).mel_per_video  # checked by config
    return ConversionNet(
        n_mels=config.acoustic.n_mels,
        n_facial=config.face.n_facial,
        n_keypoint_values=2 * config.face.n_keypoints,
        audio_down_channels=net.audio_down_channels,
        facial_down_channels=net.facial_down_channels,
        fusion_channels=net.fusion_channels,
        audio_up_channels=net.audio_up_channels,
        facial_up_channels=net.facial_up_channels,
        kernel_size=net.kernel_size,
        batch_norm_momentum=net.batch_norm_momentum,
        dropout=net.dropout,
        input_noise=net.input_noise,
        linear_path=net.linear_path,
        linear_path_context=net.linear_path_context,
        linear_path_rank=net.linear_path_rank,
        name="conversion_net",
    )


class _Stack:
    """Hidden layers of one kernel size: convolution, ReLU, batch norm, dropout where set, residual paths."""

    def __init__(self, kernel_size: int, momentum: float, dropout: float) -> None:
        self.kernel_size = kernel_size
        self.momentum = momentum
        self.dropout = dropout

    def same(self, name: str, x: Any, channels: tuple[int, ...], earlier: list[Any] | None = None) -> list[Any]:
        """Stride-1 layers; returns every map."""
        maps = []
        for i, n in enumerate(channels):
            inputs = [x] if x.shape[-1] == n else []
            skips = [m for m in earlier or [] if m.shape[-1] == n][-1:]
            x = self._layer(f"{name}_{i + 1}", layers.Conv1D, x, n, 1, inputs + skips)
            maps.append(x)
        return maps

    def down(self, name: str, x: Any, channels: tuple[int, ...]) -> list[Any]:
        """Stride-2 layers: no map has the shape of its input."""
        maps = []
        for i, n in enumerate(channels):
            x = self._layer(f"{name}_{i + 1}", layers.Conv1D, x, n, 2, [])
            maps.append(x)
        return maps

    def up(self, name: str, x: Any, channels: tuple[int, ...], earlier: list[Any]) -> Any:
        """Stride-2 transposed layers; layer `i` has the rate of the down map `i + 2` from the end."""
        for i, n in enumerate(channels):
            same_rate = earlier[-2 - i : len(earlier) - 1 - i]
            skips = [m for m in same_rate if m.shape[-1] == n]
            x = self._layer(f"{name}_{i + 1}", layers.Conv1DTranspose, x, n, 2, skips)
        return x

    def _layer(self, name: str, kind: Any, x: Any, channels: int, stride: int, skips: list[Any]) -> Any:
        convolution = kind(
            channels, self.kernel_size, strides=stride, padding="same", kernel_initializer="he_normal", name=name
        )
        y = layers.ReLU(name=f"{name}_relu")(convolution(x))
        y = layers.BatchNormalization(momentum=self.momentum, name=f"{name}_norm")(y)
        if self.dropout:
            y = layers.Dropout(self.dropout, name=f"{name}_dropout")(y)
        return layers.Add(name=f"{name}_residual")([y, *skips]) if skips else y


def _linear_path(
    mel: Any, facial: Any, n_keypoint_values: int, mel_per_video: int, context: int, rank: int
) -> tuple[Any, Any]:
    """Fixed linear map of tied mel frames and keypoints, with `context` video frames on each side, to the outputs."""
    n_mels, n_vgg = mel.shape[-1], facial.shape[-1] - n_keypoint_values
    tied = layers.Reshape((-1, mel_per_video * n_mels), name="linear_tie")(mel)
    keypoints = facial[..., n_vgg:]
    joined = layers.Concatenate(name="linear_input")([tied, keypoints])
    n_out = mel_per_video * n_mels + n_keypoint_values + rank
    mapped = layers.Conv1D(n_out, 2 * context + 1, padding="same", trainable=False, name="linear_map")(joined)
    mel_y = layers.Reshape((-1, n_mels), name="linear_untie")(mapped[..., : mel_per_video * n_mels])
    keypoints_y = mapped[..., mel_per_video * n_mels : mel_per_video * n_mels + n_keypoint_values]
    codes = mapped[..., mel_per_video * n_mels + n_keypoint_values :]
    vgg = layers.Dense(n_vgg, trainable=False, name="linear_vgg")(codes)
    return mel_y, layers.Concatenate(name="linear_facial")([vgg, keypoints_y])
