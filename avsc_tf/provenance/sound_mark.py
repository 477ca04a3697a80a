"""An inaudible mark in sound: gains of 1.5 dB up or down by cells of time and frequency, whose signs spell a payload.

The pattern repeats every 1.2 s, so that a cut piece holds it whole; the detector whitens the log spectrum, folds it by
that period and tries every start. Cells are given in seconds and hertz: the sample rate does not matter as long as
half of it lies above the bands, and the gains follow the loudness of the sound, in whose shadow they are not heard.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, uniform_filter1d
from scipy.signal import get_window

from avsc_tf.provenance.code import (
    N_SYMBOLS,
    N_VALUES,
    PUBLIC_KEY,
    Detection,
    Match,
    best_of,
    generator,
    signs,
    symbols_of,
    verdict,
)

STRENGTH_DB = 1.5
PEAK_LIMIT = 0.95  # a louder peak than this, and than before, is not made
HOP_SECONDS, WINDOW_HOPS = 0.01, 4
CELL_HOPS, PERIOD_CELLS = 4, 30
PERIOD_SECONDS = HOP_SECONDS * CELL_HOPS * PERIOD_CELLS
BAND_EDGES_HZ = np.arange(300.0, 7051.0, 150.0)  # up to what 16 kHz hold
N_BANDS = len(BAND_EDGES_HZ) - 1
DETECTION_RATE_HZ = 16_000
FLOOR = 1e-5  # of a bin's mean power: what lies below counts as silence
SMOOTH_FRAMES, SMOOTH_BANDS = 5.0, 1.0  # of the whitening, deviations of a Gaussian
CLIP_DEVIATIONS = 1.5  # one loud cell must not outvote the others
SPEEDS = tuple(round(0.95 + 0.005 * step, 3) for step in range(21))  # tried where the true one shows nothing
PIECE_SECONDS = 10.0  # longer sound is also looked at piece by piece: a marked excerpt may lie in it
BLOCK_FRAMES = 3000


def mark_sound(
    waveform: NDArray[np.floating],
    *,
    sample_rate_hz: int,
    payload: int,
    key: str = PUBLIC_KEY,
    strength_db: float = STRENGTH_DB,
) -> NDArray[np.float32]:
    """Sound with the payload in it: float [samples] to float32 [samples]; silence stays silence.

    Peaks that would pass both their old height and `PEAK_LIMIT` make the whole softer by as much.
    """
    sound = np.asarray(waveform, np.float32)
    padded, starts, window = _framed(sound, sample_rate_hz)
    band = _band_of_bins(len(window), sample_rate_hz)
    inside = (band >= 0) & (band < N_BANDS)
    sign_of = np.zeros((PERIOD_CELLS, len(band)), np.float32)
    sign_of[:, inside] = _pattern(payload, key)[:, band[inside]]
    change, weight = np.zeros(len(padded), np.float32), np.zeros(len(padded), np.float32)
    gain = 10 ** (strength_db * sign_of / 20) - 1
    for number, start in enumerate(starts):
        place = slice(start, start + len(window))
        spectrum = np.fft.rfft(padded[place] * window)
        moved = np.fft.irfft(spectrum * gain[number // CELL_HOPS % PERIOD_CELLS], n=len(window))
        change[place] += moved.astype(np.float32) * window
        weight[place] += window**2
    at = len(window) // 2
    marked = sound + (change / np.maximum(weight, 1e-3))[at : at + len(sound)]
    limit = max(PEAK_LIMIT, float(np.abs(sound).max(initial=0.0)))
    return marked * np.float32(min(1.0, limit / max(float(np.abs(marked).max(initial=0.0)), 1e-9)))


def detect_sound(waveform: NDArray[np.floating], *, sample_rate_hz: int, key: str = PUBLIC_KEY) -> Detection:
    """Look for the mark at every start; then, in pieces, also at speeds changed by up to 5 % (tape, films at 24 or 25).

    Args:
        waveform: float [samples], any length.
    """
    sound = np.asarray(waveform, np.float32)
    seconds = len(sound) / sample_rate_hz
    if sample_rate_hz > DETECTION_RATE_HZ and len(sound):
        sound = soxr.resample(sound, sample_rate_hz, DETECTION_RATE_HZ, quality="HQ").astype(np.float32)
        sample_rate_hz = DETECTION_RATE_HZ
    matches, n_places = _matches(sound, sample_rate_hz, key, 1.0)
    first = verdict(best_of(matches), n_symbols=N_SYMBOLS, n_places=n_places, seconds=seconds)
    if first.found or not len(sound):
        return first
    for speed in SPEEDS:
        if speed != 1.0:
            more, n_more = _matches(sound, sample_rate_hz, key, speed)
            matches, n_places = [*matches, *more], n_places + n_more
    return verdict(best_of(matches), n_symbols=N_SYMBOLS, n_places=n_places, seconds=seconds)


def _matches(sound: NDArray[np.float32], rate_hz: int, key: str, speed: float) -> tuple[list[Match], int]:
    """The best match of each piece, and how many places were looked at."""
    levels = _band_levels(sound, rate_hz, speed)
    n_frames, n_piece = len(levels), round(PIECE_SECONDS / HOP_SECONDS)
    pieces = [(0, n_frames)] if speed == 1.0 or n_frames <= 2 * n_piece else []
    if n_frames > 2 * n_piece:
        pieces += [(start, start + n_piece) for start in range(0, n_frames - n_piece // 2, n_piece // 2)]
    names = {(0, n_frames): ""}
    matches = []
    for start, end in pieces:
        best = _best_start(levels[start:end], key)
        place = names.get((start, end), f"from {start * HOP_SECONDS * speed:.0f} s")
        place = f"{place} at speed {speed:g}".strip() if speed != 1.0 else place
        matches.append(Match(best.score, best.symbols, place))
    return matches, len(pieces) * CELL_HOPS * PERIOD_CELLS


def _best_start(levels: NDArray[np.float32], key: str) -> Match:
    """The likeliest payload over all starts of the period; levels are white, [frames, bands]."""
    smooth = uniform_filter1d(levels, CELL_HOPS, axis=0, mode="constant")
    best = Match(0.0)
    for phase in range(CELL_HOPS):
        scores = _scores(smooth[phase::CELL_HOPS], key, range(PERIOD_CELLS))
        total = scores.max(axis=1).sum(axis=0)
        shift = int(total.argmax())
        if total[shift] > best.score:
            best = Match(float(total[shift]), tuple(scores[:, :, shift].argmax(axis=1).tolist()))
    return best


def scores_at_start(waveform: NDArray[np.floating], *, sample_rate_hz: int, key: str) -> NDArray[np.float32]:
    """Correlations of all values where the mark would begin with the sound, in deviations of chance: [symbols, values].

    Of unmarked sound, the sum of one of each symbol is normal, of mean 0 and deviation 1, over keys.
    """
    levels = _band_levels(np.asarray(waveform, np.float32), sample_rate_hz, 1.0)
    smooth = uniform_filter1d(levels, CELL_HOPS, axis=0, mode="constant")
    return _scores(smooth[::CELL_HOPS], key, [0])[:, :, 0]


def _scores(cells: NDArray[np.float32], key: str, shifts: Sequence[int]) -> NDArray[np.float32]:
    """Correlations with the cells [n, bands] folded by the period: [symbols, values, shifts]."""
    cells = np.pad(cells, ((0, -len(cells) % PERIOD_CELLS), (0, 0)))
    folded = cells.reshape(-1, PERIOD_CELLS, N_BANDS).sum(axis=0)
    deviation = max(float(np.sqrt((folded**2).sum())), 1e-9)
    shifted = np.stack([np.roll(folded, shift, axis=0).ravel() for shift in shifts], axis=1)
    return (_codebook(key) @ shifted).reshape(N_SYMBOLS, N_VALUES, len(shifts)) / deviation


def _band_levels(sound: NDArray[np.float32], rate_hz: int, speed: float) -> NDArray[np.float32]:
    """Log power by bands without what changes slowly in time or over bands, clipped: float32 [frames, bands]."""
    padded, starts, window = _framed(sound, rate_hz * speed)
    band = _band_of_bins(len(window), rate_hz * speed)
    present = np.arange(N_BANDS)[np.isin(np.arange(N_BANDS), band)]
    first = np.searchsorted(band, present)
    end = int(np.searchsorted(band, N_BANDS))
    levels = np.zeros((len(starts), N_BANDS), np.float32)
    for at in range(0, len(starts), BLOCK_FRAMES):
        block = starts[at : at + BLOCK_FRAMES]
        frames = padded[block[:, None] + np.arange(len(window))] * window
        power = np.abs(np.fft.rfft(frames)[:, :end]) ** 2
        floor = FLOOR * power.mean(axis=0) + 1e-20
        logs = np.log(power + floor)
        counts = np.diff(np.append(first, end))
        levels[at : at + len(block), present] = np.add.reduceat(logs, first, axis=1) / counts
    levels -= gaussian_filter1d(levels, SMOOTH_FRAMES, axis=0)
    levels[:, present] -= gaussian_filter1d(levels[:, present], SMOOTH_BANDS, axis=1)
    deviation = float(np.sqrt(np.mean(levels**2)))
    return np.clip(levels / max(deviation, 1e-12), -CLIP_DEVIATIONS, CLIP_DEVIATIONS)


def _framed(
    sound: NDArray[np.float32], rate_hz: float
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """The sound with room at both ends, first samples of frames (their centres lie a hop apart), and their window."""
    hop = rate_hz * HOP_SECONDS
    width = round(hop * WINDOW_HOPS)
    starts = np.round(np.arange(int(np.ceil(len(sound) / hop)) + 1) * hop).astype(np.int64)
    padded = np.pad(sound, (width // 2, width + int(hop) + 1))
    return padded, starts, get_window("hann", width).astype(np.float32)


def _band_of_bins(width: int, rate_hz: float) -> NDArray[np.int64]:
    """Number of the band of each bin of a real transform; -1 below the bands, `N_BANDS` above."""
    return np.searchsorted(BAND_EDGES_HZ, np.fft.rfftfreq(width, 1 / rate_hz), side="right") - 1


def _pattern(payload: int, key: str) -> NDArray[np.float32]:
    """Signs of the cells [PERIOD_CELLS, N_BANDS]."""
    rows = _codebook(key).reshape(N_SYMBOLS, N_VALUES, -1)
    chosen = sum(rows[number, value] for number, value in enumerate(symbols_of(payload)))
    return np.asarray(chosen, np.float32).reshape(PERIOD_CELLS, N_BANDS)


@functools.lru_cache(maxsize=4)
def _codebook(key: str) -> NDArray[np.float32]:
    """Signs [symbols * values, cells * bands], 0 where a cell belongs to another symbol."""
    rng, n_cells = generator(key, "sound"), PERIOD_CELLS * N_BANDS
    owner = rng.permutation(np.arange(n_cells) % N_SYMBOLS)
    rows = signs(rng, (N_SYMBOLS, N_VALUES, n_cells))
    for symbol in range(N_SYMBOLS):
        rows[symbol][:, owner != symbol] = 0
    return rows.reshape(N_SYMBOLS * N_VALUES, n_cells)
