"""Synchrony of a video file and the sound file recorded apart, measured once as long as both stay the same."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from avsc_tf.config import SyncConfig
from avsc_tf.errors import MediaError
from avsc_tf.media.audio import low_rate_sound
from avsc_tf.media.container import has_sound, require_file
from avsc_tf.media.synchrony import RATE_HZ, Synchrony, is_silent, measure_synchrony


def synchrony_of(video: Path, audio: Path, sync: SyncConfig) -> Synchrony | None:
    """Offset and drift of `audio` against the sound of `video`; None where the video has none, or only silence.

    Raises:
        MediaError: unreadable file, or not the same recording.
    """
    for path in (video, audio):
        require_file(path)
    result = _measured(video, _state(video), audio, _state(audio), sync)
    if isinstance(result, str):
        raise MediaError(result)
    return result


def _state(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


@lru_cache(maxsize=256)
def _measured(
    video: Path, video_state: tuple[int, int], audio: Path, audio_state: tuple[int, int], sync: SyncConfig
) -> Synchrony | str | None:
    """The message of the error where it cannot be told, so that a session's cues do not all measure it again."""
    try:
        if not has_sound(video):
            return None
        camera = low_rate_sound(video, sample_rate_hz=RATE_HZ)
        if is_silent(camera):
            return None
        return measure_synchrony(camera, low_rate_sound(audio, sample_rate_hz=RATE_HZ), sync, place=str(audio))
    except MediaError as error:
        return str(error)
