"""Every feature of one clip, as preparation and conversion both need it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from avsc_tf.config import Config
from avsc_tf.errors import MediaError
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.appearance import Vgg19Features
from avsc_tf.features.face import FaceClip, FaceTracker, face_clip
from avsc_tf.media.clips import ClipFrames, ClipSource, load_clip, single_clip
from avsc_tf.timebase import Timebase

CACHE_VERSION = 1  # raise it when the code below gives other values for the same clip and settings
PNG_COMPRESSION = 1
_INT16_SCALE = 32768


@dataclass(frozen=True)
class ClipFeatures:
    """One clip of T video frames, not standardised (shapes and units as in schema.CLIP)."""

    mel: np.ndarray  # [T * mel_per_video, n_mels] float32, natural log
    keypoints: np.ndarray  # [T, n_keypoints, 2] float32, pixels of the crop
    vgg: np.ndarray  # [T, n_vgg] float16
    frames: tuple[bytes, ...]  # [T] PNG, image.size_px square
    waveform: np.ndarray  # [samples] int16 at time.sample_rate_hz

    @property
    def n_frames(self) -> int:
        return len(self.keypoints)


@dataclass(frozen=True)
class _Reading:
    """A clip before VGG-19 has seen it."""

    mel: np.ndarray
    faces: FaceClip
    frames: tuple[bytes, ...]
    waveform: np.ndarray


class ClipExtractor:
    """Reads clips and computes their features; face tracker and VGG-19 are loaded once, when first needed."""

    def __init__(self, config: Config):
        self.config = config
        self._timebase = Timebase.from_config(config.time)
        self._tracker: FaceTracker | None = None
        self._vgg: Vgg19Features | None = None

    def __call__(self, clip: ClipSource | Path) -> ClipFeatures:
        """Features of a clip; a bare path is a clip with its own sound.

        Raises:
            MediaError: a file cannot be read, or holds no sound or no picture.
            FaceError: a frame shows no face or more than one.
        """
        return self._seen(self._read(single_clip(clip) if isinstance(clip, Path) else clip))

    def one_ahead(self, clips: Iterable[ClipSource]) -> Iterator[Callable[[], ClipFeatures]]:
        """For each clip in turn a call that gives its features or raises as `__call__` does.

        The next clip is read and tracked on a thread of its own while VGG-19 sees this one.
        """
        with ThreadPoolExecutor(max_workers=1) as reader:
            readings: deque[Future[_Reading]] = deque()
            for clip in clips:
                readings.append(reader.submit(self._read, clip))
                if len(readings) > 1:
                    yield partial(self._finished, readings.popleft())
            while readings:
                yield partial(self._finished, readings.popleft())

    def _finished(self, reading: Future[_Reading]) -> ClipFeatures:
        return self._seen(reading.result())

    def _read(self, clip: ClipSource) -> _Reading:
        frames, waveform = load_clip(clip, self._timebase)
        faces = self._faces(frames, clip)
        return _Reading(
            mel=mel_spectrogram(waveform, self.config.acoustic, self._timebase),
            faces=faces,
            frames=encode_frames(faces.crops, size_px=self.config.image.size_px),
            waveform=to_int16(waveform),
        )

    def _seen(self, reading: _Reading) -> ClipFeatures:
        if self._vgg is None:
            self._vgg = Vgg19Features(self.config.face, self.config.seed)
        return ClipFeatures(
            mel=reading.mel,
            keypoints=reading.faces.keypoints,
            vgg=self._vgg(reading.faces.crops),
            frames=reading.frames,
            waveform=reading.waveform,
        )

    def _faces(self, frames: ClipFrames, clip: ClipSource) -> FaceClip:
        face = self.config.face
        if self._tracker is None:
            self._tracker = FaceTracker(face.min_detection_confidence)
        return face_clip(frames, self._tracker, face, fps=self._timebase.video_fps, place=str(clip.video))


def prepare_clip(config: Config, clip: ClipSource | Path) -> ClipFeatures:
    """Features of a single clip; for many, keep one `ClipExtractor`."""
    return ClipExtractor(config)(clip)


def to_int16(waveform: np.ndarray) -> np.ndarray:
    """Full scale 1 to int16, rounded and clipped."""
    return np.clip(np.rint(waveform * _INT16_SCALE), -_INT16_SCALE, _INT16_SCALE - 1).astype(np.int16)


def encode_frames(crops: np.ndarray, *, size_px: int) -> tuple[bytes, ...]:
    """uint8 [T, crop, crop, 3] RGB to PNG at `size_px`; each pixel is the mean of those it replaces."""
    import cv2

    pngs = []
    for crop in crops:
        image = crop if len(crop) == size_px else cv2.resize(crop, (size_px, size_px), interpolation=cv2.INTER_AREA)
        _, png = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION])
        pngs.append(png.tobytes())
    return tuple(pngs)


class FeatureCache:
    """Features on disk, one file a clip, named by the content of the clip's files and the settings behind them."""

    def __init__(self, folder: Path, config: Config):
        self._folder = folder
        self._settings = _settings_digest(config)

    def key(self, clip: ClipSource) -> str:
        """Digest of the bytes of picture and sound and of every setting the features depend on."""
        digest = hashlib.sha256(self._settings.encode())
        for path in (clip.video, clip.audio):
            digest.update(b"\0" if path is None else _file_digest(path))
        return digest.hexdigest()[:16]

    def path(self, clip: ClipSource, key: str) -> Path:
        return self._folder / f"{clip.utterance}.{key}.npz"

    def load(self, clip: ClipSource, key: str) -> ClipFeatures | None:
        """The stored features, or None where there are none (a damaged file counts as none)."""
        path = self.path(clip, key)
        try:
            with np.load(path) as stored:
                values = {name: stored[name] for name in ("mel", "keypoints", "vgg", "waveform")}
                png, ends = stored["png"].tobytes(), np.cumsum(stored["png_lengths"])
        except (FileNotFoundError, zipfile.BadZipFile, KeyError, ValueError, EOFError):
            return None
        frames = tuple(png[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True))
        return ClipFeatures(**values, frames=frames)

    def save(self, clip: ClipSource, key: str, features: ClipFeatures) -> None:
        """Write beside, then rename."""
        self._folder.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.savez(
            buffer,
            mel=features.mel,
            keypoints=features.keypoints,
            vgg=features.vgg,
            waveform=features.waveform,
            png=np.frombuffer(b"".join(features.frames), np.uint8),
            png_lengths=np.array([len(png) for png in features.frames]),
        )
        path = self.path(clip, key)
        part = path.with_suffix(".part")
        part.write_bytes(buffer.getbuffer())
        os.replace(part, path)


def _settings_digest(config: Config) -> str:
    settings = config.record_settings
    chosen = {name: settings[name] for name in ("seed", "time", "acoustic", "face", "image")}
    weights = Path(config.face.vgg_weights)
    chosen["vgg_file"] = _file_digest(weights).hex() if weights.is_file() else ""
    return json.dumps({"version": CACHE_VERSION, **chosen}, sort_keys=True)


def _file_digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror}). Check the name and the rights.") from error
