"""Audiovisual transformation network (paper section 3.1, figure 2).

Five stacks of one-dimensional convolutions over time: audio down (stride 2, as often as brings mel frames to video
frames), facial reduction, fusion of both, audio up (transposed, stride 2), facial up; and two linear outputs. Hidden
layers: convolution, ReLU, batch normalisation.

Residual paths connect feature maps of the same shape. We read that as: a layer adds its input where the two have one
shape, and a layer of an up stack adds the newest map of its down stack that has its shape (as in the U-shaped network
of the paper's reference [10]).

The baselines of section 4.4 keep one modality and convolve with stride 1 throughout.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from avsc_tf.core.config import Config
from avsc_tf.layers.modality import ModalityDropout, Presence


@keras.saving.register_keras_serializable(package="avsc_tf")
class ConversionNet(keras.Model):
    """Standardised features of the source in, of the target out, for any whole number of video frames.

    Inputs and outputs: `{"mel": [batch, mel_per_video * frames, n_mels], "facial": [batch, frames, n_facial]}`, or the
    one of them that a baseline has; what it does not take may still be given.

    Args:
        modalities: "audio_visual", "audio" or "visual".
        n_keypoint_values: trailing dimensions of the facial feature that are keypoints; the linear path reads them.
        audio_down_channels: one stride-2 convolution each; their number decides `mel_per_video`.
        input_noise: standard deviation of the noise added to standardised inputs in training (not from the paper).
        linear_path: add a fixed linear map of the inputs to the outputs, whose own layers then start at zero (ours;
            `avsc_tf.training.conversion.closed_form` fits it).
        linear_path_context: video frames on each side that the linear map sees.
        linear_path_rank: dimensions through which the linear map writes the VGG part.
        modality_dropout: share of the training examples without their mel, and without their facial feature; an input
            that is all zeros then counts as missing, and the linear path has a map for each stream alone (ours).
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
        modalities: str = "audio_visual",
        modality_dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        settings = {name: value for name, value in locals().items() if name not in ("self", "kwargs", "__class__")}
        inputs = {}
        if modalities != "visual":
            inputs["mel"] = keras.Input((None, n_mels), name="mel")  # [batch, 8 frames, n_mels]
        if modalities != "audio":
            inputs["facial"] = keras.Input((None, n_facial), name="facial")  # [batch, frames, n_facial]
        streams, present = _with_missing(inputs, modality_dropout)
        noisy = {name: _noisy(name, stream, input_noise, present.get(name)) for name, stream in streams.items()}
        audio_channels, facial_channels = (
            (audio_down_channels, audio_up_channels),
            (facial_down_channels, facial_up_channels),
        )
        stack = _Stack(kernel_size, batch_norm_momentum, dropout)
        hidden = _hidden(stack, noisy, audio_channels, facial_channels, fusion_channels)

        outputs, start = {}, "zeros" if linear_path else "glorot_uniform"
        for name, y in hidden.items():
            n_out = n_mels if name == "mel" else n_facial
            out = layers.Conv1D(n_out, kernel_size, padding="same", kernel_initializer=start, name=f"{name}_out")
            outputs[name] = out(y)
        if linear_path:
            tied = 2 ** len(audio_down_channels)
            lines = _linear_path(
                streams, present, n_keypoint_values, tied, context=linear_path_context, rank=linear_path_rank
            )
            outputs = {name: layers.Add(name=f"{name}_sum")([y, lines[name]]) for name, y in outputs.items()}
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.settings = settings

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return super().call({name: inputs[name] for name in self.input}, training=training, mask=mask)

    def get_config(self) -> dict[str, Any]:
        return {**{k: list(v) if isinstance(v, tuple) else v for k, v in self.settings.items()}, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> ConversionNet:
        return cls(**config)


def build_conversion_net(config: Config) -> ConversionNet:
    """The network that `config.conversion` describes, for features of `config`."""
    net = config.conversion
    assert 2 ** len(net.audio_down_channels) == config.timebase.mel_per_video  # checked by config
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
        modalities=net.modalities,
        modality_dropout=net.modality_dropout,
        name="conversion_net",
    )


