"""Utterances ready to be spoken: all that the WaveNet needs to know before its first sample, at frame rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avsc_tf.core.config import Config
from avsc_tf.features.linear_prediction import prediction_coefficients
from avsc_tf.features.pitch import PACKAGED_PITCH, PitchEstimator, lag_samples, pitch_condition

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Utterance:
    """One utterance at frame rate; an engine (see `engines`) makes its samples one after another."""

    condition: Floats  # [frames, n_layers, 2 * residual], biases of the gates included
    lag: NDArray[np.int32]  # [samples] of the pitch period, 0 where unvoiced; empty without the pitch lag
    voiced: NDArray[np.bool_]  # [frames]
    coefficients: Floats  # [frames, prediction_order], or no rows
    log_mel: Floats  # [frames, n_mels], natural log

    def part(self, start: int, stop: int, *, hop_samples: int) -> Utterance:
        """Frames `start` to `stop` - 1, as an utterance of its own."""
        return Utterance(
            self.condition[start:stop],
            self.lag[start * hop_samples : stop * hop_samples],
            self.voiced[start:stop],
            self.coefficients[start:stop],
            self.log_mel[start:stop],
        )


class UtteranceMaker:
    """The part of a network that runs at frame rate.

    Args:
        model: a built `models.wavenet.WaveNet`.
        estimator: reads pitch from mel where the network has a pitch input; the packaged one by default.
    """

    def __init__(self, model: Any, config: Config, *, estimator: PitchEstimator | None = None):
        self._model = model
        self._config = config
        self._condition_model: Any = None
        if config.wavenet.pitch_input != "none":
            self._estimator = estimator or PitchEstimator.load(PACKAGED_PITCH)

    def __call__(self, mel: Floats, facial: Floats | None) -> Utterance:
        """mel [frames, n_mels] and facial [frames / mel_per_video, n_facial] as the network takes them."""
        net, model = self._config.wavenet, self._model
        inputs = {"mel": mel[None].astype(np.float32)}
        if net.facial_channels:
            absent = np.zeros((len(mel) // model.mel_per_video, model.n_facial), np.float32)
            inputs["facial"] = (absent if facial is None else facial)[None].astype(np.float32)
        log_mel = model.mel_normalisation.natural_log(mel)
        lag, voiced = np.zeros(0, np.int32), np.zeros(len(mel), bool)
        if net.pitch_input != "none":
            pitch = self._estimator(log_mel)
            voiced = pitch.is_voiced
            inputs["pitch"] = pitch_condition(pitch)[None]
            if net.pitch_input == "lag":
                lag = lag_samples(pitch, hop_samples=model.hop_samples, sample_rate_hz=net.sample_rate_hz)
        coefficients = np.zeros((0, 0), np.float32)
        if net.prediction_order:
            coefficients = prediction_coefficients(log_mel, self._config)
        condition = np.asarray(self._condition(inputs))[0]
        condition = condition.reshape(len(mel), net.n_layers, 2 * net.residual_channels)
        return Utterance(np.ascontiguousarray(condition), lag, voiced, np.ascontiguousarray(coefficients), log_mel)

    def _condition(self, inputs: dict[str, Floats]) -> Any:
        """[1, frames, n_layers * 2 * residual]."""
        import keras

        if self._condition_model is None:
            wanted = {name: self._model.input[name] for name in inputs}
            output = self._model.get_layer("condition_projection").output
            self._condition_model = keras.Model(wanted, output)
        return self._condition_model(inputs, training=False)
