"""Quality of a clip's sound: loudness, peaks, clipping, noise, hum, DC offset, silence around the speech."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyloudnorm
import soxr
from scipy.signal import butter, sosfiltfilt

from avsc_tf.signal.speech import true_runs

QUIETEST_LUFS = -70.0  # the absolute gate of BS.1770: silence counts as this
QUIETEST_DBFS = -120.0  # below the last bit of 16 and the noise of 24 bit; silence counts as this
MAX_SNR_DB = 90.0  # no studio is quieter; synthetic sound without noise counts as this
NEAR_FULL_SCALE = 0.7  # -3 dBFS; crests of quieter 16-bit speech can hold three equal samples by rounding alone
CLIPPED_RUN = 3  # equal samples at the extreme that make a flat top
MAINS_HZ = (50.0, 60.0)
_LAST_BIT = 2.0**-15
_BLOCK_SECONDS = 0.4  # BS.1770
_FRAME_SECONDS = 0.02
_RUMBLE_HZ = 60.0  # below any voice; must not count as noise
_PAUSE_QUANTILE = 0.1
_ACTIVE_FRAMES = 3  # a click is shorter, a consonant is not
_MAX_ACTIVE_BELOW_DB = 30.0
_HUM_HARMONICS = 5
_HUM_RATE_HZ = 2000
_HUM_PIECE_FRAMES = 8  # 0.16 s: eight periods of 50 Hz
_HUM_ABOVE_DB = 9.0  # above the frequencies between the harmonics; none of 114 GRID and VCTK clips reaches 8


@dataclass(frozen=True)
class SoundHealth:
    """Measures of one clip's sound. Levels are relative to full scale 1."""

    seconds: float
    loudness_lufs: float  # integrated, BS.1770-4, mono; QUIETEST_LUFS where nothing passes its gate
    peak_dbfs: float  # highest sample
    true_peak_dbfs: float  # highest point between the samples, by 4 times oversampling
    clipped_share: float  # samples in flat tops, 0 to 1
    snr_db: float  # speech against pauses; a lower bound in a clip without pauses
    dc_offset: float  # mean of the samples
    hum_hz: float | None  # 50 or 60 where the pauses contain mains hum
    hum_dbfs: float | None  # its level, RMS over the harmonics
    leading_silence_seconds: float
    trailing_silence_seconds: float


def sound_health(waveform: np.ndarray, sample_rate_hz: int, *, as_recorded: np.ndarray | None = None) -> SoundHealth:
    """Measures of a clip's sound.

    Args:
        waveform: float [samples], mono, full scale 1, or int16.
        as_recorded: samples of the file before resampling and mixing, [samples] or [samples, channels], for the
            detection of clipping: resampling and mixing bend flat tops, and only a tenth remains detectable.
    Raises:
        ValueError: no samples, more than one axis, or a rate that is not positive.
    """
    x = _full_scale_one(waveform)
    if x.ndim != 1 or len(x) == 0 or sample_rate_hz <= 0:
        raise ValueError(f"sound must be [samples] at a positive rate, got {x.shape} at {sample_rate_hz} Hz")
    levels = _frame_levels(x, sample_rate_hz)
    speech_db, noise_db = _speech_and_noise(levels)
    leading, trailing = _silence_around(levels, speech_db, noise_db)
    hum_hz, hum_dbfs = _mains_hum(x, sample_rate_hz, levels, speech_db, noise_db)
    return SoundHealth(
        seconds=len(x) / sample_rate_hz,
        loudness_lufs=loudness_lufs(x, sample_rate_hz),
        peak_dbfs=_decibels(np.abs(x).max()),
        true_peak_dbfs=_true_peak_dbfs(x, sample_rate_hz),
        clipped_share=clipped_share(x if as_recorded is None else as_recorded),
        snr_db=_snr_db(speech_db, noise_db),
        dc_offset=float(x.mean()),
        hum_hz=hum_hz,
        hum_dbfs=hum_dbfs,
        leading_silence_seconds=leading,
        trailing_silence_seconds=trailing,
    )


