"""Speech at the WaveNet's rate with its mel spectrogram, held in memory or made when it is asked for."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from avsc_tf.core.config import Config
from avsc_tf.core.errors import MediaError
from avsc_tf.corpus.splits import digest_split
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.linear_prediction import prediction_coefficients
from avsc_tf.features.pitch import Pitch, PitchEstimator
from avsc_tf.media.audio import read_audio
from avsc_tf.media.clip_files import FilesByName, by_name, is_audio, separate_sound

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
    """Sound and video files in folders and below, by name; of a video with its sound recorded apart, that sound.

    Raises:
        MediaError: a folder is missing or holds none, or a video has two sounds of its name.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise MediaError(f"{folder}: no such folder of recordings. Name folders of sound or video files.")
        places: dict[Path, list[Path]] = defaultdict(list)
        for path in folder.rglob("[!.]*"):
            places[path.parent].append(path)
        named = [by_name(files) for files in places.values()]
        here = [p for beside in named for same in beside.values() for p in same if _is_heard(p, beside)]
        if not here:
            raise MediaError(f"{folder}: holds no recordings. It must hold sound or video files.")
        found += sorted(here)
    return found


def _is_heard(path: Path, beside: FilesByName) -> bool:
    return is_audio(path) or separate_sound(path, beside) is None


def is_held_out(path: Path, config: Config) -> bool:
    """The split that `prepare` makes of the same sentence; file names read SENTENCE or SPEAKER_SENTENCE."""
    return digest_split(path.stem.rsplit("_", 1)[-1], test_share=config.split.test_share) == "test"


def read_recording(path: Path, config: Config) -> Recording:
    """Mel at time.sample_rate_hz, waveform at wavenet.sample_rate_hz, both over whole video frames.

    Raises:
        MediaError: unreadable, or shorter than one video frame.
    """
    timebase = config.timebase
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


def resample_for_wavenet(waveform: Floats, config: Config) -> Floats:
    """[samples_in(T)] at time.sample_rate_hz -> the same T at wavenet.sample_rate_hz."""
    timebase = config.timebase
    slower = timebase.at_rate(config.wavenet.sample_rate_hz)
    n_samples = slower.samples_in(timebase.video_frames_in(len(waveform)))
    low = soxr.resample(waveform.astype(np.float32), timebase.sample_rate_hz, slower.sample_rate_hz, quality="HQ")
    return np.pad(low[:n_samples], (0, max(0, n_samples - len(low)))).astype(np.float32)


def side_information(
    mel: Floats, config: Config, estimator: PitchEstimator | None
) -> tuple[Pitch | None, Floats | None]:
    """Pitch and prediction filter as the sampler will see them: from the mel, never from the waveform."""
    pitch = estimator(mel) if estimator else None
    return pitch, prediction_coefficients(mel, config) if config.wavenet.prediction_order else None


def with_side_information(
    recordings: Sequence[Recording], config: Config, estimator: PitchEstimator | None
) -> list[Recording]:
    """Recordings with their `side_information`."""
    found = [side_information(recording.mel, config, estimator) for recording in recordings]
    return [replace(r, pitch=p, coefficients=c) for r, (p, c) in zip(recordings, found, strict=True)]


class StreamedRecordings(Sequence[Recording]):
    """Recordings that are made anew whenever they are asked for; a subclass says how.

    Pitch and prediction filters cost most of the time and little memory: of the recordings last asked for they are
    kept, as many as fit into `records.memory_mb`. May be asked by several threads.
    """

    def __init__(self, video_frames: NDArray[np.int64], config: Config, estimator: PitchEstimator | None):
        """`video_frames`: length of each recording, known without reading it."""
        self.video_frames = video_frames
        self.config = config
        self.estimator = estimator
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, tuple[Pitch | None, Floats | None]] = OrderedDict()  # the last used at the end
        self._kept_frames = 0

    @abstractmethod
    def bare(self, k: int) -> Recording:
        """Recording `k` without pitch and prediction filter."""

    def side_information(self, k: int, recording: Recording) -> tuple[Pitch | None, Floats | None]:
        """Pitch and prediction filter of recording `k`."""
        return side_information(recording.mel, self.config, self.estimator)

    @property
    def has_facial(self) -> bool:
        """Whether the recordings bring the facial feature."""
        return True

    @property
    def n_bytes(self) -> int:
        """What all recordings take in memory, a little more than their arrays."""
        config, timebase = self.config, self.config.timebase
        slower = timebase.at_rate(config.wavenet.sample_rate_hz)
        a_mel_frame = slower.hop_samples + config.acoustic.n_mels + config.wavenet.prediction_order + 2  # and pitch
        a_frame = timebase.mel_per_video * a_mel_frame + self.has_facial * config.face.n_facial
        return int(self.video_frames.sum()) * a_frame * np.dtype(np.float32).itemsize

    def held_where_it_fits(self) -> Sequence[Recording]:
        """A list of all recordings where they fit into `records.memory_mb`, else these."""
        return list(self) if self.n_bytes <= self.config.records.memory_mb * 2**20 else self

    def __len__(self) -> int:
        return len(self.video_frames)

    def __getitem__(self, index: Any) -> Any:
        """One recording, or a list of them for a slice."""
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        k = range(len(self))[index]
        recording = self.bare(k)
        pitch, coefficients = self._side_information(k, recording)
        return replace(recording, pitch=pitch, coefficients=coefficients)

    def _side_information(self, k: int, recording: Recording) -> tuple[Pitch | None, Floats | None]:
        with self._lock:
            if k in self._kept:
                self._kept.move_to_end(k)
                return self._kept[k]
        found = self.side_information(k, recording)
        self._keep(k, found)
        return found

    def _keep(self, k: int, found: tuple[Pitch | None, Floats | None]) -> None:
        """Keep the side information, and let go of what was not asked for the longest."""
        a_frame = self.config.timebase.mel_per_video * (self.config.wavenet.prediction_order + 2)
        most_frames = self.config.records.memory_mb * 2**20 / (a_frame * np.dtype(np.float32).itemsize)
        with self._lock:
            if k not in self._kept:
                self._kept[k] = found
                self._kept_frames += int(self.video_frames[k])
            while self._kept_frames > most_frames:
                oldest, _ = self._kept.popitem(last=False)
                self._kept_frames -= int(self.video_frames[oldest])
