"""Coarse synchrony: band envelopes of two recordings, correlated over all offsets and clock drifts in question."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.fft
from scipy.ndimage import uniform_filter1d

from avsc_tf.core.config import SyncConfig

ENVELOPE_HZ = 100
_N_BANDS = 10
_BAND_HZ = (200.0, 3600.0)
_LEVEL_SECONDS = 1.5  # slower changes of level (gain control, distance) are taken out
_FLOOR_PERCENTILE = 20  # of a band's power: what noise there is
_FLOOR_SHARE = 1e-4  # of a band's mean power: less counts as silence
_BLOCK_FRAMES = 6000
_CHUNK_SECONDS = 30.0  # a drift of 200 ppm is 6 ms in it: less than a hop
_N_PLACES = 4
_APART_SECONDS = 0.15  # places nearer than this are one


class Place(NamedTuple):
    """A candidate: offset of the separate sound at the first picture, and drift (seconds a second)."""

    offset_seconds: float
    drift: float


def envelopes(sound: np.ndarray, rate_hz: int) -> np.ndarray:
    """Log power of ten bands over the noise, changes alone: float32 [frames, bands] at ENVELOPE_HZ."""
    hop, length = rate_hz // ENVELOPE_HZ, 1 << (rate_hz // 40).bit_length()
    bands = _bands(length, rate_hz)
    n_frames = max(1, (len(sound) - length) // hop + 1)
    power = np.empty((n_frames, _N_BANDS), np.float32)
    for start in range(0, n_frames, _BLOCK_FRAMES):
        stop = min(start + _BLOCK_FRAMES, n_frames)
        piece = sound[start * hop : (stop - 1) * hop + length].astype(np.float32)
        piece = np.pad(piece, (0, (stop - start - 1) * hop + length - len(piece)))
        frames = np.lib.stride_tricks.sliding_window_view(piece, length)[::hop] * np.hanning(length).astype(np.float32)
        power[start:stop] = (np.abs(scipy.fft.rfft(frames, axis=1)) ** 2) @ bands
    noise = np.percentile(power, _FLOOR_PERCENTILE, axis=0)
    floor = np.maximum(noise, _FLOOR_SHARE * power.mean(axis=0)) + 1e-20
    level = np.log(power + floor)
    return (level - uniform_filter1d(level, round(_LEVEL_SECONDS * ENVELOPE_HZ), axis=0)).astype(np.float32)


def _bands(length: int, rate_hz: int) -> np.ndarray:
    """Which bins each band sums: float32 [bins, bands], edges evenly spaced in log frequency."""
    hz = np.fft.rfftfreq(length, 1 / rate_hz)
    edges = np.geomspace(*_BAND_HZ, _N_BANDS + 1)
    return ((hz[:, None] >= edges[None, :-1]) & (hz[:, None] < edges[None, 1:])).astype(np.float32)


def coarse_places(camera: np.ndarray, separate: np.ndarray, sync: SyncConfig) -> list[Place]:
    """The offsets and drifts at which the envelopes ([frames, bands] each) agree best, the best first."""
    seconds = len(camera) / ENVELOPE_HZ
    max_drift = sync.max_drift_ppm * 1e-6
    reach = round((sync.max_offset_seconds + max_drift * seconds) * ENVELOPE_HZ) + 1
    chunk = min(len(camera), round(_CHUNK_SECONDS * ENVELOPE_HZ))
    starts = np.arange(0, len(camera) - chunk // 2, chunk)
    correlations = np.stack([_correlate(camera, separate, start, chunk, reach) for start in starts])  # [chunks, lags]
    centres = (starts + chunk / 2) / ENVELOPE_HZ
    step = 1 / (seconds * ENVELOPE_HZ)  # half a hop at either end
    n_steps = int(max_drift / step) if len(starts) > 1 else 0
    drifts = np.arange(-n_steps, n_steps + 1) * step
    sums = np.stack([_sum_along(correlations, drift * centres) for drift in drifts])  # [drifts, lags]
    return _best(sums, drifts, reach, sync)


def _correlate(camera: np.ndarray, separate: np.ndarray, start: int, length: int, reach: int) -> np.ndarray:
    """Correlation of a chunk of the camera's with the separate one, summed over the bands: [2 * reach + 1]."""
    piece = camera[start : start + length]
    around = np.zeros((len(piece) + 2 * reach, piece.shape[1]), np.float32)
    low, high = max(0, start - reach), min(len(separate), start + len(piece) + reach)
    if low < high:
        around[low - start + reach : high - start + reach] = separate[low:high]
    n_fft = scipy.fft.next_fast_len(len(around), real=True)
    cross = np.conj(scipy.fft.rfft(piece, n_fft, axis=0)) * scipy.fft.rfft(around, n_fft, axis=0)
    return scipy.fft.irfft(cross.sum(axis=1), n_fft)[: 2 * reach + 1].astype(np.float32)


def _sum_along(correlations: np.ndarray, offsets_seconds: np.ndarray) -> np.ndarray:
    shifts = np.round(offsets_seconds * ENVELOPE_HZ).astype(int)
    total = np.zeros(correlations.shape[1], np.float32)
    for row, shift in zip(correlations, shifts, strict=True):
        if shift >= 0:
            total[: len(row) - shift] += row[shift:]
        else:
            total[-shift:] += row[:shift]
    return total


def _best(sums: np.ndarray, drifts: np.ndarray, reach: int, sync: SyncConfig) -> list[Place]:
    """Highest places at least _APART_SECONDS from each other."""
    highest = sums.max(axis=0)
    lags = np.arange(-reach, reach + 1) / ENVELOPE_HZ
    highest = np.where(np.abs(lags) <= sync.max_offset_seconds, highest, -np.inf)
    places = []
    for _ in range(_N_PLACES):
        k = int(highest.argmax())
        if not np.isfinite(highest[k]):
            break
        places.append(Place(float(lags[k]), float(drifts[sums[:, k].argmax()])))
        highest[np.abs(lags - lags[k]) < _APART_SECONDS] = -np.inf
    return places
