"""A finished video as it is seen and heard: everything is taken from its files, nothing from what made it.

All videos are brought to one form, whatever their size and rates: 25 pictures a second, a crop of 256 px that follows
the face, sound at 16 kHz. So figures of different tools compare; what a recording holds above 8 kHz is not judged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from avsc_tf.core.config import AcousticConfig, FaceConfig
from avsc_tf.core.errors import FaceError, MediaError
from avsc_tf.core.timebase import Timebase
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.face import face_clip
from avsc_tf.features.face_mesh import FaceTracker
from avsc_tf.features.keypoints import N_KEYPOINTS
from avsc_tf.measures.mel_cepstrum import mel_cepstra
from avsc_tf.measures.voice import PitchTrack, track_pitch
from avsc_tf.media.audio import read_audio
from avsc_tf.media.clips import ClipFrames, load_clip, separate_sound, single_clip
from avsc_tf.media.container import has_sound
from avsc_tf.media.video import probe_video

SAMPLE_RATE_HZ, FPS, CROP_PX = 16_000, 25, 256
TIMEBASE = Timebase(FPS, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ // 200)
MEL = AcousticConfig(n_mels=80, window_ms=25.0, fft_length=512, fmin_hz=0.0, fmax_hz=8000.0, log_floor=1e-5)
MAX_SECONDS = 25.0  # of a sentence: warping costs the square of its length (`mel_cepstral_distortion`)


@dataclass(frozen=True)
class Watched:
    """One video of T pictures. `waveform` is None for a silent film; without a face `keypoints` are NaN throughout."""

    path: Path
    waveform: np.ndarray | None  # float32 [samples at SAMPLE_RATE_HZ], as long as the pictures
    crops: np.ndarray  # uint8 [T, CROP_PX, CROP_PX, 3], RGB
    keypoints: np.ndarray  # float32 [T, 70, 2], pixels of the crop; filled in where the face was lost
    found: np.ndarray  # bool [T]: the face was seen

    @property
    def n_frames(self) -> int:
        return len(self.crops)

    @property
    def has_face(self) -> bool:
        return bool(self.found.any())

    @cached_property
    def log_mel(self) -> np.ndarray:
        """[8T, 80] natural log, a frame every 5 ms."""
        return mel_spectrogram(self._sound(), MEL, TIMEBASE)

    @cached_property
    def cepstra(self) -> np.ndarray:
        """[frames, 25] mel cepstra, a frame every 5 ms."""
        return mel_cepstra(self._sound(), SAMPLE_RATE_HZ)

    @cached_property
    def pitch(self) -> PitchTrack:
        """Pitch every 10 ms."""
        return track_pitch(self._sound(), SAMPLE_RATE_HZ)

    def _sound(self) -> np.ndarray:
        if self.waveform is None:
            raise ValueError(f"{self.path} is silent")
        return self.waveform


def watch(path: Path, tracker: FaceTracker, face: FaceConfig) -> Watched:
    """Decode a video with its sound (`separate_sound` of it, else its own), follow its face, find its keypoints.

    Args:
        face: how the crop is cut (`crop_face_share`); its size and its limits on gaps do not count here.

    Raises:
        MediaError: it cannot be read, has no picture, or is longer than a sentence may be.
    """
    n_frames = probe_video(path).frames_at(FPS)
    if not 0 < n_frames <= MAX_SECONDS * FPS:
        raise MediaError(
            f"{path}: lasts {n_frames / FPS:.1f} s; sentences of at most {MAX_SECONDS:g} s are compared. Cut it into "
            "sentences (avsc evaluate --drift measures long ones)."
        )
    waveform = None
    if (sound := separate_sound(path)) is not None:
        frames, waveform = load_clip(single_clip(path, sound), TIMEBASE)
        n_frames = len(frames)
    elif has_sound(path):
        n_samples = TIMEBASE.samples_in(n_frames)
        waveform = read_audio(path, sample_rate_hz=SAMPLE_RATE_HZ)[:n_samples]
        waveform = np.pad(waveform, (0, n_samples - len(waveform)))
    crops, keypoints, found = _face(ClipFrames(path, FPS, n_frames), tracker, face)
    return Watched(path, waveform, crops, keypoints, found)


def _face(frames: ClipFrames, tracker: FaceTracker, face: FaceConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    anything = dataclasses.replace(face, crop_px=CROP_PX, max_gap_seconds=MAX_SECONDS, max_edge_seconds=0.0)
    try:
        clip = face_clip(frames, tracker, anything, fps=FPS, place=str(frames.path))
    except FaceError:
        n = len(frames)
        nothing = np.full((n, N_KEYPOINTS, 2), np.nan, np.float32)
        return np.zeros((n, CROP_PX, CROP_PX, 3), np.uint8), nothing, np.zeros(n, bool)
    return clip.crops, clip.keypoints, clip.found


Watch = Callable[[Path], Watched]  # `watch` with its tracker
