"""Sound to arrays: any file PyAV or soundfile reads, mono, at one sample rate, on the picture's clock."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile
import soxr

from avsc_tf.errors import MediaError
from avsc_tf.media.container import decode_stream, first_stream, open_container, require_file
from avsc_tf.media.video import first_frame_seconds

_SOUNDFILE_SUFFIXES = (".wav", ".flac")
_GAP_SECONDS = 0.04  # timestamps are rounded (Matroska: 1 ms; MPEG: one pack); a larger jump is lost sound


def read_audio(path: Path, *, sample_rate_hz: int) -> np.ndarray:
    """Mono sound: the mean of all channels, resampled by soxr HQ (aliases below -140 dB).

    Sample 0 belongs to the moment the first picture is shown: sound before it is cut, and silence is put in where the
    sound begins later. A file without a picture starts at its own beginning.

    Returns:
        float32 [samples], full scale 1.
    Raises:
        MediaError: missing, without sound, truncated or damaged file.
    """
    path = Path(path)
    require_file(path)
    if path.suffix.lower() in _SOUNDFILE_SUFFIXES:
        waveform, native_rate_hz = _read_soundfile(path)
    else:
        waveform, native_rate_hz = _read_container(path)
    if len(waveform) == 0:
        raise MediaError(f"{path}: the sound has no samples. Record or export it again.")
    if not np.isfinite(waveform).all():
        raise MediaError(f"{path}: the sound holds values that are not numbers. Export it again as integer PCM.")
    if native_rate_hz == sample_rate_hz:
        return waveform
    return soxr.resample(waveform, native_rate_hz, sample_rate_hz, quality="HQ").astype(np.float32)


def _read_soundfile(path: Path) -> tuple[np.ndarray, int]:
    """WAV and FLAC of 8 to 32 bit and float; other codings inside WAV go to FFmpeg."""
    _check_riff_length(path)
    try:
        with soundfile.SoundFile(str(path)) as file:
            declared, rate_hz = file.frames, file.samplerate
            samples = file.read(dtype="float32", always_2d=True)  # [samples, channels]
    except soundfile.LibsndfileError:
        return _read_container(path)
    if len(samples) < declared:
        raise MediaError(
            f"{path}: {len(samples)} of {declared} declared samples can be read; the file is truncated. Copy it again."
        )
    return samples.mean(axis=1, dtype=np.float32), rate_hz


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


def _read_container(path: Path) -> tuple[np.ndarray, int]:
    picture_start = first_frame_seconds(path)
    with open_container(path) as container:
        stream = first_stream(container, "audio", path)
        rate_hz = stream.rate
        parts: list[np.ndarray] = []
        start: Fraction | None = None  # presentation time of the first sample, seconds
        n_samples = 0
        for frame in decode_stream(container, stream, path):
            if frame.sample_rate != rate_hz:
                raise MediaError(f"{path}: the sample rate changes within the file. Export it at one rate.")
            seconds = None if frame.pts is None else frame.pts * Fraction(frame.time_base)
            if start is None:
                start = Fraction(0) if seconds is None else seconds
            elif seconds is not None and seconds - start - Fraction(n_samples, rate_hz) > _GAP_SECONDS:
                lost = int((seconds - start) * rate_hz) - n_samples
                parts.append(np.zeros(lost, np.float32))
                n_samples += lost
            parts.append(_mono(frame))
            n_samples += len(parts[-1])
    waveform = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    if picture_start is None or start is None:
        return waveform, rate_hz
    return _shift(waveform, round((start - picture_start) * rate_hz)), rate_hz


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


def _shift(waveform: np.ndarray, lead_samples: int) -> np.ndarray:
    """Positive lead: silence before; negative: the beginning is cut."""
    if lead_samples >= 0:
        return np.concatenate([np.zeros(lead_samples, np.float32), waveform])
    return waveform[-lead_samples:]
