"""Synchrony of a video file and the sound file recorded apart, measured once as long as both stay the same."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from avsc_tf.core.config import SyncConfig
from avsc_tf.core.errors import MediaError
from avsc_tf.media.audio import is_silent, low_rate_sound, read_span
from avsc_tf.media.container import has_sound, require_file
from avsc_tf.media.synchrony import RATE_HZ, Synchrony, follows, measure_synchrony


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


def check_stretch(
    video: Path, audio: Path, synchrony: Synchrony, start_seconds: float, seconds: float, *, track: int = 0
) -> None:
    """A stretch of a session must follow the camera's own sound where offset and drift of the whole lay it.

    Args:
        track: the camera's sound track, as in `read_audio`.

    Raises:
        MediaError: it does not; the recorder was paused, or lost sound.
    """
    n_samples = int(seconds * RATE_HZ)
    camera = read_span(video, start_seconds=start_seconds, n_samples=n_samples, sample_rate_hz=RATE_HZ, track=track)
    separate = read_span(
        audio,
        start_seconds=synchrony.separate_seconds(start_seconds),
        n_samples=n_samples,
        sample_rate_hz=RATE_HZ,
        clock_ratio=synchrony.clock_ratio,
    )
    if not follows(camera.waveform, separate.waveform):
        raise MediaError(
            f"{audio}: does not follow the camera's own sound from {start_seconds:.2f} s of {video.name} on, though it "
            "does elsewhere: the recorder was paused or lost sound. Cut the session there into two, with a file each."
        )


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
        camera = low_rate_sound(video, sample_rate_hz=RATE_HZ, track=sync.audio_track)
        if is_silent(camera):
            return None
        return measure_synchrony(camera, low_rate_sound(audio, sample_rate_hz=RATE_HZ), sync, place=str(audio))
    except MediaError as error:
        return str(error)
