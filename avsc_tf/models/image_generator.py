"""Image reconstruction network, the generator (paper section 3.3, figure 3 left)."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from avsc_tf.core.config import Config
from avsc_tf.layers.warp import FaceWarp, InsideFace

WARP_SMOOTHING = 1e-3  # on GRID's s1 1e-4 to 1e-2 give the same mouth SSIM within 0.002


@keras.saving.register_keras_serializable(package="avsc_tf")
class ImageGenerator(keras.Model):
    """One video frame's standardised features of the target -> its picture.

    Inputs: `{"mel": [batch, mel_per_video, n_mels], "facial": [batch, n_facial]}`; output
    [batch, size_px, size_px, 3] in [-1, 1] (RGB). Dense layers make a one-channel map, convolutions paint it; hidden
    layers are linear, batch norm, ReLU; the output is a hyperbolic tangent (not stated in the paper).

    Args:
        dense_units: layers before the one that makes the map (the paper's second fully connected layer).
        upsample: which convolutions are stride-2 transposed ones.
        feature_noise: standard deviation of the noise added to the inputs in training (not from the paper).
        path_units, path_components: size of the closed-form path beside the network (ours; 0 components: no path):
            fixed random ReLU features of the keypoints -> principal components of the target's frames -> picture.
            `avsc_tf.training.image.appearance` fits it. The convolutions then start at zero and paint what it
            lacks, and the output is cut at -1 and 1 in place of the hyperbolic tangent.
        mel_input: False leaves the mel out, though it may still be given (the visual baseline, section 4.4).
        path_texture_px: the path's picture is a texture of so many pixels a side in the speaker's mean shape, and is
            laid on the keypoints of the frame (`layers.warp.FaceWarp`; ours): an active appearance model (Cootes,
            Edwards, Taylor 2001). The convolutions' picture is added to the texture, inside the face only, before the
            warp. 0: the path's picture is the frame itself.
        crop_px: side of the crop whose pixels keypoints are in; needed with a texture.
    """

    def __init__(
        self,
        *,
        mel_per_video: int,
        n_mels: int,
        n_facial: int,
        n_keypoint_values: int,
        size_px: int,
        dense_units: tuple[int, ...],
        channels: tuple[int, ...],
        upsample: tuple[bool, ...],
        kernel_size: int = 5,
        batch_norm_momentum: float = 0.99,
        feature_noise: float = 0.0,
        path_units: int = 0,
        path_components: int = 0,
        mel_input: bool = True,
        path_texture_px: int = 0,
        crop_px: int = 0,
        **kwargs: Any,
    ) -> None:
        settings = {name: value for name, value in locals().items() if name not in ("self", "kwargs", "__class__")}
        mel = keras.Input((mel_per_video, n_mels), name="mel")
        facial = keras.Input((n_facial,), name="facial")
        inputs = {"mel": mel, "facial": facial} if mel_input else {"facial": facial}
        x = facial
        if mel_input:
            x = layers.Concatenate(name="features")([layers.Flatten(name="tied_mel")(mel), facial])
        if feature_noise:
            x = layers.GaussianNoise(feature_noise, name="feature_noise")(x)
        map_px = size_px // 2 ** sum(upsample)

        def normalised(name: str, layer: Any, x: Any) -> Any:
            x = layers.BatchNormalization(momentum=batch_norm_momentum, name=f"{name}_norm")(layer(x))
            return layers.ReLU(name=f"{name}_relu")(x)

        for i, n in enumerate((*dense_units, map_px * map_px)):
            x = normalised(f"dense_{i + 1}", layers.Dense(n, name=f"dense_{i + 1}"), x)
        x = layers.Reshape((map_px, map_px, 1), name="map")(x)
        for i, (n, up) in enumerate(zip(channels[:-1], upsample[:-1], strict=True)):
            x = normalised(f"conv_{i + 1}", _convolution(n, kernel_size, up, f"conv_{i + 1}"), x)
        start = "zeros" if path_components else "glorot_uniform"
        x = _convolution(channels[-1], kernel_size, upsample[-1], "image_linear", start)(x)
        if path_components:
            keypoints = facial[..., n_facial - n_keypoint_values :]
            path_px = path_texture_px or size_px
            picture = _closed_form_path(keypoints, path_units, path_components, path_px)
            if path_texture_px:
                x = InsideFace(path_px, name="image_inside")(x)
            x = layers.Add(name="image_sum")([x, picture])
            if path_texture_px:
                x = FaceWarp(size_px, crop_px=crop_px, smoothing=WARP_SMOOTHING, name="path_warp")([x, keypoints])
        image = layers.Activation("hard_tanh" if path_components else "tanh", name="image")(x)
        super().__init__(inputs=inputs, outputs=image, **kwargs)
        self.settings = settings

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        chosen = inputs if self.settings["mel_input"] else {"facial": inputs["facial"]}
        return super().call(chosen, training=training, mask=mask)

    def get_config(self) -> dict[str, Any]:
        return {**{k: list(v) if isinstance(v, tuple) else v for k, v in self.settings.items()}, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> ImageGenerator:
        return cls(**config)


def build_image_generator(config: Config) -> ImageGenerator:
    """The generator that `config.image` describes, for features of `config`."""
    image = config.image
    return ImageGenerator(
        mel_per_video=config.timebase.mel_per_video,
        n_mels=config.acoustic.n_mels,
        n_facial=config.face.n_facial,
        n_keypoint_values=2 * config.face.n_keypoints,
        size_px=image.size_px,
        dense_units=image.dense_units,
        channels=image.generator_channels,
        upsample=image.generator_upsample,
        kernel_size=image.generator_kernel,
        batch_norm_momentum=image.batch_norm_momentum,
        feature_noise=image.feature_noise,
        path_units=image.path_units,
        path_components=image.path_components,
        mel_input=image.mel_input,
        path_texture_px=image.texture_px,
        crop_px=config.face.crop_px,
        name="image_generator",
    )


def _convolution(channels: int, kernel_size: int, up: bool, name: str, start: str = "glorot_uniform") -> Any:
    """Stride-1 convolution, or stride-2 transposed one, of unchanged or doubled size."""
    if up:
        return layers.Conv2DTranspose(
            channels, kernel_size, strides=2, padding="same", kernel_initializer=start, name=name
        )
    return layers.Conv2D(channels, kernel_size, padding="same", kernel_initializer=start, name=name)


def _closed_form_path(keypoints: Any, units: int, components: int, size_px: int) -> Any:
    """Keypoints [batch, values] -> picture [batch, size_px, size_px, 3]; fixed weights, zero until fitted."""
    hidden = layers.Dense(units, activation="relu", trainable=False, name="path_hidden")(keypoints)
    codes = layers.Dense(components, trainable=False, name="path_codes")(hidden)
    n_values = size_px * size_px * 3
    pixels = layers.Dense(n_values, kernel_initializer="zeros", trainable=False, name="path_picture")(codes)
    return layers.Reshape((size_px, size_px, 3), name="path_image")(pixels)
