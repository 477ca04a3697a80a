"""Clips to arrays: picture and sound of one utterance over the whole frames that both cover."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from avsc_tf.core.config import SyncConfig
from avsc_tf.core.errors import MediaError
from avsc_tf.core.timebase import Timebase
from avsc_tf.media.audio import is_silent, read_audio, read_span
from avsc_tf.media.clip_files import AUDIO_SUFFIXES, VIDEO_SUFFIXES, separate_sound
from avsc_tf.media.recorded_apart import check_stretch, synchrony_of
from avsc_tf.media.sound import sound_notes
from avsc_tf.media.sources import SPLITS, ClipSource, find_clips, read_clip_folder, single_clip
from avsc_tf.media.synchrony import Synchrony
from avsc_tf.media.video import frames_in, picture_notes, probe_video, read_frames

__all__ = [
    "AUDIO_SUFFIXES",
    "MAX_TAIL_SECONDS",
    "SPLITS",
    "VIDEO_SUFFIXES",
    "ClipFrames",
    "ClipSource",
    "LoadedClip",
    "find_clips",
    "load_clip",
    "read_clip_folder",
    "separate_sound",
    "single_clip",
]

MAX_TAIL_SECONDS = 0.2  # sound and picture of one recording end this close together; a larger difference is a mistake


@dataclass(frozen=True)
class ClipFrames:
    """Frames of a clip; every iteration decodes anew, so that only one frame is held at a time."""

    path: Path
    fps: int
    n_frames: int
    start_seconds: Fraction = Fraction(0)  # on the clock that begins with the file's first picture

    def __len__(self) -> int:
        return self.n_frames

    def __iter__(self) -> Iterator[np.ndarray]:
        """uint8 [height, width, 3], RGB, `n_frames` times."""
        return read_frames(self.path, fps=self.fps, start_seconds=self.start_seconds, n_frames=self.n_frames)


@dataclass(frozen=True)
class LoadedClip:
    """Frames that can be iterated again, and float32 [samples_in(len(frames))], mono, full scale 1.

    It unpacks into these two. `synchrony` says where sound recorded apart was found against the camera's own. It is
    None where there is no sound apart, and where nothing could be checked: the camera recorded no sound, or
    sync.separate_sound is as_is. `notes` name what the files hold besides one plain picture and one plain sound, and
    what was chosen of it.
    """

    frames: ClipFrames
    waveform: np.ndarray
    synchrony: Synchrony | None = None
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Any]:
        return iter((self.frames, self.waveform))


def load_clip(source: ClipSource, timebase: Timebase, *, sync: SyncConfig | None = None) -> LoadedClip:
    """Picture and sound of a clip over the whole frames that both cover.

    Sound recorded apart is laid where it follows the camera's own sound, and cut to the picture. Up to half a frame of
    missing sound is filled with silence; up to `MAX_TAIL_SECONDS` is cut off the picture's end.

    Args:
        sync: settings for sound recorded apart; None takes the defaults.
    Raises:
        MediaError: unreadable file, sound apart that is not this picture's, sound and picture of different length, or
            nothing left.
    """
    sync = sync or SyncConfig()
    is_apart = source.audio is not None and sync.separate_sound == "synchronise"
    synchrony = synchrony_of(source.video, source.audio, sync) if is_apart and source.audio else None
    if synchrony is None and source.start_seconds is None and source.end_seconds is None:
        clip = _load_whole(source, timebase, sync)
    else:
        clip = _load_part(source, timebase, synchrony, sync)
    return replace(clip, notes=(*picture_notes(source.video), *clip_sound_notes(source, clip.waveform, sync)))


def sound_of(source: ClipSource, sync: SyncConfig) -> tuple[Path, int]:
    """The file that holds a clip's sound, and which of its tracks: `sync.audio_track` is of video files."""
    return (source.video, sync.audio_track) if source.audio is None else (source.audio, 0)


def clip_sound_notes(source: ClipSource, waveform: np.ndarray, sync: SyncConfig) -> tuple[str, ...]:
    """What a user should know of the sound of a clip that was read from it, [samples]."""
    path, track = sound_of(source, sync)
    return (*sound_notes(path, track=track), *(("the sound is silent",) if is_silent(waveform) else ()))


def _load_whole(source: ClipSource, timebase: Timebase, sync: SyncConfig) -> LoadedClip:
    fps = timebase.video_fps
    path, track = sound_of(source, sync)
    waveform = read_audio(path, sample_rate_hz=timebase.sample_rate_hz, track=track)
    n_picture = probe_video(source.video).frames_at(fps)
    n_sound = timebase.video_frames_in(len(waveform) + timebase.samples_per_video_frame // 2)
    if abs(n_picture - n_sound) > MAX_TAIL_SECONDS * fps:
        sound = f"the sound of {source.audio.name}" if source.audio else "the sound"
        raise MediaError(
            f"{source.video}: the picture lasts {n_picture / fps:.2f} s, {sound} {n_sound / fps:.2f} s; they may "
            f"differ by {MAX_TAIL_SECONDS} s. Cut both to the same length."
        )
    n_frames = _some(min(n_picture, n_sound), source, fps)
    n_samples = timebase.samples_in(n_frames)
    waveform = np.pad(waveform[:n_samples], (0, max(0, n_samples - len(waveform))))
    return LoadedClip(ClipFrames(source.video, fps, n_frames), waveform)


def _load_part(source: ClipSource, timebase: Timebase, synchrony: Synchrony | None, sync: SyncConfig) -> LoadedClip:
    """A stretch of the picture, and of a sound that may begin before it and end after it."""
    fps, start = timebase.video_fps, source.start_seconds or Fraction(0)
    end = source.end_seconds
    if end is None:
        end = probe_video(source.video).shown_seconds
    n_picture = _some(frames_in(end - start, fps), source, fps)
    path, track = sound_of(source, sync)
    span = read_span(
        path,
        start_seconds=start if synchrony is None else synchrony.separate_seconds(float(start)),
        n_samples=timebase.samples_in(n_picture),
        sample_rate_hz=timebase.sample_rate_hz,
        clock_ratio=1.0 if synchrony is None else synchrony.clock_ratio,
        track=track,
    )
    if max(span.missing_before_seconds, span.missing_after_seconds) > MAX_TAIL_SECONDS:
        raise MediaError(
            f"{source.video}: {source.utterance}: the sound of {path.name} lacks the first "
            f"{span.missing_before_seconds:.2f} s and the last {span.missing_after_seconds:.2f} s of the picture; "
            f"{MAX_TAIL_SECONDS} s may be missing. Cut the picture, or name the cue where there is sound."
        )
    is_cue = source.start_seconds is not None or source.end_seconds is not None
    if is_cue and synchrony is not None and source.audio is not None:
        check_stretch(source.video, source.audio, synchrony, float(start), n_picture / fps, track=sync.audio_track)
    n_lost = int(span.missing_after_seconds * fps + 0.5)  # half a frame is filled with silence
    n_frames = _some(n_picture - n_lost, source, fps)
    waveform = span.waveform[: timebase.samples_in(n_frames)]
    return LoadedClip(ClipFrames(source.video, fps, n_frames, start), waveform, synchrony)


def _some(n_frames: int, source: ClipSource, fps: int) -> int:
    if n_frames <= 0:
        raise MediaError(f"{source.video}: {source.utterance} is shorter than one frame of 1/{fps} s. Record it again.")
    return n_frames
