"""Speech from a trained WaveNet, sample by sample (paper section 3.2)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avsc_tf.config import Config
from avsc_tf.conversion.mel_matching import match_mel
from avsc_tf.features.companding import LINEAR_SCALE, class_values, de_emphasise, expand, silence_class
from avsc_tf.features.linear_prediction import coefficients_of
from avsc_tf.features.pitch import LAG_OFFSETS, PACKAGED_PITCH, PitchEstimator, lag_samples, pitch_condition

Floats = NDArray[np.float32]


class WaveNetSampler:
    """A network's weights, laid out for the compiled kernel.

    Args:
        model: a built `models.wavenet.WaveNet`.
        config: the settings it was built from.
        estimator: reads pitch from mel where the network has the pitch-lag input; the packaged one by default.
    """

    def __init__(self, model, config: Config, *, estimator: PitchEstimator | None = None):
        self._config = config
        self.net = config.wavenet
        self.n_frames_a_video = model.mel_per_video
        self.hop_samples = model.hop_samples
        self._model = model
        self._condition_model: Any = None
        self._weights = _kernel_weights(model)
        if self.net.pitch_lag_input:
            self.estimator = estimator or PitchEstimator.load(PACKAGED_PITCH)

    def generate(
        self,
        mels: Sequence[Floats],
        facials: Sequence[Floats] | None = None,
        *,
        seed: int = 0,
        temperature: float | None = None,
        voiced_temperature: float | None = None,
        mel_matching_passes: int | None = None,
        n_threads: int | None = None,
    ) -> list[Floats]:
        """Waveforms of utterances, each from its own random generator: the others do not change it.

        Args:
            mels: [mel frames, n_mels] each, as the network takes them (standardised by the run).
            facials: [mel frames / mel_per_video, n_facial] each, standardised; None: absent.
            temperature, voiced_temperature, mel_matching_passes: instead of the settings' own, see `WaveNetConfig`.
            n_threads: utterances made at a time; as many as there are cores by default.

        Returns:
            float32 [frames * hop_samples] at wavenet.sample_rate_hz, full scale 1, not clipped.
        """
        net = self.net
        calm = net.voiced_temperature if voiced_temperature is None else voiced_temperature
        lively = net.temperature if temperature is None else temperature
        passes = net.mel_matching_passes if mel_matching_passes is None else mel_matching_passes
        if facials is None:
            jobs = [self._prepare(mel, None) for mel in mels]
        else:
            jobs = [self._prepare(mel, facial) for mel, facial in zip(mels, facials, strict=True)]

        def run(job: _Job) -> Floats:
            heat = np.where(job.voiced, calm, lively).astype(np.float32)
            classes = np.zeros(len(job.voiced) * self.hop_samples, np.int32)
            uniform = np.random.default_rng(seed).random(len(classes), dtype=np.float32)
            self._run(job, classes, forced=False, temperature=heat, uniform=uniform)
            return match_mel(self.to_waveform(classes), job.log_mel, self._config, passes=passes)

        if len(jobs) == 1:
            return [run(jobs[0])]
        with ThreadPoolExecutor(n_threads or os.cpu_count() or 1) as pool:
            return list(pool.map(run, jobs))

    def logits(self, classes: NDArray[np.int32], mel: Floats, facial: Floats | None = None) -> Floats:
        """Step by step over a given utterance: [samples, n_classes], each sample's prediction from those before."""
        job = self._prepare(mel, facial)
        out = np.zeros((len(classes), self.net.n_classes), np.float32)
        heat = np.ones(len(mel), np.float32)
        self._run(job, classes.astype(np.int32), forced=True, temperature=heat, uniform=out[:, 0].copy(), logits=out)
        return out

    def to_waveform(self, classes: NDArray[np.int32]) -> Floats:
        """Classes -> samples: mu-law and pre-emphasis undone."""
        linear = expand(class_values(self.net.n_classes)[classes], self.net.n_classes)
        return de_emphasise(linear, self.net.pre_emphasis)

    def _prepare(self, mel: Floats, facial: Floats | None) -> _Job:
        n_samples = len(mel) * self.hop_samples
        inputs = {"mel": mel[None].astype(np.float32)}
        if self.net.facial_channels:
            absent = np.zeros((len(mel) // self.n_frames_a_video, self._model.n_facial), np.float32)
            inputs["facial"] = (absent if facial is None else facial)[None].astype(np.float32)
        log_mel = self._model.mel_normalisation.natural_log(mel)
        lag, voiced = np.zeros(0, np.int32), np.zeros(len(mel), bool)
        if self.net.pitch_lag_input:
            pitch = self.estimator(log_mel)
            lag = lag_samples(pitch, hop_samples=self.hop_samples, sample_rate_hz=self.net.sample_rate_hz)
            voiced = pitch.is_voiced
            inputs["pitch"] = pitch_condition(pitch)[None]
        coefficients = np.zeros((0, 0), np.float32)
        if self.net.prediction_order:
            coefficients = coefficients_of(log_mel, self._config)
        condition = np.asarray(self._condition(inputs))[0]
        condition = condition.reshape(len(mel), self.net.n_layers, 2 * self.net.residual_channels)
        assert len(lag) in (0, n_samples)
        return _Job(np.ascontiguousarray(condition), lag, voiced, np.ascontiguousarray(coefficients), log_mel)

    def _condition(self, inputs: dict[str, Floats]):
        """The part of the network that runs at frame rate: [1, frames, n_layers * 2 * residual]."""
        import keras

        if self._condition_model is None:
            wanted = {name: self._model.input[name] for name in inputs}
            output = self._model.get_layer("condition_projection").output
            self._condition_model = keras.Model(wanted, output)
        return self._condition_model(inputs, training=False)

    def _run(self, job: _Job, classes, *, forced: bool, temperature, uniform, logits=None) -> None:
        from avsc_tf.conversion.sampler_kernel import generate

        n = self.net.n_classes
        companded = class_values(n)
        generate(
            *self._weights,
            job.condition,
            job.lag,
            job.coefficients,
            np.array(LAG_OFFSETS, np.int64),
            companded,
            (LINEAR_SCALE * expand(companded, n)).astype(np.float32),
            self.net.input_features == "companded_and_linear",
            silence_class(n),
            temperature,
            uniform,
            classes,
            forced,
            np.zeros((0, 0), np.float32) if logits is None else logits,
        )


@dataclass(frozen=True)
class _Job:
    """One utterance at frame rate."""

    condition: Floats  # [frames, n_layers, 2 * residual]
    lag: NDArray[np.int32]  # [samples], or empty
    voiced: NDArray[np.bool_]  # [frames]
    coefficients: Floats  # [frames, prediction_order], or no rows
    log_mel: Floats  # [frames, n_mels], natural log


def _kernel_weights(model) -> tuple[np.ndarray, ...]:
    """In the order of `sampler_kernel.generate`."""

    def of(layer: str, weight: str) -> np.ndarray:
        return np.asarray(getattr(model.get_layer(layer), weight), np.float32)

    blocks = [f"block_{k}" for k in range(model.n_layers)]
    width = model.residual_channels
    last_kernel, last_bias = np.zeros((width, width), np.float32), np.zeros(width, np.float32)
    packed = [
        of("input_projection", "kernel"),
        of("input_projection", "bias"),
        np.stack([of(block, "kernel") for block in blocks]),
        np.stack([*[of(block, "residual_kernel") for block in blocks[:-1]], last_kernel]),
        np.stack([*[of(block, "residual_bias") for block in blocks[:-1]], last_bias]),
    ]
    for layer in ("skip", "post", "logits"):
        packed += [of(layer, "kernel"), of(layer, "bias")]
    if model.prediction_order:
        packed += [of("logits", "peak_kernel"), of("logits", "peak_bias")]
    else:
        packed += [np.zeros((model.post_channels, 2), np.float32), np.zeros(2, np.float32)]
    packed.append(np.array([2 ** (k % model.dilation_cycle) for k in range(model.n_layers)], np.int64))
    return tuple(np.ascontiguousarray(array) for array in packed)
