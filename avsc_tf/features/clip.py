"""All features of one clip, for preparation and for conversion."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from avsc_tf.core.config import Config
from avsc_tf.core.errors import MediaError
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.appearance import Vgg19Features
from avsc_tf.features.face import FaceClip, face_clip, face_notes
from avsc_tf.features.face_mesh import FaceTracker
from avsc_tf.features.health import SoundHealth, sound_health
from avsc_tf.media.audio import read_audio, recorded_samples
from avsc_tf.media.clips import (
    ClipFrames,
    ClipSource,
    LoadedClip,
    clip_sound_notes,
    load_clip,
    single_clip,
    sound_of,
)
from avsc_tf.media.synchrony import Synchrony
from avsc_tf.media.video import picture_notes, probe_video
from avsc_tf.signal.pcm import to_int16

PNG_COMPRESSION = 1
LONG_CLIP_SECONDS = 30.0  # a longer clip gets a note: it is probably not one sentence


@dataclass(frozen=True)
class CropPath:
    """Position of the crops of T frames in the recorded picture; `features.crop.to_frame` inverts it."""

    centres: np.ndarray  # [T, 2] float32, pixels of the upright frame
    side: np.ndarray  # [] float32, pixels of the upright frame
    frame_size: np.ndarray  # [2] int32, width and height


@dataclass(frozen=True)
class ClipMeasures:
    """Quality of a recording, for the corpus report."""

    face_share: float  # share of frames with a face, before gaps are filled
    gaps: tuple[tuple[float, float], ...]  # start and end of each filled gap, seconds
    n_faces: int  # largest number of faces in one frame
    sound: SoundHealth
    synchrony: Synchrony | None  # of sound from a separate recorder
    notes: tuple[str, ...] = ()  # other content of the files, and what was selected


@dataclass(frozen=True)
class ClipFeatures:
    """One clip of T video frames, not standardised (shapes and units as in schema.CLIP)."""

    mel: np.ndarray  # [T * mel_per_video, n_mels] float32, natural log
    keypoints: np.ndarray  # [T, n_keypoints, 2] float32, pixels of the crop
    vgg: np.ndarray  # [T, n_vgg] float16
    frames: tuple[bytes, ...]  # [T] PNG, image.size_px square
    waveform: np.ndarray  # [samples] int16 at time.sample_rate_hz
    crop: CropPath | None = None  # set for every clip that was read from files
    measures: ClipMeasures | None = None  # set for every clip that was read from files

    @property
    def n_frames(self) -> int:
        return len(self.keypoints)

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the clip's files for the user."""
        return self.measures.notes if self.measures is not None else ()


@dataclass(frozen=True)
class _Reading:
    """All features of a clip but VGG-19's."""

    mel: np.ndarray
    faces: FaceClip
    frames: tuple[bytes, ...]
    waveform: np.ndarray
    measures: ClipMeasures


