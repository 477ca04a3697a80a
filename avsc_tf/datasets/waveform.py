"""Recordings -> crops for the WaveNet: previous samples, features, and the classes to predict."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray
from tqdm import tqdm

from avsc_tf.config import Config, WaveNetConfig
from avsc_tf.errors import MediaError
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.companding import class_values, compand, expand, pre_emphasise, silence_class, to_classes
from avsc_tf.features.linear_prediction import coefficients_of, predict
from avsc_tf.features.pitch import (
    LAG_OFFSETS,
    LOWEST_F0_HZ,
    Pitch,
    PitchEstimator,
    lag_samples,
    lag_taps,
    pitch_condition,
)
from avsc_tf.features.statistics import join_facial
from avsc_tf.media.audio import read_audio
from avsc_tf.media.clips import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from avsc_tf.records.splits import digest_split
from avsc_tf.timebase import Timebase

Floats = NDArray[np.float32]
Standardise = Callable[[Floats], Floats]

F0_SUFFIX = ".f0.txt"  # true pitch beside a synthetic recording, one value each 5 ms
PEAK = 0.95
GAIN_RANGE_DB = (-8.0, 6.0)


@dataclass(frozen=True)
class Recording:
    """One utterance at the WaveNet's sample rate, `frames * hop` samples long."""

    name: str
    waveform: Floats  # [frames * hop_samples], full scale 1
    mel: Floats  # [frames, n_mels], natural log
    facial: Floats | None = None  # [frames / mel_per_video, n_facial], standardised; None: unknown, taken as 0
    pitch: Pitch | None = None
    coefficients: Floats | None = None  # [frames, prediction_order], see features.linear_prediction
    f0_hz: Floats | None = None  # [frames], true pitch where it is known, 0 where unvoiced


