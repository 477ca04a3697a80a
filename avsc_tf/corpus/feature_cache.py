"""Features of clips on disk, each in a file named by what it was made from, so that no content is computed twice."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from avsc_tf.core.config import Config
from avsc_tf.core.errors import MediaError
from avsc_tf.core.files import written_whole
from avsc_tf.features.clip import ClipFeatures, ClipMeasures, CropPath
from avsc_tf.features.health import SoundHealth
from avsc_tf.media.clips import ClipSource
from avsc_tf.media.synchrony import Synchrony

CACHE_VERSION = 4  # raise it when the code of the features gives other values for the same clip and settings
SETTINGS = ("seed", "time", "acoustic", "face", "image", "sync")
_PART = ".part"


class FeatureCache:
    """Feature files KEY.npz, where KEY digests a clip's files and the settings behind them, and not its name."""

    def __init__(self, folder: Path, config: Config):
        self._folder = folder
        self._settings = _settings_digest(config)

    def key(self, clip: ClipSource) -> str:
        """Digest of the bytes of picture and sound and of every setting the features depend on.

        Raises:
            MediaError: a file cannot be read.
        """
        digest = hashlib.sha256(self._settings.encode())
        for path in (clip.video, clip.audio):
            digest.update(b"\0" if path is None else _file_digest(path))
        digest.update(f"{clip.start_seconds} {clip.end_seconds}".encode())
        return digest.hexdigest()[:24]

    def path(self, key: str) -> Path:
        return self._folder / f"{key}.npz"

    def is_whole(self, key: str) -> bool:
        """There, and every byte as it was written (the archive's own CRC-32 of each array)."""
        try:
            with zipfile.ZipFile(self.path(key)) as archive:
                return archive.testzip() is None
        except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, ValueError):
            return False

    def measures(self, key: str) -> tuple[CropPath, ClipMeasures]:
        """Crop path and measures of a stored clip, without reading its features."""
        with np.load(self.path(key), allow_pickle=False) as stored:
            crop = CropPath(stored["crop_centres"], stored["crop_side"], stored["frame_size"])
            return crop, _measures(json.loads(stored["measures"].tobytes()))

    def array(self, key: str, name: str) -> np.ndarray:
        """One array of a stored clip."""
        with np.load(self.path(key), allow_pickle=False) as stored:
            return stored[name]

    def load(self, key: str, *, pictures: bool = True) -> ClipFeatures:
        """The stored features; without `pictures` its frames are left out, which is most of the bytes.

        Raises:
            MediaError: no such file, or a damaged one.
        """
        path = self.path(key)
        try:
            return decode_features(path.read_bytes() if pictures else path, pictures=pictures)
        except (OSError, zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
            raise MediaError(f"{path}: the stored features are damaged ({error}). Run avsc prepare again.") from error

    def save(self, key: str, data: bytes) -> None:
        """Store what `encode_features` gave: written beside, then renamed."""
        with written_whole(self.path(key), suffix=_PART) as part, part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def remove_unfinished(self) -> None:
        """Delete what a killed run left half-written. Files of other settings stay: they may be asked for again."""
        for path in self._folder.glob(f"*{_PART}"):
            path.unlink()


def encode_features(features: ClipFeatures) -> bytes:
    """One clip as an npz archive; equal features give equal bytes."""
    if features.crop is None or features.measures is None:
        raise ValueError("features of a clip that was read have its crop path and its measures")
    buffer = io.BytesIO()
    np.savez(
        buffer,
        crop_centres=features.crop.centres,
        crop_side=features.crop.side,
        frame_size=features.crop.frame_size,
        measures=np.frombuffer(json.dumps(asdict(features.measures)).encode(), np.uint8),
        mel=features.mel,
        keypoints=features.keypoints,
        vgg=features.vgg,
        waveform=features.waveform,
        png=np.frombuffer(b"".join(features.frames), np.uint8),
        png_lengths=np.array([len(png) for png in features.frames]),
    )
    return buffer.getvalue()


def decode_features(data: bytes | Path, *, pictures: bool = True) -> ClipFeatures:
    """Inverse of `encode_features`; from a path only the arrays that are asked for are read."""
    with np.load(io.BytesIO(data) if isinstance(data, bytes) else data, allow_pickle=False) as stored:
        values = {name: stored[name] for name in ("mel", "keypoints", "vgg", "waveform")}
        crop = CropPath(stored["crop_centres"], stored["crop_side"], stored["frame_size"])
        measures = _measures(json.loads(stored["measures"].tobytes()))
        frames: tuple[bytes, ...] = ()
        if pictures:
            png, ends = stored["png"].tobytes(), np.cumsum(stored["png_lengths"])
            frames = tuple(png[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True))
    return ClipFeatures(**values, frames=frames, crop=crop, measures=measures)


def _measures(tree: dict[str, Any]) -> ClipMeasures:
    synchrony = tree["synchrony"]
    return ClipMeasures(
        face_share=tree["face_share"],
        gaps=tuple((start, end) for start, end in tree["gaps"]),
        n_faces=tree["n_faces"],
        sound=SoundHealth(**tree["sound"]),
        synchrony=None if synchrony is None else Synchrony(**synchrony),
        notes=tuple(tree["notes"]),
    )


def _settings_digest(config: Config) -> str:
    settings = config.record_settings
    chosen = {name: settings[name] for name in SETTINGS}
    weights = Path(config.face.vgg_weights)
    chosen["vgg_file"] = _file_digest(weights).hex() if weights.is_file() else ""
    return json.dumps({"version": CACHE_VERSION, **chosen}, sort_keys=True)


def _file_digest(path: Path) -> bytes:
    try:
        state = path.stat()
        return _digest_of_state(path, state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror}). Check the name and the rights.") from error


@lru_cache(maxsize=64)
def _digest_of_state(path: Path, n_bytes: int, mtime_ns: int) -> bytes:
    """The cues of a session share their files: each is read once."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