class ClipExtractor:
    """Reads clips and computes their features. The face tracker and VGG-19 are loaded once, at first use."""

    def __init__(self, config: Config):
        self.config = config
        self._timebase = config.timebase
        self._tracker: FaceTracker | None = None
        self._vgg: Vgg19Features | None = None

    def __call__(self, clip: ClipSource | Path) -> ClipFeatures:
        """Features of a clip; a bare path is a clip with its own sound.

        Raises:
            MediaError: a file cannot be read, or holds no sound or no picture.
            FaceError: the face is lost for longer than the settings allow.
        """
        return self._complete(self._read(single_clip(clip) if isinstance(clip, Path) else clip))

    def picture(self, clip: ClipSource) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """Features of the picture alone: keypoints [T, n_keypoints, 2], VGG feature [T, n_vgg] and notes.

        Raises:
            MediaError, FaceError: as `__call__`.
        """
        fps = self._timebase.video_fps
        n_frames = self._at_least_one(probe_video(clip.video).frames_at(fps), clip)
        faces = self._faces(ClipFrames(clip.video, fps, n_frames), clip)
        notes = (*picture_notes(clip.video), *face_notes(faces), *self._length_notes(n_frames))
        return faces.keypoints, self._appearance(faces.crops), notes

    def sound(self, clip: ClipSource) -> tuple[np.ndarray, int, tuple[str, ...]]:
        """Features of the sound alone: mel [T * mel_per_video, n_mels], T (the nearest number of frames) and notes.

        Raises:
            MediaError: as `__call__`.
        """
        timebase = self._timebase
        path, track = sound_of(clip, self.config.sync)
        waveform = read_audio(path, sample_rate_hz=timebase.sample_rate_hz, track=track)
        n_frames = self._at_least_one(
            timebase.video_frames_in(len(waveform) + timebase.samples_per_video_frame // 2), clip
        )
        n_samples = timebase.samples_in(n_frames)
        waveform = np.pad(waveform[:n_samples], (0, max(0, n_samples - len(waveform))))
        notes = (*clip_sound_notes(clip, waveform, self.config.sync), *self._length_notes(n_frames))
        return mel_spectrogram(waveform, self.config.acoustic, timebase), n_frames, notes

    def _length_notes(self, n_frames: int) -> tuple[str, ...]:
        seconds = n_frames / self._timebase.video_fps
        if seconds <= LONG_CLIP_SECONDS:
            return ()
        return (f"lasts {seconds:.0f} s, longer than a sentence; a cue list cuts it into clips (docs/record.md)",)

    def _at_least_one(self, n_frames: int, clip: ClipSource) -> int:
        if n_frames <= 0:
            raise MediaError(f"{clip.video}: is shorter than one frame of 1/{self._timebase.video_fps} s. Record more.")
        return n_frames

    def one_ahead(self, clips: Iterable[ClipSource]) -> Iterator[Callable[[], ClipFeatures]]:
        """Yield one function per clip, which returns the clip's features or raises as `__call__` does.

        A thread reads and tracks the next clip while VGG-19 processes this one.
        """
        with ThreadPoolExecutor(max_workers=1) as reader:
            readings: deque[Future[_Reading]] = deque()
            for clip in clips:
                readings.append(reader.submit(self._read, clip))
                if len(readings) > 1:
                    yield partial(self._complete_future, readings.popleft())
            while readings:
                yield partial(self._complete_future, readings.popleft())

    def _complete_future(self, reading: Future[_Reading]) -> ClipFeatures:
        return self._complete(reading.result())

    def _read(self, clip: ClipSource) -> _Reading:
        loaded = load_clip(clip, self._timebase, sync=self.config.sync)
        faces = self._faces(loaded.frames, clip)
        return _Reading(
            mel=mel_spectrogram(loaded.waveform, self.config.acoustic, self._timebase),
            faces=faces,
            frames=encode_frames(faces.crops, size_px=self.config.image.size_px),
            waveform=to_int16(loaded.waveform),
            measures=self._measures(clip, loaded, faces),
        )

    def _measures(self, clip: ClipSource, loaded: LoadedClip, faces: FaceClip) -> ClipMeasures:
        rate_hz, start_seconds = self._timebase.sample_rate_hz, float(clip.start_seconds or 0)
        if loaded.synchrony is not None:
            start_seconds = loaded.synchrony.separate_seconds(start_seconds)
        path, track = sound_of(clip, self.config.sync)
        recorded = recorded_samples(
            path, start_seconds=start_seconds, seconds=len(loaded.waveform) / rate_hz, track=track
        )
        return ClipMeasures(
            face_share=float(faces.found.mean()),
            gaps=tuple(faces.gaps),
            n_faces=faces.n_faces,
            sound=sound_health(loaded.waveform, rate_hz, as_recorded=recorded),
            synchrony=loaded.synchrony,
            notes=(*loaded.notes, *face_notes(faces), *self._length_notes(len(faces.keypoints))),
        )

    def _complete(self, reading: _Reading) -> ClipFeatures:
        return ClipFeatures(
            mel=reading.mel,
            keypoints=reading.faces.keypoints,
            vgg=self._appearance(reading.faces.crops),
            frames=reading.frames,
            waveform=reading.waveform,
            crop=CropPath(reading.faces.crop_centres, reading.faces.crop_side, reading.faces.frame_size),
            measures=reading.measures,
        )

    def _appearance(self, crops: np.ndarray) -> np.ndarray:
        if self._vgg is None:
            self._vgg = Vgg19Features(self.config.face, self.config.seed)
        return self._vgg(crops)

    def _faces(self, frames: ClipFrames, clip: ClipSource) -> FaceClip:
        face = self.config.face
        if self._tracker is None:
            self._tracker = FaceTracker(face.min_detection_confidence)
        return face_clip(frames, self._tracker, face, fps=self._timebase.video_fps, place=str(clip.video))


def encode_frames(crops: np.ndarray, *, size_px: int) -> tuple[bytes, ...]:
    """Crops (uint8 [T, crop, crop, 3], RGB) as PNG of side `size_px`, scaled by the mean over areas."""
    import cv2

    pngs = []
    for crop in crops:
        image = crop if len(crop) == size_px else cv2.resize(crop, (size_px, size_px), interpolation=cv2.INTER_AREA)
        _, png = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION])
        pngs.append(png.tobytes())
    return tuple(pngs)
