"""A stranger's upload to a clean clip: pictures and sound at the networks' rates, lossless, and nothing else.

Runs in a confined process (see `zygote`). Everything declared is checked before anything is decoded, and everything is
counted again while it is, since what a file declares need not be true. From the clean clip the readers of
`avsc_tf.media` give the very arrays that they give from the upload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from avsc_tf.core.errors import MediaError
from avsc_tf.media.audio import read_audio
from avsc_tf.media.container import has_picture, has_sound, open_container, restrict_containers
from avsc_tf.media.sound import sound_notes
from avsc_tf.media.video import picture_notes, probe_video, read_frames
from avsc_tf.service.settings import ClipSettings

# FFmpeg's demuxers that read one file and no other, and the suffix by which avsc_tf.media knows them.
FORMATS = {
    "mov,mp4,m4a,3gp,3g2,mj2": ".mp4",
    "matroska,webm": ".mkv",
    "avi": ".avi",
    "mpeg": ".mpg",
    "wav": ".wav",
    "flac": ".flac",
    "ogg": ".ogg",
    "mp3": ".mp3",
}
CLEAN_NAME = "clip.mov"
_SLACK_SECONDS = 0.5  # priming, padding and rounded headers of a clip of exactly the longest length
_SOUND_PACKETS_A_SECOND = 1000
_CHUNK_SAMPLES = 4096
_MAX_ASPECT = 4  # of a pixel, either way


class LimitError(MediaError):
    """The upload holds more than is allowed."""


@dataclass(frozen=True)
class CleanClip:
    """What was written; `seconds` of the picture, or of a sound alone, and notes on the upload, which it lacks."""

    seconds: float
    has_picture: bool
    has_sound: bool
    notes: tuple[str, ...] = ()


def clean_copy(
    upload: Path,
    folder: Path,
    *,
    fps: int,
    sample_rate_hz: int,
    clip: ClipSettings,
    sound: bool,
    picture: bool,
    progress: Callable[[float], object] = lambda share: None,
) -> CleanClip:
    """Write FOLDER/clip.mov from an upload of any name.

    Args:
        sound, picture: what the networks want; the other is left out.
        progress: called with the share that is done.
    Raises:
        LimitError: it holds more than `clip` allows. MediaError: it is no recording, or a damaged one.
    """
    restrict_containers({"format_whitelist": ",".join(FORMATS), "max_streams": str(clip.max_streams + 1)})
    named = folder / f"upload{_suffix_of(upload)}"
    named.symlink_to(upload)
    try:
        return _clean_copy(named, folder / CLEAN_NAME, fps, sample_rate_hz, clip, sound, picture, progress)
    finally:
        named.unlink()


def _clean_copy(
    named: Path,
    out: Path,
    fps: int,
    sample_rate_hz: int,
    clip: ClipSettings,
    sound: bool,
    picture: bool,
    progress: Callable[[float], object],
) -> CleanClip:
    _check_declared(named, clip)
    _check_packets(named, clip)
    heard, seen = sound and has_sound(named), picture and has_picture(named)
    if not heard and not seen:
        wanted = " and no ".join(name for name, is_wanted in (("sound", sound), ("picture", picture)) if is_wanted)
        raise MediaError(f"{named}: holds no {wanted} to convert. Send a clip with one.")
    waveform = read_audio(named, sample_rate_hz=sample_rate_hz) if heard else None
    if waveform is not None and len(waveform) > (clip.max_seconds + _SLACK_SECONDS) * sample_rate_hz:
        raise LimitError(f"{named}: the sound lasts {len(waveform) / sample_rate_hz:.0f} s; {_longest(clip)}")
    frames = _counted(named, fps, clip, progress) if seen else None
    try:
        n_frames = _write(out, frames, waveform, fps, sample_rate_hz)
    except (av.error.FFmpegError, OSError) as error:
        raise LimitError(f"{named}: its decoded clip is larger than is allowed. Send a shorter clip.") from error
    seconds = n_frames / fps if seen or waveform is None else len(waveform) / sample_rate_hz
    notes = (*(picture_notes(named) if seen else ()), *(sound_notes(named) if heard else ()))
    return CleanClip(seconds, seen, heard, notes)


def _suffix_of(upload: Path) -> str:
    with open_container(upload) as container:
        name = container.format.name
    if name not in FORMATS:
        raise MediaError(f"{upload}: is of the format {name}, which is not taken. Send MP4, MOV, WebM or WAV.")
    return FORMATS[name]


def _longest(clip: ClipSettings) -> str:
    return f"at most {clip.max_seconds:g} s are taken. Send a shorter clip."


def _check_declared(path: Path, clip: ClipSettings) -> None:
    with open_container(path) as container:
        if len(container.streams) > clip.max_streams:
            raise LimitError(f"{path}: holds {len(container.streams)} streams; at most {clip.max_streams} are taken.")
        seconds = (container.duration or 0) / av.time_base
        if seconds > clip.max_seconds + _SLACK_SECONDS:
            raise LimitError(f"{path}: lasts {seconds:.0f} s; {_longest(clip)}")
        for stream in container.streams:
            if stream.type in ("video", "audio") and stream.codec_context is None:
                raise MediaError(f"{path}: its {stream.type} is coded in an unknown way. Send H.264 and AAC in an MP4.")
            if stream.type == "video":
                _check_size(path, stream, clip)
            elif stream.type == "audio":
                _check_sound(path, stream, clip)


def _check_size(path: Path, stream: Any, clip: ClipSettings) -> None:
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    if not Fraction(1, _MAX_ASPECT) <= aspect <= _MAX_ASPECT:
        raise LimitError(f"{path}: its pixels are {aspect} times as wide as high. Export it with square ones.")
    width, height = round(stream.codec_context.width * aspect), stream.codec_context.height
    if width > clip.max_width_px or height > clip.max_height_px or width * height > clip.max_pixels:
        raise LimitError(
            f"{path}: its picture is {width} x {height}; at most {clip.max_width_px} x {clip.max_height_px} and "
            f"{clip.max_pixels} pixels are taken. Export it smaller."
        )


def _check_sound(path: Path, stream: Any, clip: ClipSettings) -> None:
    rate_hz, channels = stream.codec_context.sample_rate or 0, stream.codec_context.channels or 0
    if rate_hz > clip.max_sample_rate_hz or channels > clip.max_channels:
        raise LimitError(
            f"{path}: its sound has {rate_hz} samples a second and {channels} channels; at most "
            f"{clip.max_sample_rate_hz} and {clip.max_channels} are taken."
        )


def _check_packets(path: Path, clip: ClipSettings) -> None:
    """Count what is there without decoding it."""
    most = (clip.max_seconds + _SLACK_SECONDS) * (clip.max_fps + _SOUND_PACKETS_A_SECOND)
    pictures, n_packets = 0, 0
    first: dict[int, Fraction] = {}
    with open_container(path) as container:
        for packet in container.demux():
            if not packet.size:
                continue
            n_packets += 1
            pictures += packet.stream.type == "video"
            if pictures > (clip.max_seconds + _SLACK_SECONDS) * clip.max_fps or n_packets > most:
                raise LimitError(f"{path}: holds more than {clip.max_fps:g} pictures a second, or is too long.")
            if packet.pts is None:
                continue
            at = packet.pts * Fraction(packet.time_base)
            start = first.setdefault(packet.stream.index, at)
            if abs(at - start) > clip.max_seconds + _SLACK_SECONDS:
                raise LimitError(f"{path}: goes on for {float(abs(at - start)):.0f} s; {_longest(clip)}")
    if not n_packets:
        raise MediaError(f"{path}: holds nothing that can be played. Copy or export the recording again.")


def _counted(path: Path, fps: int, clip: ClipSettings, progress: Callable[[float], object]) -> Iterator[np.ndarray]:
    expected = max(1, probe_video(path).frames_at(fps))
    most = (clip.max_seconds + _SLACK_SECONDS) * fps
    if expected > most:
        raise LimitError(f"{path}: the picture lasts {expected / fps:.0f} s; {_longest(clip)}")
    for number, frame in enumerate(read_frames(path, fps=fps), start=1):
        if number > most:
            raise LimitError(f"{path}: the picture goes on after {number / fps:.0f} s; {_longest(clip)}")
        if frame.shape[0] * frame.shape[1] > clip.max_pixels:
            raise LimitError(f"{path}: its picture is {frame.shape[1]} x {frame.shape[0]}. Export it smaller.")
        yield frame
        progress(min(1.0, number / expected))


def _write(
    out: Path, frames: Iterator[np.ndarray] | None, waveform: np.ndarray | None, fps: int, sample_rate_hz: int
) -> int:
    """H.264 in RGB without loss, and float32 PCM; the number of pictures."""
    first = None if frames is None else next(frames, None)
    if frames is not None and first is None:
        raise MediaError(f"{out}: the picture has no frames. Copy or export the recording again.")
    with av.open(str(out), "w", format="mov") as container:
        video: Any = None if first is None else container.add_stream("libx264rgb", rate=fps)
        audio: Any = None if waveform is None else container.add_stream("pcm_f32le", rate=sample_rate_hz)
        if audio is not None:
            audio.layout = "mono"
        n_frames = 0
        if video is not None and first is not None and frames is not None:
            video.height, video.width = first.shape[:2]
            video.pix_fmt = "rgb24"
            video.options = {"crf": "0", "preset": "ultrafast"}
            video.thread_count = 1
            for n_frames, image in enumerate(_chain(first, frames), start=1):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = n_frames - 1, Fraction(1, fps)
                container.mux(video.encode(frame))
                if audio is not None and waveform is not None:  # interleaved: a long clip needs no buffer
                    per = sample_rate_hz // fps
                    _encode_sound(container, audio, waveform, (n_frames - 1) * per, n_frames * per)
            container.mux(video.encode())
        if audio is not None and waveform is not None:
            _encode_sound(container, audio, waveform, n_frames * (sample_rate_hz // fps), len(waveform))
            container.mux(audio.encode())
    return n_frames


def _chain(first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from rest


def _encode_sound(container: Any, audio: Any, waveform: np.ndarray, start: int, end: int) -> None:
    for at in range(start, min(end, len(waveform)), _CHUNK_SAMPLES):
        chunk = np.ascontiguousarray(waveform[at : min(at + _CHUNK_SAMPLES, end)][None])
        frame = av.AudioFrame.from_ndarray(chunk, format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = audio.rate, at, Fraction(1, audio.rate)
        container.mux(audio.encode(frame))
