"""Where clicks and flashes lie, how loud a voice is, and what colours a picture has: measured on arrays."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from recipes import CLICK_HZ, QUIET_SECONDS, quadrants
from scipy.signal import butter, find_peaks, sosfiltfilt

_CLICK_REACH_SECONDS = 0.03


def click_seconds(waveform: np.ndarray, rate_hz: int, *, crackles: Iterable[float] = ()) -> np.ndarray:
    """Centres of the clicks' energy; they are the loudest sound around 1 kHz.

    Args:
        crackles: where a codec's state breaks off (joins), and what sounds like a click is none.
    """
    band = butter(2, (CLICK_HZ / 2, 1.5 * CLICK_HZ), "bandpass", fs=rate_hz, output="sos")
    energy = sosfiltfilt(band, waveform.astype(np.float64)) ** 2
    smooth = np.exp(-0.5 * (np.arange(-0.02, 0.02, 1 / rate_hz) / 0.004) ** 2)
    envelope = np.convolve(energy, smooth / smooth.sum(), "same")
    if not envelope.max(initial=0.0) > 1e-8:
        return np.zeros(0)
    peaks, _ = find_peaks(envelope, height=0.3 * envelope.max(), distance=round(0.15 * rate_hz))
    reach = round(_CLICK_REACH_SECONDS * rate_hz)
    centres = []
    for peak in peaks:
        first = max(0, peak - reach)
        part = energy[first : peak + reach]
        centres.append((first + (part * np.arange(len(part))).sum() / part.sum()) / rate_hz)
    return np.array([at for at in centres if all(abs(at - crackle) > 0.1 for crackle in crackles)])


def flash_onsets(pictures: Iterable[np.ndarray]) -> list[int]:
    """Numbers of the pictures whose lower right quadrant is bright after a dark one."""
    lit = [quadrants(picture)["lower right"].mean() > 128 for picture in pictures]
    return [k for k in range(1, len(lit)) if lit[k] and not lit[k - 1]]


def voice_rms(waveform: np.ndarray, rate_hz: int, spans_seconds: list[tuple[float, float]]) -> float:
    """Root mean square over stretches without a click."""
    parts = [waveform[round(a * rate_hz) : round(b * rate_hz)].astype(np.float64) for a, b in spans_seconds]
    return float(np.sqrt(np.mean(np.concatenate(parts) ** 2)))


def voice_spans(
    clicks: list[float], begin: float, end: float, holes: list[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Stretches of voice between `begin` and `end`, away from clicks and from holes in the sound."""
    away = QUIET_SECONDS + 0.02
    cuts = sorted([(at - away, at + away) for at in clicks] + [(a - 0.08, b + 0.08) for a, b in holes])
    spans, start = [], begin + 0.08
    for low, high in cuts:
        if low - start > 0.05:
            spans.append((start, low))
        start = max(start, high)
    if end - 0.08 - start > 0.05:
        spans.append((start, end - 0.08))
    return spans