def loudness_lufs(waveform: np.ndarray, sample_rate_hz: int) -> float:
    """Integrated loudness by ITU-R BS.1770-4 of mono sound; one shorter than its 0.4 s block is one block.

    The "DeMan" filters are those of the recommendation (equal at 48 kHz); pyloudnorm's "K-weighting" is 0.04 dB off.
    """
    x = _full_scale_one(waveform)
    block_seconds = min(_BLOCK_SECONDS, (len(x) - 0.5) / sample_rate_hz)
    meter = pyloudnorm.Meter(sample_rate_hz, filter_class="DeMan", block_size=block_seconds)
    return max(QUIETEST_LUFS, float(meter.integrated_loudness(x)))


def clipped_share(waveform: np.ndarray) -> float:
    """Share of samples in runs of at least `CLIPPED_RUN` at the sound's own highest or lowest value, near full scale.

    Args:
        waveform: [samples] or [samples, channels]; the worst channel counts.
    """
    x = np.clip(_full_scale_one(waveform), -1, 1)
    channels = x[None] if x.ndim == 1 else x.T
    return max(_flat_tops(channel) + _flat_tops(-channel) for channel in channels) / len(x)


def _flat_tops(x: np.ndarray) -> int:
    """Number of samples in flat tops of one polarity."""
    level = x.max()
    if level < NEAR_FULL_SCALE:
        return 0
    at_top = np.concatenate([[0], (x >= level - 0.5 * _LAST_BIT).astype(np.int8), [0]])
    edges = np.flatnonzero(np.diff(at_top))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= CLIPPED_RUN].sum())


def _full_scale_one(waveform: np.ndarray) -> np.ndarray:
    """Samples as float64 of full scale 1; int16 is divided by 32768."""
    scale = _LAST_BIT if np.asarray(waveform).dtype == np.int16 else 1.0
    return np.asarray(waveform, np.float64) * scale


def _decibels(amplitude: float) -> float:
    return max(QUIETEST_DBFS, 20 * float(np.log10(max(amplitude, 1e-12))))


def _true_peak_dbfs(x: np.ndarray, sample_rate_hz: int) -> float:
    """BS.1770-4, annex 2: four times oversampled."""
    between = soxr.resample(x, sample_rate_hz, 4 * sample_rate_hz)
    return _decibels(max(np.abs(x).max(), np.abs(between).max(initial=0)))


