"""The WaveNet as graphs: speech from features, within a bound, and the likelihood of given speech."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from avsc_tf.core.config import Config
from avsc_tf.core.schema import Feature
from avsc_tf.export.matching import MelMatching, can_match
from avsc_tf.export.scoring import Scorer
from avsc_tf.export.side_information import PitchReader, PredictionFilter
from avsc_tf.export.signatures import LENGTHS, ServedFunction, Signature, Tensors, features, sizes_of
from avsc_tf.export.standardising import Standardising
from avsc_tf.export.utterances import checked, each
from avsc_tf.export.waveforms import de_emphasised
from avsc_tf.features.pitch import PACKAGED_PITCH, PitchEstimator
from avsc_tf.signal.companding import class_values, expand
from avsc_tf.vocoder.sampler_graph import Inputs, generate
from avsc_tf.vocoder.sampler_tensorflow import form_of, weights_of

Tensor = Any

SEED = Feature(
    "seed", "int32", ("batch",), "", "of each utterance's random numbers; the others do not change its sound"
)
UNIFORM = Feature(
    "uniform",
    "float32",
    ("batch", "samples"),
    "0 to below 1",
    "a sample is the class whose share of the softmax holds it",
)


class Heard(NamedTuple):
    """What the network reads from the features of one utterance before its first sample."""

    inputs: dict[str, Tensor]  # of the Keras model, batch of one: mel, and facial and pitch where it takes them
    log_mel: Tensor  # [frames, n_mels], natural log
    lag: Tensor  # int32 [samples], or [0]
    coefficients: Tensor  # [frames, order]
    temperature: Tensor  # [frames]


class ServedWaveNet:
    """Signatures of a trained WaveNet.

    Args:
        model: a built `models.wavenet.WaveNet`.
        max_samples: of one call, utterances times samples of the longest one.
        jit_compile: the loop over the samples by XLA.
    """

    def __init__(
        self, model: Any, config: Config, standardising: Standardising, *, max_samples: int, jit_compile: bool = False
    ):
        self.model, self.config, self.standardising = model, config, standardising
        self.net = config.wavenet
        self.max_samples, self._jit_compile = max_samples, jit_compile
        self.samples_per_video = model.hop_samples * model.mel_per_video
        per = model.mel_per_video
        self.rates = {"mel": per, "keypoints": 1, "vgg": 1, "waveform": self.samples_per_video}
        self.rates["uniform"] = self.samples_per_video
        self.sizes = sizes_of(config)
        self.pitch = PitchReader(PitchEstimator.load(PACKAGED_PITCH)) if self.net.pitch_input != "none" else None
        self.filter = PredictionFilter(config) if self.net.prediction_order else None
        self.matching = MelMatching(config) if self.net.mel_matching_passes and can_match(config) else None
        self.scorer = Scorer(model, config)
        if self.net.condition_rnn_units:
            for layer in (
                model.get_layer("condition_rnn").forward_layer,
                model.get_layer("condition_rnn").backward_layer,
            ):
                layer.use_cudnn = False  # its operations run on NVIDIA alone

    def functions(self) -> list[ServedFunction]:
        spoken = features("the target's", mel=True, face=bool(self.net.facial_channels))
        waveform = Feature(
            "waveform",
            "float32",
            ("batch", "samples"),
            "full scale 1",
            f"speech at {self.net.sample_rate_hz} Hz, not clipped; 0 beyond an utterance's length",
        )
        bound = f"; refuses more than {self.max_samples} samples a call (utterances times samples of the longest)"
        given = Feature("waveform", "float32", ("batch", "samples"), "full scale 1", f"at {self.net.sample_rate_hz} Hz")
        scores = (
            Feature(
                "log_probability",
                "float32",
                ("batch", "samples"),
                "nats",
                "of each sample, given those before it and the features; 0 beyond an utterance's length",
            ),
            Feature("mean_log_probability", "float32", ("batch",), "nats a sample", "over the utterance's length"),
        )
        return [
            ServedFunction(
                Signature(
                    "generate", "speech from features of the target" + bound, (*spoken, SEED, LENGTHS), (waveform,)
                ),
                self._generate,
            ),
            ServedFunction(
                Signature(
                    "generate_from_uniform",
                    "the same from the caller's own random numbers, to the sample what the tools make of them" + bound,
                    (*spoken, UNIFORM, LENGTHS),
                    (waveform,),
                ),
                self._generate,
            ),
            ServedFunction(
                Signature(
                    "score",
                    "teacher-forced log likelihood of given speech; each sample as one of "
                    f"{self.net.n_classes} classes{bound}",
                    (*spoken, given, LENGTHS),
                    scores,
                ),
                self._score,
            ),
        ]

    def _generate(self, inputs: Tensors) -> Tensors:
        streams, lengths, n_video = self._checked(inputs)
        n_samples = self.samples_per_video * n_video
        net, hop = self.net, self.model.hop_samples
        seeds = {"seed": inputs["seed"]} if "seed" in inputs else {}

        def hear(utterance: Tensors, n_frames: Tensor) -> Tensors:
            heard = self.hear(utterance)
            n = self.samples_per_video * n_frames
            uniform = utterance.get("uniform")
            if uniform is None:
                key = tf.stack([utterance["seed"], 0])
                uniform = tf.random.stateless_uniform([n], key, alg="philox")
            return {
                "condition": self.condition(heard.inputs),
                "log_mel": heard.log_mel,
                "lag": heard.lag,
                "coefficients": heard.coefficients,
                "temperature": heard.temperature,
                "uniform": uniform,
            }

        per = self.rates["mel"]
        shapes = {
            "condition": (tf.TensorSpec((None, net.n_layers, 2 * net.residual_channels), tf.float32), per),
            "log_mel": (tf.TensorSpec((None, self.sizes["n_mels"]), tf.float32), per),
            "lag": (tf.TensorSpec((None,), tf.int32), self.samples_per_video if net.pitch_input == "lag" else 0),
            "coefficients": (tf.TensorSpec((None, net.prediction_order), tf.float32), per),
            "temperature": (tf.TensorSpec((None,), tf.float32), per),
            "uniform": (tf.TensorSpec((None,), tf.float32), self.samples_per_video),
        }
        told = each(hear, {**streams, **seeds}, lengths, self.rates, n_video, shapes)
        batch = Inputs(told["condition"], told["lag"], told["coefficients"])
        longest = self.samples_per_video * tf.reduce_max(lengths)
        classes = self._spoken(batch, told["temperature"], told["uniform"], longest)
        values = tf.constant(expand(class_values(net.n_classes), net.n_classes))
        there = tf.range(n_samples) < self.samples_per_video * lengths[:, None]
        linear = tf.where(there, tf.gather(values, classes), 0.0)
        waveform = tf.where(there, de_emphasised(linear, net.pre_emphasis, block=hop), 0.0)
        if self.matching is None:
            return {"waveform": waveform}
        matching, spoken = self.matching, {"waveform": waveform, "log_mel": told["log_mel"]}

        def match(utterance: Tensors, n_frames: Tensor) -> Tensors:
            return {"waveform": matching(utterance["waveform"], utterance["log_mel"])}

        rates = {**self.rates, "log_mel": per}
        of_one = {"waveform": (tf.TensorSpec((None,), tf.float32), self.samples_per_video)}
        return each(match, spoken, lengths, rates, n_video, of_one)

    def _spoken(self, inputs: Inputs, temperature: Tensor, uniform: Tensor, n_samples: Tensor) -> Tensor:
        weights = weights_of(self.model, tf.convert_to_tensor)

        def speak(*tensors: Tensor) -> Tensor:
            return generate(weights, form_of(self.net), Inputs(*tensors[:3]), *tensors[3:])

        loop = tf.function(speak, jit_compile=True, autograph=False) if self._jit_compile else speak
        return loop(*inputs, temperature, uniform, n_samples)

    def _score(self, inputs: Tensors) -> Tensors:
        streams, lengths, n_video = self._checked(inputs)

        def score(utterance: Tensors, n_frames: Tensor) -> Tensors:
            heard = self.hear(utterance)
            found = self.scorer(utterance["waveform"], heard.inputs, heard.lag, heard.coefficients)
            return {"log_probability": found, "mean_log_probability": tf.reduce_mean(found)}

        shapes = {
            "log_probability": (tf.TensorSpec((None,), tf.float32), self.samples_per_video),
            "mean_log_probability": (tf.TensorSpec((), tf.float32), 0),
        }
        return each(score, streams, lengths, self.rates, n_video, shapes)

    def _checked(self, inputs: Mapping[str, Tensor]) -> tuple[Tensors, Tensor, Tensor]:
        """Streams, lengths and the video frames they are padded to."""
        lengths = inputs["lengths"]
        streams = {name: x for name, x in inputs.items() if name not in ("lengths", "seed")}
        streams, n_video = checked(streams, lengths, self.rates, optional=False)
        asked = tf.cast(tf.shape(lengths)[0], tf.int64) * self.samples_per_video * tf.cast(n_video, tf.int64)
        message = (
            f"a call may ask for {self.max_samples} samples at most (utterances times samples of the longest, "
            f"{self.samples_per_video} a video frame). Send fewer or shorter utterances, or export with a larger "
            "--max-seconds. Asked for:"
        )
        rules = [tf.debugging.Assert(asked <= self.max_samples, [message, asked])]
        if "seed" in inputs:
            same = tf.equal(tf.shape(inputs["seed"])[0], tf.shape(lengths)[0])
            rules.append(tf.debugging.Assert(same, ["seed and lengths: must be of as many utterances", inputs["seed"]]))
        with tf.control_dependencies(rules):
            return {name: tf.identity(x) for name, x in streams.items()}, tf.identity(lengths), tf.identity(n_video)

    def hear(self, utterance: Tensors) -> Heard:
        """From one utterance's physical features, see `vocoder.utterances.UtteranceMaker`."""
        net, model = self.net, self.model
        mel = self.standardising.target_mel(utterance["mel"])
        inputs = {"mel": mel[None]}
        if net.facial_channels:
            inputs["facial"] = self.standardising.target_facial(utterance["keypoints"], utterance["vgg"])[None]
        norm, n_frames = model.mel_normalisation, tf.shape(mel)[0]
        log_mel = mel * tf.convert_to_tensor(norm.run_std) + tf.convert_to_tensor(norm.run_mean)
        lag, temperature = tf.zeros([0], tf.int32), tf.fill([n_frames], np.float32(net.temperature))
        if self.pitch is not None:
            pitch = self.pitch(log_mel)
            inputs["pitch"] = pitch.condition()[None]
            temperature = tf.where(pitch.is_voiced, np.float32(net.voiced_temperature), temperature)
            if net.pitch_input == "lag":
                lag = pitch.lag(hop_samples=model.hop_samples, sample_rate_hz=net.sample_rate_hz)
        coefficients = tf.zeros([n_frames, 0]) if self.filter is None else self.filter(log_mel)
        return Heard(inputs, log_mel, lag, coefficients, temperature)

    def condition(self, inputs: Tensors) -> Tensor:
        """[frames, n_layers, 2 * residual]"""
        import keras

        names = {name: self.model.input[name] for name in inputs}
        model = keras.Model(names, self.model.get_layer("condition_projection").output)
        condition = model(inputs, training=False)[0]
        return tf.reshape(condition, (-1, self.net.n_layers, 2 * self.net.residual_channels))
