"""Waveform generation network (paper section 3.2): an autoregressive WaveNet conditioned on voice and face."""

from __future__ import annotations

import inspect
from typing import Any

import keras
from keras import layers, ops

from avsc_tf.core.config import Config
from avsc_tf.features.pitch import LAG_OFFSETS, PITCH_CHANNELS
from avsc_tf.layers.causal_conv import GatedResidualBlock
from avsc_tf.layers.conditioning import FacialAtMelRate, MelRestandardise
from avsc_tf.layers.logistic_mixture import LogisticMixture
from avsc_tf.layers.predictive_logits import PredictiveLogits
from avsc_tf.layers.projection import Projection
from avsc_tf.layers.sample_inputs import SampleInputs


@keras.saving.register_keras_serializable("avsc_tf")
class WaveNet(keras.Model):
    """Logits of each sample's class, given the samples before it and the features.

    Inputs (a dictionary; time = frames * hop_samples):
        waveform: [batch, time], companded value of the sample BEFORE each predicted one, in [-1, 1].
        mel: [batch, frames, n_mels], standardised by the run (in pretraining: natural log), see `MelRestandardise`.
        facial: [batch, frames / mel_per_video, n_facial], standardised; only with facial_channels > 0.
        pitch: [batch, frames, 2] from `features.pitch.pitch_condition`; not with pitch_input "none".
        pitch_lag: [batch, time, taps] from `features.pitch.lag_taps`; only with pitch_input "lag".
        prediction: [batch, time], companded linear prediction of the sample; only with prediction_order.
        residuals: [batch, time, 1 or 1 + taps], companded differences of sample and prediction: that of the sample
            before, and those one pitch period ago; only with prediction_order.
    Output: [batch, time, n_classes] logits, or with n_mixtures [batch, time, 3 * n_mixtures], see `LogisticMixture`.
    """

    def __init__(
        self,
        *,
        n_mels: int,
        n_facial: int,
        hop_samples: int,
        mel_per_video: int,
        n_classes: int,
        n_mixtures: int,
        n_layers: int,
        dilation_cycle: int,
        residual_channels: int,
        skip_channels: int,
        post_channels: int,
        condition_rnn_units: int,
        condition_channels: int,
        condition_kernel: int,
        facial_channels: int,
        input_features: str,
        pitch_input: str,
        prediction_order: int,
        name: str = "wavenet",
        **kwargs: Any,
    ):
        inputs = {"waveform": keras.Input((None,), name="waveform"), "mel": keras.Input((None, n_mels), name="mel")}
        if facial_channels:
            inputs["facial"] = keras.Input((None, n_facial), name="facial")
        if pitch_input != "none":
            inputs["pitch"] = keras.Input((None, PITCH_CHANNELS), name="pitch")
        if pitch_input == "lag":
            inputs["pitch_lag"] = keras.Input((None, len(LAG_OFFSETS)), name="pitch_lag")
        if prediction_order:
            n_residuals = 1 + (pitch_input == "lag") * len(LAG_OFFSETS)
            inputs["prediction"] = keras.Input((None,), name="prediction")
            inputs["residuals"] = keras.Input((None, n_residuals), name="residuals")

        condition = _condition_features(inputs, facial_channels, mel_per_video)
        if condition_rnn_units:
            lstm = layers.LSTM(condition_rnn_units // 2, return_sequences=True)
            condition = layers.Bidirectional(lstm, name="condition_rnn")(condition)
        condition = layers.Conv1D(
            condition_channels, condition_kernel, padding="same", activation="tanh", name="condition_conv"
        )(condition)
        gates_in = Projection(n_layers * 2 * residual_channels, gain=0.5, name="condition_projection")(condition)

        linear = input_features == "companded_and_linear"
        samples = SampleInputs(n_classes=n_classes, linear=linear, name="sample_inputs")
        x = samples(*(inputs.get(name) for name in ("waveform", "pitch_lag", "prediction", "residuals")))
        x = Projection(residual_channels, name="input_projection")(x)
        gates = []
        for k in range(n_layers):
            block = GatedResidualBlock(
                dilation=2 ** (k % dilation_cycle),
                hop_samples=hop_samples,
                has_residual=k < n_layers - 1,
                name=f"block_{k}",
            )
            width = 2 * residual_channels
            x, gate = block(x, gates_in[..., k * width : (k + 1) * width])
            gates.append(gate)

        y = layers.Concatenate(name="gates")(gates) if n_layers > 1 else gates[0]
        y = Projection(skip_channels, activation="relu", name="skip")(y)
        y = Projection(post_channels, gain=1.4, activation="relu", name="post")(y)
        if n_mixtures:
            y = LogisticMixture(n_mixtures, name="logits")(y, inputs.get("prediction"))
        elif prediction_order:
            y = PredictiveLogits(n_classes, name="logits")(y, inputs["prediction"])
        else:
            y = Projection(n_classes, gain=0.3, name="logits")(y)
        super().__init__(inputs=inputs, outputs=y, name=name, **kwargs)

        self.n_mels = n_mels
        self.n_facial = n_facial
        self.hop_samples = hop_samples
        self.mel_per_video = mel_per_video
        self.n_classes = n_classes
        self.n_mixtures = n_mixtures
        self.n_layers = n_layers
        self.dilation_cycle = dilation_cycle
        self.residual_channels = residual_channels
        self.skip_channels = skip_channels
        self.post_channels = post_channels
        self.condition_rnn_units = condition_rnn_units
        self.condition_channels = condition_channels
        self.condition_kernel = condition_kernel
        self.facial_channels = facial_channels
        self.input_features = input_features
        self.pitch_input = pitch_input
        self.prediction_order = prediction_order

    @property
    def mel_normalisation(self) -> MelRestandardise:
        return self.get_layer("mel_normalisation")

    @property
    def receptive_field_samples(self) -> int:
        """Past samples that can move one output, pitch lag and linear prediction not counted."""
        dilated = sum(2 ** (k % self.dilation_cycle) for k in range(self.n_layers))
        return 1 + dilated + (self.input_features == "companded_and_linear")

    def get_config(self) -> dict[str, Any]:
        names = [p.name for p in inspect.signature(type(self).__init__).parameters.values() if p.kind is p.KEYWORD_ONLY]
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


def _condition_features(inputs: dict, facial_channels: int, mel_per_video: int):
    """mel, then facial at mel rate, then pitch: [batch, frames, features]."""
    parts = [MelRestandardise(name="mel_normalisation")(inputs["mel"])]
    if facial_channels:
        at_mel_rate = FacialAtMelRate(facial_channels, mel_per_video=mel_per_video, name="facial_projection")
        parts.append(at_mel_rate(inputs["facial"]))
    if "pitch" in inputs:
        parts.append(inputs["pitch"])
    return ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]


def build_wavenet(config: Config) -> WaveNet:
    """The network of `config.wavenet`."""
    net, timebase = config.wavenet, config.timebase
    return WaveNet(
        n_mels=config.acoustic.n_mels,
        n_facial=config.face.n_facial,
        hop_samples=timebase.at_rate(net.sample_rate_hz).hop_samples,
        mel_per_video=timebase.mel_per_video,
        n_classes=net.n_classes,
        n_mixtures=net.n_mixtures,
        n_layers=net.n_layers,
        dilation_cycle=net.dilation_cycle,
        residual_channels=net.residual_channels,
        skip_channels=net.skip_channels,
        post_channels=net.post_channels,
        condition_rnn_units=net.condition_rnn_units,
        condition_channels=net.condition_channels,
        condition_kernel=net.condition_kernel,
        facial_channels=net.facial_channels,
        input_features=net.input_features,
        pitch_input=net.pitch_input,
        prediction_order=net.prediction_order,
    )
