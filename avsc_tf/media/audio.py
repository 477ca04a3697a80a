"""Sound to arrays: any file PyAV or soundfile reads, mono, at one sample rate, on the picture's clock."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr

from avsc_tf.core.errors import MediaError
from avsc_tf.media.container import require_file
from avsc_tf.media.sound import SoundBlock, sound_blocks
from avsc_tf.media.sound_plan import sound_plan

LARGEST_SAMPLE = 1e10  # full scale 1; the largest integers that somebody leaves unscaled in floating point are below
SILENCE = 1e-4  # full scale 1: sound that is quieter everywhere holds nothing
_MARGINS_A_SECOND = 20  # read beyond a span, so that the resampler's filter sees what is there
_MAX_MISSING_SECONDS = 600  # silence in place of sound that the file lacks, beyond as much again as it has


class Span(NamedTuple):
    """A stretch of sound and how much of it the file lacks at either end (silence there)."""

    waveform: np.ndarray  # float32 [samples], full scale 1
    missing_before_seconds: float
    missing_after_seconds: float


def is_silent(waveform: np.ndarray) -> bool:
    """Whether sound, [samples] at full scale 1, holds nothing."""
    return len(waveform) == 0 or float(np.abs(waveform).max()) < SILENCE


def read_audio(path: Path, *, sample_rate_hz: int, track: int = 0) -> np.ndarray:
    """Mono sound, resampled by soxr HQ (aliases below -140 dB); see `sound.sound_blocks` for channels and level.

    Sample 0 belongs to the moment the first picture is shown: sound before it is cut, and silence is put in where the
    sound begins later. A file without a picture starts at its own beginning.

    Args:
        track: which sound track, counted from 1; 0: the default one.
    Returns:
        float32 [samples], full scale 1.
    Raises:
        MediaError: missing, without sound, truncated or damaged file, no such track, timestamps that cannot be right.
    """
    blocks = list(_checked(path, sound_blocks(path, track=track)))
    if not blocks:
        raise MediaError(f"{path}: the sound has no samples. Record or export it again.")
    native_rate_hz = blocks[0].rate_hz
    waveform = _shift(np.concatenate([block.samples for block in blocks]), blocks[0].first_sample)
    if native_rate_hz == sample_rate_hz:
        return waveform
    return soxr.resample(waveform, native_rate_hz, sample_rate_hz, quality="HQ").astype(np.float32)


def read_span(
    path: Path,
    *,
    start_seconds: Fraction | float,
    n_samples: int,
    sample_rate_hz: int,
    clock_ratio: float = 1.0,
    track: int = 0,
) -> Span:
    """`n_samples` of mono sound from `start_seconds` on the file's clock; the file is entered there, not read up to it.

    Args:
        clock_ratio: seconds of the file's clock a second of the wanted one; resampling by it takes out a drift.
        track: as in `read_audio`.
    Raises:
        MediaError: as `read_audio`; a span far longer than the sound.
    """
    margin = -(-sample_rate_hz // _MARGINS_A_SECOND)
    native, native_rate_hz, before, after = _read_native(
        path,
        float(start_seconds) - margin / sample_rate_hz * clock_ratio,
        (n_samples + 2 * margin) / sample_rate_hz * clock_ratio,
        track,
    )
    if native_rate_hz != sample_rate_hz or clock_ratio != 1.0:
        native = soxr.resample(native, native_rate_hz * clock_ratio, sample_rate_hz, quality="HQ").astype(np.float32)
    waveform = native[margin : margin + n_samples]
    waveform = np.pad(waveform, (0, n_samples - len(waveform)))  # the resampler may round its last sample away
    slack = margin / sample_rate_hz
    return Span(waveform, max(0.0, before / clock_ratio - slack), max(0.0, after / clock_ratio - slack))


def recorded_samples(path: Path, *, start_seconds: float, seconds: float, track: int = 0) -> np.ndarray:
    """A stretch at the file's own rate, its channels mixed and nothing else done to it: there clipping shows.

    Recordings in floating point go beyond full scale without clipping; those are scaled down to it.

    Returns:
        float32 [samples], full scale 1.
    Raises:
        MediaError: as `read_audio`.
    """
    samples = _read_native(path, start_seconds, seconds, track)[0]
    gain = sound_plan(path, track).recorded_gain
    return samples if gain == 1.0 else samples * np.float32(gain)


def _read_native(path: Path, start_seconds: float, seconds: float, track: int) -> tuple[np.ndarray, int, float, float]:
    """Samples at the file's rate with silence where there are none; its rate; missing seconds before and after."""
    require_file(path)
    plan = sound_plan(path, track)
    held_seconds = plan.end_sample / plan.rate_hz
    if seconds > 2 * held_seconds + _MAX_MISSING_SECONDS:
        raise MediaError(
            f"{path}: {seconds:.0f} s of sound from {start_seconds:.2f} s on are wanted, but it lasts "
            f"{held_seconds:.2f} s. Correct the times, or export the recording again."
        )
    buffer: np.ndarray | None = None
    first = rate_hz = reached = 0
    begun: int | None = None
    for block in _checked(path, sound_blocks(path, start_seconds=Fraction(max(0.0, start_seconds)), track=track)):
        if buffer is None:
            rate_hz = block.rate_hz
            first = round(start_seconds * rate_hz)
            buffer = np.zeros(math.ceil(seconds * rate_hz), np.float32)
        low, high = max(block.first_sample, first), min(block.first_sample + len(block.samples), first + len(buffer))
        if low < high:
            buffer[low - first : high - first] = block.samples[low - block.first_sample : high - block.first_sample]
            begun, reached = low if begun is None else begun, high
        if block.first_sample + len(block.samples) >= first + len(buffer):
            break
    if buffer is None:
        raise MediaError(f"{path}: there is no sound at {max(0.0, start_seconds):.2f} s. Record or export it again.")
    end = first + len(buffer)
    begun = end if begun is None else begun
    return buffer, rate_hz, (begun - first) / rate_hz, (end - max(reached, first)) / rate_hz


