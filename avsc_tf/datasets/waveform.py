"""Recordings -> crops for the WaveNet: previous samples, features, and the classes to predict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avsc_tf.core.config import Config, WaveNetConfig
from avsc_tf.core.errors import MediaError
from avsc_tf.core.timebase import Timebase
from avsc_tf.datasets.batches import WHOLE, Share, batches
from avsc_tf.datasets.recordings import PEAK, Floats, Recording, StreamedRecordings
from avsc_tf.features.linear_prediction import predict
from avsc_tf.features.pitch import LAG_OFFSETS, LOWEST_F0_HZ, Pitch, lag_samples, lag_taps, pitch_condition
from avsc_tf.signal.companding import class_values, compand, expand, pre_emphasise, silence_class, to_classes

Standardise = Callable[[Floats], Floats]

GAIN_RANGE_DB = (-8.0, 6.0)


class CropSampler:
    """Random crops of whole video frames; a draw depends on (seed, epoch) alone."""

    def __init__(
        self,
        recordings: Sequence[Recording],
        config: Config,
        *,
        seed: int,
        standardise: Standardise | None = None,
        vary_level: bool = False,
        noisy: bool = True,
        others: Sequence[Recording] | None = None,
    ):
        """Args beside the settings:

        standardise: natural-log mel -> the network's input; None feeds natural log (pretraining).
        vary_level: draw a gain for each crop.
        noisy: with `wavenet.input_noise`; not for validation.
        others: the same recordings with other features; each crop is of the one or the other with equal chance.
        """
        self.config = config
        self.seed = seed
        self.timebase = config.timebase.at_rate(config.wavenet.sample_rate_hz)
        self.n_video = max(1, self.timebase.video_frames_in(round(config.wavenet.crop_seconds * self.sample_rate_hz)))
        self.recordings = recordings
        lengths = self._video_frames()
        self.usable = np.flatnonzero(lengths >= self.n_video)  # recordings that hold a crop
        if not len(self.usable):
            raise MediaError(
                f"wavenet.crop_seconds {config.wavenet.crop_seconds}: no recording is that long. Choose a smaller one."
            )
        self.lengths = lengths[self.usable]
        self.standardise = standardise
        self.vary_level = vary_level
        self.noisy = noisy
        self.others = others
        starts = (self.lengths - self.n_video + 1).astype(float)
        self.probability = starts / starts.sum()

    def _video_frames(self) -> NDArray[np.int64]:
        if isinstance(self.recordings, StreamedRecordings):
            return self.recordings.video_frames
        return np.array([self.timebase.video_frames_in(len(r.waveform)) for r in self.recordings], np.int64)

    @property
    def sample_rate_hz(self) -> int:
        return self.timebase.sample_rate_hz

    @property
    def crops_in_one_pass(self) -> int:
        return int((self.lengths // self.n_video).sum())

    def batches(self, epoch: int, steps: int) -> Iterator[tuple[dict[str, Floats], NDArray[np.int32]]]:
        """`steps` batches of (network inputs, classes [batch, time])."""
        return (self.batch(epoch, k) for k in range(steps))

    def batch(self, epoch: int, k: int, rows: slice = slice(None)) -> tuple[dict[str, Floats], NDArray[np.int32]]:
        """Batch `k` of an epoch, or some rows of it; neither other batches nor other rows are needed for it."""
        chosen = range(self.config.wavenet.batch_size)[rows]
        crops = [self._random_crop(np.random.default_rng([self.seed, epoch, k, row, 409])) for row in chosen]
        inputs = {name: np.stack([crop[0][name] for crop in crops]) for name in crops[0][0]}
        return inputs, np.stack([crop[1] for crop in crops])

    @cached_property
    def shapes(self) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...]]:
        """Of a batch's inputs and of its classes."""
        inputs, classes = self.batch(0, 0)
        return {name: value.shape for name, value in inputs.items()}, classes.shape

    def _random_crop(self, rng: np.random.Generator) -> tuple[dict[str, Floats], NDArray[np.int32]]:
        k = rng.choice(len(self.usable), p=self.probability)
        start = int(rng.integers(self.lengths[k] - self.n_video + 1))
        gain_db = rng.uniform(*GAIN_RANGE_DB) if self.vary_level else 0.0
        largest = self.config.wavenet.input_noise if self.noisy else 0.0
        noise = (rng.uniform(0.0, largest), rng) if largest else None
        drawn = self.others if self.others is not None and rng.random() < 0.5 else self.recordings
        recording = drawn[int(self.usable[k])]
        return crop_inputs(
            recording, self.config, start, self.n_video, gain_db=gain_db, noise=noise, standardise=self.standardise
        )


