"""Sound in blocks from any place of a file, so that an hour's recording is never held whole."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from avsc_tf.errors import MediaError
from avsc_tf.media.container import decode_from, decode_stream, first_stream, open_container, require_file
from avsc_tf.media.video import first_frame_seconds

_SOUNDFILE_SUFFIXES = (".wav", ".flac")
_SOUNDFILE_BLOCK_SAMPLES = 1 << 16
_GAP_SECONDS = 0.04  # timestamps are rounded (Matroska: 1 ms; MPEG: one pack); a larger jump is lost sound
_PREROLL_SECONDS = Fraction(1, 2)  # a lossy codec entered in the middle is right again after a few packets


class SoundBlock(NamedTuple):
    """Mono sound; sample 0 of the file's clock belongs to its first picture, or is its own first without a picture."""

    rate_hz: int
    first_sample: int  # may be negative: sound before the first picture
    samples: np.ndarray  # float32, full scale 1


def sound_notes(path: Path) -> tuple[str, ...]:
    """What a user should know of the sound that is read from a file: a phrase for each choice made."""
    return ()


def sound_blocks(path: Path, *, start_seconds: Fraction = Fraction(0)) -> Iterator[SoundBlock]:
    """Blocks in order of time, of one rate, without gaps; the first begins at or before `start_seconds` if it can.

    Raises:
        MediaError: missing, without sound, truncated or damaged file.
    """
    path = Path(path)
    require_file(path)
    if path.suffix.lower() in _SOUNDFILE_SUFFIXES:
        _check_riff_length(path)
        try:
            file = soundfile.SoundFile(str(path))
        except soundfile.LibsndfileError:
            return _container_blocks(path, start_seconds)
        return _soundfile_blocks(file, path, start_seconds)
    return _container_blocks(path, start_seconds)


def _soundfile_blocks(file: soundfile.SoundFile, path: Path, start_seconds: Fraction) -> Iterator[SoundBlock]:
    """WAV and FLAC of 8 to 32 bit and float; other codings inside WAV go to FFmpeg."""
    with file:
        position = min(max(0, int(start_seconds * file.samplerate)), file.frames)
        try:
            file.seek(position)
            while position < file.frames:
                samples = file.read(_SOUNDFILE_BLOCK_SAMPLES, dtype="float32", always_2d=True)  # [samples, channels]
                if len(samples) == 0:
                    break
                yield SoundBlock(file.samplerate, position, samples.mean(axis=1, dtype=np.float32))
                position += len(samples)
        except soundfile.LibsndfileError as error:
            raise MediaError(f"{path}: cannot be decoded ({error}); truncated or damaged. Copy it again.") from error
        if position < file.frames:
            raise MediaError(
                f"{path}: {position} of {file.frames} declared samples can be read; the file is truncated. "
                "Copy it again."
            )


def _check_riff_length(path: Path) -> None:
    """libsndfile reads a cut WAV without a word, so its `data` chunk is compared with the file's length here."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            return
        while len(chunk := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", chunk)
            if name == b"data":
                present = size - file.tell()
                if length > present and length < 0xFFFFF000:  # larger: written by a pipe that knew no length
                    raise MediaError(
                        f"{path}: {present} of {length} declared bytes of sound are there; the file is truncated. "
                        "Copy it again."
                    )
                return
            file.seek(length + length % 2, 1)


def _container_blocks(path: Path, start_seconds: Fraction) -> Iterator[SoundBlock]:
    picture_start = first_frame_seconds(path)
    if picture_start is not None and start_seconds > 2 * _PREROLL_SECONDS:
        with open_container(path) as container:
            stream = first_stream(container, "audio", path)
            frames = decode_from(container, stream, path, picture_start + start_seconds - _PREROLL_SECONDS)
            if frames is not None:
                yield from _placed(frames, picture_start, path)
                return
    with open_container(path) as container:
        stream = first_stream(container, "audio", path)
        yield from _placed(decode_stream(container, stream, path), picture_start, path)


def _placed(frames: Iterator[Any], picture_start: Fraction | None, path: Path) -> Iterator[SoundBlock]:
    """Blocks one after the other from the first one's time; lost sound is silence."""
    rate_hz, position = 0, None
    for frame in frames:
        rate_hz = rate_hz or frame.sample_rate
        if frame.sample_rate != rate_hz:
            raise MediaError(f"{path}: the sample rate changes within the file. Export it at one rate.")
        seconds = None if frame.pts is None else frame.pts * Fraction(frame.time_base)
        if picture_start is None and seconds is not None:
            picture_start = seconds
        due = None if seconds is None else round((seconds - (picture_start or 0)) * rate_hz)
        if position is None:
            position = due or 0
        elif due is not None and due - position > _GAP_SECONDS * rate_hz:
            yield SoundBlock(rate_hz, position, np.zeros(due - position, np.float32))
            position = due
        samples = _mono(frame)
        yield SoundBlock(rate_hz, position, samples)
        position += len(samples)


def _mono(frame: object) -> np.ndarray:
    """Mean of the channels of a PyAV audio frame, float32 [samples], full scale 1."""
    samples = frame.to_ndarray()  # type: ignore[attr-defined]
    n_channels = frame.layout.nb_channels  # type: ignore[attr-defined]
    if not frame.format.is_planar:  # type: ignore[attr-defined]
        samples = samples.reshape(-1, n_channels).T
    mono = samples.mean(axis=0, dtype=np.float64)
    if samples.dtype == np.uint8:
        mono = (mono - 128) / 128
    elif samples.dtype.kind == "i":
        mono = mono / 2.0 ** (8 * samples.dtype.itemsize - 1)
    return mono.astype(np.float32)