def low_rate_sound(path: Path, *, sample_rate_hz: int, track: int = 0) -> np.ndarray:
    """The whole sound at a low rate, read in blocks: two bytes a sample (58 MB an hour at 8 kHz).

    Returns:
        float16 [samples] from second 0 of the file's clock, full scale 1.
    Raises:
        MediaError: as `read_audio`.
    """
    resampler: soxr.ResampleStream | None = None
    parts: list[np.ndarray] = []
    for block in _checked(path, sound_blocks(path, track=track)):
        samples = block.samples
        if resampler is None:
            resampler = soxr.ResampleStream(block.rate_hz, sample_rate_hz, 1, dtype="float32", quality="HQ")
            samples = _shift(samples, block.first_sample)
        elif block.first_sample < 0:
            samples = samples[-block.first_sample :]
        parts.append(resampler.resample_chunk(samples).astype(np.float16))
    if resampler is None:
        raise MediaError(f"{path}: the sound has no samples. Record or export it again.")
    parts.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True).astype(np.float16))
    return np.concatenate(parts)


def _checked(path: Path, blocks: Iterator[SoundBlock]) -> Iterator[SoundBlock]:
    for block in blocks:
        if not (np.abs(block.samples) <= LARGEST_SAMPLE).all():
            raise MediaError(
                f"{path}: the sound holds values that are not numbers, or that no recording has. Export it again as "
                "integer PCM."
            )
        yield block


def _shift(waveform: np.ndarray, lead_samples: int) -> np.ndarray:
    """Positive lead: silence before; negative: the beginning is cut."""
    if lead_samples >= 0:
        return np.concatenate([np.zeros(lead_samples, np.float32), waveform])
    return waveform[-lead_samples:]
