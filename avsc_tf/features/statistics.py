"""Mean and standard deviation per speaker and feature. The networks receive standardised features only.

The facial feature of a frame is VGG-19 fc1, then the keypoints as x0, y0, x1, y1, ...
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avsc_tf.core.errors import RecordError
from avsc_tf.core.files import write_atomically

FEATURES = ("mel", "vgg", "keypoints")
# Lower limit of a dimension's deviation, as a share of the mean deviation over the feature's dimensions. Without it, a
# dimension that hardly varies (a VGG unit that fires once, the empty top band) would be scaled up to unit variance.
STD_FLOOR_SHARE = 0.05

Moments = tuple[np.ndarray, np.ndarray]  # mean and standard deviation, float32 [dimensions]


def flatten_keypoints(keypoints: np.ndarray) -> np.ndarray:
    """[..., n, 2] -> [..., 2 n], order x0, y0, x1, y1, ..."""
    return keypoints.reshape(*keypoints.shape[:-2], -1)


def unflatten_keypoints(flat: np.ndarray) -> np.ndarray:
    """[..., 2 n] -> [..., n, 2]; inverse of `flatten_keypoints`."""
    return flat.reshape(*flat.shape[:-1], -1, 2)


def join_facial(vgg: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """[..., n_vgg] and [..., n_keypoints, 2] -> facial feature float32 [..., n_vgg + 2 n_keypoints]."""
    return np.concatenate([vgg.astype(np.float32), flatten_keypoints(keypoints).astype(np.float32)], axis=-1)


def split_facial(facial: np.ndarray, *, n_keypoints: int = 70) -> tuple[np.ndarray, np.ndarray]:
    """[..., n_facial] -> VGG part [..., n_vgg] and keypoints [..., n_keypoints, 2]; inverse of `join_facial`."""
    n_vgg = facial.shape[-1] - 2 * n_keypoints
    return facial[..., :n_vgg], unflatten_keypoints(facial[..., n_vgg:])


class RunningMoments:
    """Mean and deviation of a stream of frames in one pass, without cancellation (Chan's update, float64)."""

    def __init__(self) -> None:
        self.count = 0
        self._mean: np.ndarray | float = 0.0
        self._squares: np.ndarray | float = 0.0  # sum of squared differences from the mean

    def add(self, frames: np.ndarray) -> None:
        """Add frames [frames, dimensions]."""
        if frames.ndim != 2 or not np.isfinite(frames).all():
            raise ValueError(f"frames of shape {frames.shape} must be finite and [frames, dimensions]")
        values = frames.astype(np.float64)
        if len(values) == 0:
            return
        mean, total = values.mean(axis=0), self.count + len(values)
        shift = mean - self._mean
        self._squares = self._squares + ((values - mean) ** 2).sum(axis=0) + shift**2 * self.count * len(values) / total
        self._mean = self._mean + shift * len(values) / total
        self.count = total

    def moments(self) -> Moments:
        """Mean and floored standard deviation (population), float32 [dimensions]."""
        if self.count == 0:
            raise ValueError("no frames were added")
        std = np.sqrt(np.asarray(self._squares) / self.count)
        floor = STD_FLOOR_SHARE * std.mean()
        std = np.maximum(std, floor) if floor > 0 else np.ones_like(std)
        return np.asarray(self._mean, np.float32), std.astype(np.float32)


class StatisticsFitter:
    """Accumulates the training clips of each speaker."""

    def __init__(self) -> None:
        self._running: dict[str, dict[str, RunningMoments]] = {}

    def add(self, speaker: str, *, mel: np.ndarray, vgg: np.ndarray, keypoints: np.ndarray) -> None:
        """Add one clip: mel [mel_per_video * T, n_mels], vgg [T, n_vgg], keypoints [T, n_keypoints, 2]."""
        features = self._running.setdefault(speaker, {name: RunningMoments() for name in FEATURES})
        features["mel"].add(mel)
        features["vgg"].add(vgg)
        features["keypoints"].add(flatten_keypoints(keypoints))

    def finish(self) -> Statistics:
        return Statistics({s: {n: r.moments() for n, r in parts.items()} for s, parts in self._running.items()})


@dataclass(frozen=True)
class Statistics:
    """Moments of `FEATURES` per speaker. The feature "facial" is vgg and keypoints concatenated."""

    moments: Mapping[str, Mapping[str, Moments]]

    def get(self, speaker: str, feature: str) -> Moments:
        """Mean and standard deviation, float32 [dimensions].

        Raises:
            RecordError: unknown speaker or feature.
        """
        parts = self.moments.get(speaker)
        if parts is None:
            raise RecordError(f"statistics: no speaker {speaker!r}. Known are {', '.join(self.moments)}.")
        if feature == "facial":
            vgg, keypoints = parts["vgg"], parts["keypoints"]
            return np.concatenate([vgg[0], keypoints[0]]), np.concatenate([vgg[1], keypoints[1]])
        if feature not in parts:
            raise RecordError(f"statistics: no feature {feature!r}. Known are {', '.join(parts)} and facial.")
        return parts[feature]

    def standardise(self, speaker: str, feature: str, values: np.ndarray) -> np.ndarray:
        """[..., dimensions] in the feature's unit -> float32 [..., dimensions] of mean 0, deviation 1."""
        mean, std = self._checked_moments(speaker, feature, values)
        return (values.astype(np.float32) - mean) / std

    def restore(self, speaker: str, feature: str, values: np.ndarray) -> np.ndarray:
        """Inverse of `standardise`."""
        mean, std = self._checked_moments(speaker, feature, values)
        return values.astype(np.float32) * std + mean

    def _checked_moments(self, speaker: str, feature: str, values: np.ndarray) -> Moments:
        mean, std = self.get(speaker, feature)
        if values.shape[-1] != len(mean):
            raise ValueError(f"{feature} has {values.shape[-1]} dimensions; the statistics have {len(mean)}")
        return mean, std

    def save(self, path: Path) -> None:
        """Write an npz with entries `speaker/feature/mean` and `.../std`; the file appears complete or not at all."""
        entries = {
            f"{speaker}/{feature}/{kind}": value
            for speaker, parts in self.moments.items()
            for feature, pair in parts.items()
            for kind, value in zip(("mean", "std"), pair, strict=True)
        }
        buffer = io.BytesIO()
        np.savez(buffer, **entries)
        write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Statistics:
        """Read the file of `save`. An untrusted file cannot make it allocate more memory than the file has bytes.

        Raises:
            RecordError: missing or damaged file.
        """
        if not path.is_file():
            raise RecordError(f"{path}: the statistics are missing. Run avsc prepare, or copy the whole folder.")
        moments: dict[str, dict[str, Moments]] = {}
        try:
            entries = _entries(path)
            for name, values in entries.items():
                speaker, feature, kind = name.rsplit("/", 2)
                if kind == "mean":
                    std = entries[f"{speaker}/{feature}/std"]
                    if not (np.isfinite(values).all() and np.isfinite(std).all() and (std > 0).all()):
                        raise ValueError(f"{speaker}/{feature} is not finite, or has no deviation")
                    moments.setdefault(speaker, {})[feature] = (values, std)
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
            raise RecordError(f"{path}: the statistics are damaged ({error}). Run avsc prepare again.") from error
        return cls(moments)


def _entries(path: Path) -> dict[str, np.ndarray]:
    """float32 vectors by name from an uncompressed npz."""
    entries = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > path.stat().st_size:
                raise ValueError(f"{info.filename} is compressed")
            with archive.open(info) as file:
                if np.lib.format.read_magic(file) != (1, 0):
                    raise ValueError(f"{info.filename} is of another format")
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                content = file.read()
            if dtype != np.float32 or len(shape) != 1 or 4 * shape[0] != len(content):
                raise ValueError(f"{info.filename} is no float32 vector")
            entries[info.filename.removesuffix(".npy")] = np.frombuffer(content, np.float32)
    return entries