def find_recordings(folders: Sequence[Path]) -> list[Path]:
    """Sound and video files in folders and below, by name.

    Raises:
        MediaError: a folder is missing or holds none.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise MediaError(f"{folder}: no such folder of recordings. Name folders of wav, flac or video files.")
        here = sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES + VIDEO_SUFFIXES)
        if not here:
            raise MediaError(f"{folder}: holds no recordings. It must hold wav, flac or video files.")
        found += here
    return found


def is_held_out(path: Path, config: Config) -> bool:
    """The split that `prepare` makes of the same sentence; file names read SENTENCE or SPEAKER_SENTENCE."""
    return digest_split(path.stem.rsplit("_", 1)[-1], test_share=config.split.test_share) == "test"


def read_recording(path: Path, config: Config) -> Recording:
    """Mel at time.sample_rate_hz, waveform at wavenet.sample_rate_hz, both over whole video frames.

    Raises:
        MediaError: unreadable, or shorter than one video frame.
    """
    timebase = Timebase.from_config(config.time)
    waveform = read_audio(path, sample_rate_hz=timebase.sample_rate_hz)
    n_video = timebase.video_frames_in(len(waveform))
    if n_video == 0:
        raise MediaError(f"{path}: shorter than one video frame. Leave it out.")
    waveform = waveform[: timebase.samples_in(n_video)]
    waveform = waveform * min(1.0, PEAK / max(1e-9, float(np.abs(waveform).max())))
    f0_path = path.with_name(path.stem + F0_SUFFIX)
    f0_hz = None
    if f0_path.is_file():
        f0_hz = np.loadtxt(f0_path, dtype=np.float32)[: timebase.mel_frames_in(n_video)]
    return Recording(
        name=path.stem,
        waveform=resample_for_wavenet(waveform, config),
        mel=mel_spectrogram(waveform, config.acoustic, timebase),
        f0_hz=f0_hz,
    )


def read_recordings(paths: Sequence[Path], config: Config, *, cache: Path) -> list[Recording]:
    """`read_recording` of many files, kept in `cache` (npz) for the next time the same files are asked for."""
    key = _cache_key(paths, config)
    if cache.is_file():
        with np.load(cache) as stored:
            if str(stored["key"]) == key:
                return _unpack(stored)
    recordings = [read_recording(path, config) for path in tqdm(paths, desc="recordings", unit="file")]
    cache.parent.mkdir(parents=True, exist_ok=True)
    partial = cache.with_name(f".{cache.name}")
    with partial.open("wb") as file:
        np.savez(file, **_pack(recordings, key))
    partial.replace(cache)
    return recordings


def _cache_key(paths: Sequence[Path], config: Config) -> str:
    settings = (config.time, config.acoustic, config.wavenet.sample_rate_hz)
    files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.sha256(repr((settings, files)).encode()).hexdigest()


def _pack(recordings: Sequence[Recording], key: str) -> dict[str, Any]:
    unknown = [np.full(len(r.mel), np.nan, np.float32) if r.f0_hz is None else r.f0_hz for r in recordings]
    return {
        "key": key,
        "names": np.array([r.name for r in recordings]),
        "n_frames": np.array([len(r.mel) for r in recordings]),
        "waveform": np.concatenate([r.waveform for r in recordings]),
        "mel": np.concatenate([r.mel for r in recordings]),
        "f0_hz": np.concatenate(unknown),
    }


def _unpack(stored: Any) -> list[Recording]:
    ends = np.cumsum(stored["n_frames"])[:-1]
    mels, f0s_hz = np.split(stored["mel"], ends), np.split(stored["f0_hz"], ends)
    hop = len(stored["waveform"]) // len(stored["mel"])
    waveforms = np.split(stored["waveform"], ends * hop)
    rows = zip(stored["names"], waveforms, mels, f0s_hz, strict=True)
    return [Recording(str(n), w, m, f0_hz=None if np.isnan(f).any() else f) for n, w, m, f in rows]


def resample_for_wavenet(waveform: Floats, config: Config) -> Floats:
    """[samples_in(T)] at time.sample_rate_hz -> the same T at wavenet.sample_rate_hz."""
    timebase = Timebase.from_config(config.time)
    slower = timebase.at_rate(config.wavenet.sample_rate_hz)
    n_samples = slower.samples_in(timebase.video_frames_in(len(waveform)))
    low = soxr.resample(waveform.astype(np.float32), timebase.sample_rate_hz, slower.sample_rate_hz, quality="HQ")
    return np.pad(low[:n_samples], (0, max(0, n_samples - len(low)))).astype(np.float32)


def with_side_information(
    recordings: Sequence[Recording], config: Config, estimator: PitchEstimator | None
) -> list[Recording]:
    """Pitch and prediction filter as the sampler will see them: from the mel, never from the waveform."""
    finished = []
    for recording in recordings:
        pitch = estimator(recording.mel) if estimator else None
        coefficients = coefficients_of(recording.mel, config) if config.wavenet.prediction_order else None
        finished.append(replace(recording, pitch=pitch, coefficients=coefficients))
    return finished


def recordings_of_records(
    records: Any, split: str, config: Config, estimator: PitchEstimator | None
) -> list[Recording]:
    """The target's clips of prepared records (`records.reader.Records`)."""
    statistics = records.statistics
    recordings = []
    wanted = ("utterance", "mel", "keypoints", "vgg", "waveform")
    for clip in records.clips("target", split, only=wanted):
        facial = statistics.standardise("target", "facial", join_facial(clip["vgg"], clip["keypoints"]))
        waveform = resample_for_wavenet(clip["waveform"].astype(np.float32) / 32768.0, config)
        recordings.append(Recording(clip["utterance"], waveform, clip["mel"], facial))
    return with_side_information(recordings, config, estimator)


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
    ):
        """Args beside the settings:

        standardise: natural-log mel -> the network's input; None feeds natural log (pretraining).
        vary_level: draw a gain for each crop.
        noisy: with `wavenet.input_noise`; not for validation.
        """
        self.config = config
        self.seed = seed
        self.timebase = Timebase.from_config(config.time).at_rate(config.wavenet.sample_rate_hz)
        self.n_video = max(1, self.timebase.video_frames_in(round(config.wavenet.crop_seconds * self.sample_rate_hz)))
        self.recordings = [r for r in recordings if self._n_video_in(r) >= self.n_video]
        if not self.recordings:
            raise MediaError(
                f"wavenet.crop_seconds {config.wavenet.crop_seconds}: no recording is that long. Choose a smaller one."
            )
        self.standardise = standardise
        self.vary_level = vary_level
        self.noisy = noisy
        starts = np.array([self._n_video_in(r) - self.n_video + 1 for r in self.recordings], float)
        self.probability = starts / starts.sum()

    @property
    def sample_rate_hz(self) -> int:
        return self.timebase.sample_rate_hz

    @property
    def crops_in_one_pass(self) -> int:
        return sum(self._n_video_in(r) // self.n_video for r in self.recordings)

    def _n_video_in(self, recording: Recording) -> int:
        return self.timebase.video_frames_in(len(recording.waveform))

    def batches(self, epoch: int, steps: int) -> Iterator[tuple[dict[str, Floats], NDArray[np.int32]]]:
        """`steps` batches of (network inputs, classes [batch, time])."""
        rng = np.random.default_rng([self.seed, epoch, 409])
        for _ in range(steps):
            crops = [self._random_crop(rng) for _ in range(self.config.wavenet.batch_size)]
            inputs = {name: np.stack([crop[0][name] for crop in crops]) for name in crops[0][0]}
            yield inputs, np.stack([crop[1] for crop in crops])

    def _random_crop(self, rng: np.random.Generator) -> tuple[dict[str, Floats], NDArray[np.int32]]:
        recording = self.recordings[rng.choice(len(self.recordings), p=self.probability)]
        start = int(rng.integers(self._n_video_in(recording) - self.n_video + 1))
        gain_db = rng.uniform(*GAIN_RANGE_DB) if self.vary_level else 0.0
        largest = self.config.wavenet.input_noise if self.noisy else 0.0
        noise = (rng.uniform(0.0, largest), rng) if largest else None
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
    timebase = Timebase.from_config(config.time).at_rate(net.sample_rate_hz)
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

    mel = np.maximum(recording.mel[frames] + np.log(gain), np.log(config.acoustic.log_floor)).astype(np.float32)
    previous = np.concatenate([[silence], values[:-1]])[past_samples:]
    inputs = {"waveform": previous.astype(np.float32), "mel": standardise(mel) if standardise else mel}
    if net.facial_channels:
        absent = np.zeros((n_video, config.face.n_facial), np.float32)
        inputs["facial"] = absent if recording.facial is None else recording.facial[start_video : start_video + n_video]
    lag = None
    if net.pitch_lag_input:
        lag = _lag_of_crop(recording, frames, timebase)
        inputs["pitch"] = pitch_condition(_given(recording.pitch, recording))[frames]
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


def as_dataset(sampler: CropSampler, epoch: int, steps: int) -> Any:
    """tf.data of `CropSampler.batches`."""
    import tensorflow as tf

    inputs, classes = next(sampler.batches(epoch, 1))
    signature = (
        {name: tf.TensorSpec(value.shape, tf.float32) for name, value in inputs.items()},
        tf.TensorSpec(classes.shape, tf.int32),
    )
    return tf.data.Dataset.from_generator(lambda: sampler.batches(epoch, steps), output_signature=signature)