def _frame_levels(x: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """dBFS of each whole frame of 20 ms, rumble and DC removed; NaN in digital silence."""
    n = min(len(x), max(1, round(_FRAME_SECONDS * sample_rate_hz)))
    frames = x[: len(x) // n * n].reshape(-1, n)
    flat = np.ptp(frames, axis=1) == 0
    smooth = _without_rumble(x, sample_rate_hz)[: frames.size].reshape(-1, n)
    levels = 10 * np.log10(np.maximum(np.mean(smooth**2, axis=1), 10 ** (QUIETEST_DBFS / 10)))
    return np.where(flat, np.nan, levels)


def _without_rumble(x: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    sections = butter(2, _RUMBLE_HZ, "highpass", fs=sample_rate_hz, output="sos")
    return sosfiltfilt(sections, x - x.mean(), padlen=min(len(x) - 1, sample_rate_hz // 20))


def _speech_and_noise(levels: np.ndarray) -> tuple[float, float]:
    """Levels of speech and of pauses, dBFS.

    Digital silence is ignored at the ends (padding) and counts inside the clip (synthetic or gated sound).
    """
    with_sound = np.flatnonzero(np.isfinite(levels))
    if len(with_sound) == 0:
        return QUIETEST_DBFS, QUIETEST_DBFS
    inside = np.nan_to_num(levels[with_sound[0] : with_sound[-1] + 1], nan=QUIETEST_DBFS)
    low, high = np.quantile(inside, [_PAUSE_QUANTILE, 0.95])
    noise = _mean_level(inside[inside <= low])
    return _mean_level(inside[inside >= (low + high) / 2]), noise


def _mean_level(levels: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(10 ** (levels / 10))))


def _snr_db(speech_db: float, noise_db: float) -> float:
    """Ratio of the speech, without the noise beneath it, to that noise."""
    if speech_db - noise_db >= MAX_SNR_DB:
        return MAX_SNR_DB
    return float(10 * np.log10(max(10 ** ((speech_db - noise_db) / 10) - 1, 1e-1)))


def _active(levels: np.ndarray, speech_db: float, noise_db: float) -> np.ndarray:
    """Frames of speech: above the midpoint between pauses and speech, in a run longer than a click."""
    threshold = speech_db - min(_MAX_ACTIVE_BELOW_DB, (speech_db - noise_db) / 2)
    loud = np.nan_to_num(levels, nan=QUIETEST_DBFS) > threshold
    run = np.convolve(loud, np.ones(_ACTIVE_FRAMES), "full") >= _ACTIVE_FRAMES  # ends at this frame
    return np.array([run[i : i + _ACTIVE_FRAMES].any() for i in range(len(loud))], bool)


def _silence_around(levels: np.ndarray, speech_db: float, noise_db: float) -> tuple[float, float]:
    """Seconds before the first and after the last frame of speech; the whole clip for each where there is none."""
    active = np.flatnonzero(_active(levels, speech_db, noise_db))
    if len(active) == 0:
        return len(levels) * _FRAME_SECONDS, len(levels) * _FRAME_SECONDS
    return active[0] * _FRAME_SECONDS, (len(levels) - 1 - active[-1]) * _FRAME_SECONDS


def _mains_hum(
    x: np.ndarray, sample_rate_hz: int, levels: np.ndarray, speech_db: float, noise_db: float
) -> tuple[float | None, float | None]:
    """Mains frequency and level of the hum in the pauses, or None and None.

    Hum is present throughout; a breath or a murmur near 100 or 120 Hz occurs in some pieces of the pauses only.
    """
    pauses = _pauses(levels, speech_db, noise_db)
    if not pauses:
        return None, None
    low = soxr.resample(x, sample_rate_hz, _HUM_RATE_HZ)
    n = round(_FRAME_SECONDS * _HUM_RATE_HZ)
    pieces = [low[begin * n : end * n] for begin, end in pauses]
    harmonics = np.arange(1, _HUM_HARMONICS + 1)
    powers = {hz: np.quantile(_powers_at(pieces, hz * harmonics), 0.25) for hz in MAINS_HZ}
    best = max(MAINS_HZ, key=powers.__getitem__)
    between = np.median(_powers_at(pieces, best * (harmonics + 0.5)))
    if powers[best] <= between * 10 ** (_HUM_ABOVE_DB / 10) or powers[best] < _LAST_BIT**2:
        return None, None
    return best, _decibels(np.sqrt(powers[best]))


def _pauses(levels: np.ndarray, speech_db: float, noise_db: float) -> list[tuple[int, int]]:
    """Frame ranges without speech, cut into pieces of at least `_HUM_PIECE_FRAMES` and less than twice as many."""
    quiet = ~_active(levels, speech_db, noise_db) & np.isfinite(levels)
    pieces = []
    for begin, end in true_runs(quiet):
        cuts = np.linspace(begin, end, (end - begin) // _HUM_PIECE_FRAMES + 1).astype(int).tolist()
        pieces += list(pairwise(cuts))
    return pieces


def _powers_at(pieces: list[np.ndarray], frequencies_hz: np.ndarray) -> np.ndarray:
    """Summed power at the given frequencies in each piece (at `_HUM_RATE_HZ`), with a Hann window: [pieces]."""
    powers = []
    for piece in pieces:
        t = np.arange(len(piece)) / _HUM_RATE_HZ
        window = np.hanning(len(piece) + 2)[1:-1]
        waves = np.exp(-2j * np.pi * np.outer(frequencies_hz, t))
        amplitudes = 2 * np.abs(waves @ (window * (piece - piece.mean()))) / window.sum()
        powers.append(float(np.sum(amplitudes**2)) / 2)
    return np.array(powers)