def _with_missing(inputs: dict[str, Any], rate: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """The streams as training may drop them, and which are there ([batch, 1, 1] each; none where all always are)."""
    if not rate:
        return inputs, {}
    kept = ModalityDropout(rate, name="modality_dropout")(list(inputs.values()))
    streams = dict(zip(inputs, kept, strict=True))
    return streams, {name: Presence(name=f"{name}_present")(stream) for name, stream in streams.items()}


def _noisy(name: str, stream: Any, deviation: float, present: Any) -> Any:
    if not deviation:
        return stream
    noisy = layers.GaussianNoise(deviation, name=f"{name}_noise")(stream)
    return noisy if present is None else layers.Multiply(name=f"{name}_kept")([noisy, present])


def _hidden(
    stack: _Stack,
    streams: dict[str, Any],
    audio_channels: tuple[tuple[int, ...], tuple[int, ...]],
    facial_channels: tuple[tuple[int, ...], tuple[int, ...]],
    fusion_channels: tuple[int, ...],
) -> dict[str, Any]:
    """The last hidden map of each output; `..._channels` are of the down and the up stack."""
    is_joint, maps, hidden = len(streams) == 2, {}, {}
    if "mel" in streams:
        down = stack.down if is_joint else stack.same
        maps["mel"] = down("audio_down", streams["mel"], audio_channels[0])
    if "facial" in streams:
        maps["facial"] = stack.same("facial_down", streams["facial"], facial_channels[0])
    ends = [found[-1] for found in maps.values()]
    fused = layers.Concatenate(name="fusion_input")(ends) if is_joint else ends[0]
    fused = stack.same("fusion", fused, fusion_channels)[-1]
    if "mel" in streams:
        up = stack.up if is_joint else stack.same
        hidden["mel"] = up("audio_up", fused, audio_channels[1], earlier=maps["mel"])[-1]
    if "facial" in streams:
        hidden["facial"] = stack.same("facial_up", fused, facial_channels[1], earlier=maps["facial"])[-1]
    return hidden


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

    def up(self, name: str, x: Any, channels: tuple[int, ...], earlier: list[Any]) -> list[Any]:
        """Stride-2 transposed layers; layer `i` has the rate of the down map `i + 2` from the end."""
        maps = []
        for i, n in enumerate(channels):
            same_rate = earlier[-2 - i : len(earlier) - 1 - i]
            skips = [m for m in same_rate if m.shape[-1] == n]
            x = self._layer(f"{name}_{i + 1}", layers.Conv1DTranspose, x, n, 2, skips)
            maps.append(x)
        return maps

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
    streams: dict[str, Any],
    present: dict[str, Any],
    n_keypoint_values: int,
    mel_per_video: int,
    *,
    context: int,
    rank: int,
) -> dict[str, Any]:
    """Fixed linear map of tied mel frames and keypoints, with `context` video frames on each side, to the outputs."""
    parts, n_tied, n_vgg, n_mels = {}, 0, 0, 0
    if "mel" in streams:
        n_mels = streams["mel"].shape[-1]
        n_tied = mel_per_video * n_mels
        parts["mel"] = layers.Reshape((-1, n_tied), name="linear_tie")(streams["mel"])
    if "facial" in streams:
        n_vgg = streams["facial"].shape[-1] - n_keypoint_values
        parts["facial"] = streams["facial"][..., n_vgg:]
    n_direct = n_tied + (n_keypoint_values if "facial" in streams else 0)
    n_out = n_direct + (rank if "facial" in streams else 0)

    def fixed(name: str, x: Any) -> Any:
        return layers.Conv1D(n_out, 2 * context + 1, padding="same", trainable=False, name=name)(x)

    joined = next(iter(parts.values()))
    if len(parts) == 2:
        joined = layers.Concatenate(name="linear_input")(list(parts.values()))
    mapped = fixed("linear_map", joined)
    if present:
        alone = {name: fixed(alone_map(name), x) * present[name] for name, x in parts.items()}
        both = present["mel"] * present["facial"]
        mapped = mapped * both + (alone["mel"] + alone["facial"]) * (1.0 - both)
    lines = {}
    if "mel" in streams:
        lines["mel"] = layers.Reshape((-1, n_mels), name="linear_untie")(mapped[..., :n_tied])
    if "facial" in streams:
        vgg = layers.Dense(n_vgg, trainable=False, name="linear_vgg")(mapped[..., n_direct:])
        lines["facial"] = layers.Concatenate(name="linear_facial")([vgg, mapped[..., n_tied:n_direct]])
    return lines


def alone_map(name: str) -> str:
    """Name of the layer that maps one stream where the other is missing."""
    return f"linear_map_{name}_alone"
