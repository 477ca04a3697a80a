"""Speech at the WaveNet's rate with its mel spectrogram: of sound files, or of the target's clips in records."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray
from tqdm import tqdm

from avsc_tf.config import Config
from avsc_tf.datasets.rows import StreamedRows
from avsc_tf.errors import MediaError
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.linear_prediction import coefficients_of
from avsc_tf.features.pitch import Pitch, PitchEstimator
from avsc_tf.features.statistics import join_facial
from avsc_tf.media.audio import read_audio
from avsc_tf.media.clips import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from avsc_tf.records.reader import Records, choose, clip_stem
from avsc_tf.records.splits import digest_split
from avsc_tf.schema import CLIP
from avsc_tf.timebase import Timebase

Floats = NDArray[np.float32]

F0_SUFFIX = ".f0.txt"  # true pitch beside a synthetic recording, one value each 5 ms
PEAK = 0.95


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
    records: Records, split: str, config: Config, estimator: PitchEstimator | None
) -> Sequence[Recording]:
    """The target's clips of prepared records: a list where they fit into `records.memory_mb`, else read at each use."""
    clips = StreamedClips(records, split, config, estimator)
    return list(clips) if clips.n_bytes <= config.records.memory_mb * 2**20 else clips


class StreamedClips(Sequence[Recording]):
    """The target's clips of a split, each made anew from its record whenever it is asked for.

    Pitch and prediction filters cost most of the time and little memory: of the clips last asked for they are kept, as
    many as fit into `records.memory_mb`. May be asked by several threads.
    """

    NAMES = ("mel", "keypoints", "vgg", "waveform")

    def __init__(self, records: Records, split: str, config: Config, estimator: PitchEstimator | None):
        self._rows = StreamedRows(records, clip_stem("target", split), choose(CLIP, self.NAMES))
        self._statistics = records.statistics
        self._config = config
        self._estimator = estimator
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, tuple[Pitch | None, Floats | None]] = OrderedDict()  # the last used at the end
        self._kept_frames = 0

    def __len__(self) -> int:
        return len(self.video_frames)

    @property
    def video_frames(self) -> NDArray[np.int64]:
        """Length of each clip, known without reading it."""
        return self._rows.lengths

    @property
    def n_bytes(self) -> int:
        """What all recordings take in memory, a little more than their arrays."""
        config, timebase = self._config, Timebase.from_config(self._config.time)
        slower = timebase.at_rate(config.wavenet.sample_rate_hz)
        a_mel_frame = slower.hop_samples + config.acoustic.n_mels + config.wavenet.prediction_order + 2  # and pitch
        a_frame = timebase.mel_per_video * a_mel_frame + config.face.n_facial
        return int(self.video_frames.sum()) * a_frame * np.dtype(np.float32).itemsize

    def __getitem__(self, index: Any) -> Any:
        """One recording, or a list of them for a slice."""
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        k = range(len(self))[index]
        clip = self._rows.read(k, 0, int(self.video_frames[k]))
        facial = self._statistics.standardise("target", "facial", join_facial(clip["vgg"], clip["keypoints"]))
        waveform = resample_for_wavenet(clip["waveform"].astype(np.float32) / 32768.0, self._config)
        recording = Recording(self._rows.name(k), waveform, clip["mel"], facial)
        return self._with_side_information(k, recording)

    def _with_side_information(self, k: int, recording: Recording) -> Recording:
        with self._lock:
            if k in self._kept:
                self._kept.move_to_end(k)
                pitch, coefficients = self._kept[k]
                return replace(recording, pitch=pitch, coefficients=coefficients)
        (finished,) = with_side_information([recording], self._config, self._estimator)
        self._keep(k, finished)
        return finished

    def _keep(self, k: int, recording: Recording) -> None:
        """Keep the side information, and let go of what was not asked for the longest."""
        a_frame = Timebase.from_config(self._config.time).mel_per_video * (self._config.wavenet.prediction_order + 2)
        most_frames = self._config.records.memory_mb * 2**20 / (a_frame * np.dtype(np.float32).itemsize)
        with self._lock:
            if k not in self._kept:
                self._kept[k] = (recording.pitch, recording.coefficients)
                self._kept_frames += int(self.video_frames[k])
            while self._kept_frames > most_frames:
                oldest, _ = self._kept.popitem(last=False)
                self._kept_frames -= int(self.video_frames[oldest])
