"""Sound as its file holds it: pieces of all channels with their timestamps, in the file's order."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from avsc_tf.core.errors import MediaError
from avsc_tf.media.container import first_stream, open_container

_SOUNDFILE_SUFFIXES = (".wav", ".flac", ".aif", ".aiff", ".aifc")
_PIECE_SAMPLES = 1 << 16


class Piece(NamedTuple):
    """A packet's samples; `timestamp` in ticks of `tick_seconds`, None where it has none."""

    rate_hz: int
    timestamp: int | None
    tick_seconds: Fraction
    names: tuple[str, ...]  # of the channels, FFmpeg's
    samples: np.ndarray  # [channels, samples], of the type that the decoder gives

    @property
    def seconds(self) -> Fraction | None:
        return None if self.timestamp is None else self.timestamp * self.tick_seconds


def full_scale_one(samples: np.ndarray) -> np.ndarray:
    """Decoded samples of any type as float64 at full scale 1."""
    values = samples.astype(np.float64)
    if samples.dtype == np.uint8:
        return (values - 128) / 128
    if samples.dtype.kind == "i":
        return values / 2.0 ** (8 * samples.dtype.itemsize - 1)
    return values


def pieces_of_frames(frames: Iterable[Any], path: Path) -> Iterator[Piece]:
    """Pieces of PyAV's audio frames.

    Raises:
        MediaError: the sample rate changes.
    """
    rate_hz = 0
    for frame in frames:
        rate_hz = rate_hz or frame.sample_rate
        if frame.sample_rate != rate_hz:
            raise MediaError(f"{path}: the sample rate changes within the file. Export it at one rate.")
        samples = frame.to_ndarray()
        if not frame.format.is_planar:
            samples = samples.reshape(-1, frame.layout.nb_channels).T
        names = tuple(channel.name for channel in frame.layout.channels)
        yield Piece(rate_hz, frame.pts, Fraction(frame.time_base or 0), names, samples)


def open_soundfile(path: Path) -> soundfile.SoundFile | None:
    """WAV, AIFF and FLAC of 8 to 32 bit and float; None for other files and other codings inside them: FFmpeg's.

    AIFF pads an odd number of bytes; of 24-bit mono FFmpeg takes that byte for a damaged sample.

    Raises:
        MediaError: a truncated WAV or AIFF.
    """
    if path.suffix.lower() not in _SOUNDFILE_SUFFIXES:
        return None
    _check_declared_length(path)
    try:
        return soundfile.SoundFile(str(path))
    except soundfile.LibsndfileError:
        return None


def pieces_of_soundfile(file: soundfile.SoundFile, path: Path, first_sample: int = 0) -> Iterator[Piece]:
    """Pieces from a sample on; the timestamp is the sample's number.

    Raises:
        MediaError: truncated or damaged file.
    """
    names, position = _channel_names(file, path), first_sample
    try:
        file.seek(position)
        while position < file.frames:
            samples = file.read(_PIECE_SAMPLES, dtype="float32", always_2d=True)  # [samples, channels]
            if len(samples) == 0:
                break
            yield Piece(file.samplerate, position, Fraction(1, file.samplerate), names, samples.T)
            position += len(samples)
    except soundfile.LibsndfileError as error:
        raise MediaError(f"{path}: cannot be decoded ({error}); truncated or damaged. Copy it again.") from error
    if position < file.frames:
        raise MediaError(
            f"{path}: {position} of {file.frames} declared samples can be read; the file is truncated. Copy it again."
        )


def _channel_names(file: soundfile.SoundFile, path: Path) -> tuple[str, ...]:
    """libsndfile keeps them to itself; a plain WAV of many channels has none."""
    if file.channels <= 2:
        return (("FC",), ("FL", "FR"))[file.channels - 1]
    with open_container(path) as container:
        names = tuple(channel.name for channel in first_stream(container, "audio", path).layout.channels)
    return names if len(names) == file.channels else ("NONE",) * file.channels


def _check_declared_length(path: Path) -> None:
    """libsndfile reads a cut WAV or AIFF without an error, so the file is compared with its chunk of samples here."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if (head[:4], head[8:12]) == (b"RIFF", b"WAVE"):
            layout, chunk_of_samples = "<4sI", b"data"
        elif head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
            layout, chunk_of_samples = ">4sI", b"SSND"
        else:
            return
        while len(chunk := file.read(8)) == 8:
            name, length = struct.unpack(layout, chunk)
            if name == chunk_of_samples:
                present = size - file.tell()
                if length > present and length < 0xFFFFF000:  # larger: written by a pipe that knew no length
                    raise MediaError(
                        f"{path}: {present} of {length} declared bytes of sound are there; the file is truncated. "
                        "Copy it again."
                    )
                return
            file.seek(length + length % 2, 1)