def crop_inputs(
    recording: Recording,
    config: Config,
    start_video: int,
    n_video: int,
    *,
    gain_db: float = 0.0,
    noise: tuple[float, np.random.Generator] | None = None,
    standardise: Standardise | None = None,
) -> tuple[dict[str, Floats], NDArray[np.int32]]:
    """Network inputs (one utterance, no batch axis) and classes of `n_video` video frames from `start_video` on.

    `noise`: deviation (companded units) and generator of the noise on all past samples; the classes stay clean, so that
    the network learns to mend what it will get wrong itself (as LPCNet does).
    """
    net = config.wavenet
    timebase = config.timebase.at_rate(net.sample_rate_hz)
    per = timebase.mel_per_video
    start, n_samples = timebase.samples_in(start_video), timebase.samples_in(n_video)
    frames = slice(start_video * per, (start_video + n_video) * per)

    past_samples = min(start, _history_samples(timebase, net))
    gain = min(10.0 ** (gain_db / 20.0), PEAK / max(1e-9, float(np.abs(recording.waveform).max())))
    classes = _classes(recording.waveform, start - past_samples, start + n_samples, gain, net)
    values = class_values(net.n_classes)[classes]  # [past_samples + n_samples]
    if noise is not None:
        values = np.clip(values + noise[1].normal(0.0, noise[0], len(values)), -1.0, 1.0).astype(np.float32)
    silence = float(class_values(net.n_classes)[silence_class(net.n_classes)])

    natural_mel = recording.mel[frames]
    floor = np.minimum(natural_mel, np.log(config.acoustic.log_floor))  # converted mel may lie below the floor
    mel = np.maximum(natural_mel + np.log(gain), floor).astype(np.float32)
    previous = np.concatenate([[silence], values[:-1]])[past_samples:]
    inputs = {"waveform": previous.astype(np.float32), "mel": standardise(mel) if standardise else mel}
    if net.facial_channels:
        absent = np.zeros((n_video, config.face.n_facial), np.float32)
        inputs["facial"] = absent if recording.facial is None else recording.facial[start_video : start_video + n_video]
    lag = None
    if net.pitch_input != "none":
        inputs["pitch"] = pitch_condition(_given(recording.pitch, recording))[frames]
    if net.pitch_input == "lag":
        lag = _lag_of_crop(recording, frames, timebase)
        inputs["pitch_lag"] = lag_taps(values, lag, past_samples, silence)
    if net.prediction_order:
        of_samples = np.repeat(_given(recording.coefficients, recording), timebase.hop_samples, axis=0)
        signal = expand(values, net.n_classes)
        prediction = predict(signal, of_samples[start - past_samples : start + n_samples])
        residual = compand(signal - prediction, net.n_classes)
        inputs["prediction"] = compand(prediction[past_samples:], net.n_classes)
        inputs["residuals"] = _residual_taps(residual, lag, past_samples)
    return inputs, classes[past_samples:]


def _given(value: Any, recording: Recording) -> Any:
    if value is None:
        raise ValueError(f"{recording.name}: no pitch or prediction filter; call with_side_information first")
    return value


def _lag_of_crop(recording: Recording, frames: slice, timebase: Timebase) -> NDArray[np.int32]:
    pitch = _given(recording.pitch, recording)
    near = slice(max(0, frames.start - 1), frames.stop + 1)  # neighbours: F0 is interpolated between frames
    nearby = Pitch(pitch.f0_hz[near], pitch.voicing[near])
    lag = lag_samples(nearby, hop_samples=timebase.hop_samples, sample_rate_hz=timebase.sample_rate_hz)
    first = (frames.start - near.start) * timebase.hop_samples
    return lag[first : first + (frames.stop - frames.start) * timebase.hop_samples]


def _residual_taps(residual: Floats, lag: NDArray[np.int32] | None, start: int) -> Floats:
    """The residual of the sample before, then those one pitch period ago: [samples, 1 or 1 + taps]."""
    before = np.concatenate([[0.0], residual[:-1]])[start:, None].astype(np.float32)
    if lag is None:
        return before
    return np.concatenate([before, lag_taps(residual, lag, start, 0.0)], axis=1)


def _history_samples(timebase: Timebase, net: WaveNetConfig) -> int:
    """Enough past for the longest pitch period, and for the prediction of what was heard then."""
    longest_period = int(np.ceil(timebase.sample_rate_hz / LOWEST_F0_HZ))
    return longest_period - LAG_OFFSETS[0] + 1 + net.prediction_order


def _classes(waveform: Floats, start: int, stop: int, gain: float, net: WaveNetConfig) -> NDArray[np.int32]:
    """Classes of samples `start` to `stop` of the pre-emphasised waveform times `gain`."""
    before = max(0, start - 1)  # pre-emphasis reaches one sample back
    emphasised = pre_emphasise(gain * waveform[before:stop], net.pre_emphasis)[start - before :]
    return to_classes(compand(emphasised, net.n_classes), net.n_classes)


def as_dataset(sampler: CropSampler, epoch: int, steps: int, *, start_batch: int = 0, share: Share = WHOLE) -> Any:
    """tf.data of the sampler's batches `start_batch` to `steps` - 1 of an epoch, or a share of each, read ahead."""
    import tensorflow as tf

    shapes, classes_shape = sampler.shapes
    specs = [*(tf.TensorSpec(shape, tf.float32) for shape in shapes.values()), tf.TensorSpec(classes_shape, tf.int32)]

    def read(k: int, rows: slice) -> list[Any]:
        inputs, classes = sampler.batch(epoch, k, rows)
        return [*(np.asarray(inputs[name], np.float32) for name in shapes), np.asarray(classes, np.int32)]

    def finish(*arrays: Any) -> tuple[dict[str, Any], Any]:
        return dict(zip(shapes, arrays, strict=False)), arrays[-1]  # the classes come last

    return batches(read, specs, n_batches=steps, start_batch=start_batch, share=share, finish=finish)
