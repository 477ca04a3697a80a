"""Sound recorded apart: its offset and clock drift against the camera's own sound, measured and checked.

Coarse first: envelopes of ten bands, correlated chunk by chunk over all offsets and drifts in question. They bear
noise, echo, narrow bands and automatic gain, and place the recording to about 10 ms. Then windows of speech: whitened
cross-correlation (GCC-PHAT; Knapp and Carter 1976) near that place, to a fraction of a sample. A line through the
windows' peaks over time gives offset and drift; how many lie on it tells whether it is the same recording.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.ndimage import maximum_filter1d

from avsc_tf.core.config import SyncConfig
from avsc_tf.core.errors import MediaError
from avsc_tf.media.audio import is_silent
from avsc_tf.media.envelopes import ENVELOPE_HZ, coarse_places, envelopes

RATE_HZ = 8000  # of both sounds while they are compared
_BAND_HZ = (150.0, 3600.0)  # above the mains' hum, below the low rate's edge
_WHITENING = 0.8  # 1 is PHAT; a little less trusts the bins that hold speech more
_UPSAMPLING = 8  # of the correlation: 1/64 ms
_SEARCH_SECONDS = 0.06  # on each side of the coarse place
_MAX_WINDOW_SECONDS, _MIN_WINDOW_SECONDS = 4.0, 0.25
_MAX_WINDOWS = 64
_AGREE_SECONDS = 0.0005  # windows on the line lie within it
_DRIFT_FROM_SECONDS = 4.0  # in less, a drift of 100 ppm moves the sound by 0.4 ms at most and cannot be told
_NEAR_SECONDS = 0.0001
_PEAK_SHARE = 0.5  # of a window's highest value: less is no peak of it
_MIN_WINDOWS = 4
# Of 3 s of GRID in a bad room the true place has at least 0.4, 1.5 and 8; other sentences reach two of them, not all.
_MIN_CONFIDENCE = 0.35
_MIN_PEAK_RATIO = 1.5
_MIN_EVIDENCE = 8.0  # agreeing windows times peak ratio
_RIVAL_SHARE = 0.5  # of the best place's evidence: a second place with more is a second recording
_CLEAR_MS = 2.0  # the second peak is sought beyond it


@dataclass(frozen=True)
class Synchrony:
    """Where the sound recorded apart lies against the camera's own."""

    offset_seconds: float  # time of the separate file at the first picture; negative: it was started later
    drift_ppm: float  # positive: its clock counts more seconds than the camera's; 0 where none can be told
    confidence: float  # share of the windows that agree with the line within 0.5 ms
    peak_ratio: float  # of the windows' summed correlation: the peak over the highest value elsewhere
    residual_ms: float  # root mean square of the agreeing windows' distance to the line
    n_windows: int

    @property
    def clock_ratio(self) -> float:
        """Seconds of the separate file in a second of the picture's clock."""
        return 1.0 + self.drift_ppm * 1e-6

    def separate_seconds(self, picture_seconds: float) -> float:
        """Time of the separate file at a time after the first picture."""
        return self.offset_seconds + picture_seconds * self.clock_ratio


@dataclass(frozen=True)
class _Windows:
    """Correlations of n windows about the coarse place."""

    centres_seconds: np.ndarray  # [n] on the picture's clock
    offsets_seconds: np.ndarray  # [n] of the highest value
    predicted_seconds: np.ndarray  # [n] offset at lag 0 of `correlations`
    correlations: np.ndarray  # [n, lags] highest value 1

    def _lags(self, offsets_seconds: np.ndarray) -> np.ndarray:
        lags = (offsets_seconds - self.predicted_seconds + _SEARCH_SECONDS) * _UPSAMPLING * RATE_HZ
        return np.round(lags).astype(int)

    def summed_along(self, offsets_seconds: np.ndarray) -> np.ndarray:
        """Sum of the correlations at the offsets [lines, n], each the highest within 0.1 ms: [lines]."""
        near = round(_NEAR_SECONDS * _UPSAMPLING * RATE_HZ)
        smooth = maximum_filter1d(self.correlations, 2 * near + 1, axis=1)
        lags = self._lags(offsets_seconds)
        inside = (lags >= 0) & (lags < smooth.shape[1])
        values = smooth[np.arange(len(smooth))[None], np.clip(lags, 0, smooth.shape[1] - 1)]
        return np.where(inside, values, 0.0).sum(axis=1)

    def nearest_peaks(self, offsets_seconds: np.ndarray) -> np.ndarray:
        """Each window's highest offset within the agreed distance of the given ones; infinite where that is no peak."""
        reach = round(_AGREE_SECONDS * _UPSAMPLING * RATE_HZ)
        found = np.full(len(offsets_seconds), np.inf)
        for k, lag in enumerate(self._lags(offsets_seconds)):
            low, high = max(0, lag - reach), lag + reach + 1
            piece = self.correlations[k, low:high]
            if len(piece) and piece.max() >= _PEAK_SHARE and 0 < piece.argmax() < len(piece) - 1:
                lag_found = (low + _peak(piece)) / (_UPSAMPLING * RATE_HZ)
                found[k] = self.predicted_seconds[k] + lag_found - _SEARCH_SECONDS
        return found


def measure_synchrony(camera: np.ndarray, separate: np.ndarray, sync: SyncConfig, *, place: str) -> Synchrony:
    """Offset and drift of `separate` against `camera`, both [samples] at RATE_HZ, in error below 1 ms.

    Raises:
        MediaError: too short, not the same recording, or more than one place fits.
    """
    if len(camera) < 2 * _MIN_WINDOW_SECONDS * RATE_HZ or is_silent(separate):
        raise MediaError(f"{place}: too little sound to compare it with the camera's. {_REMEDY}")
    places = coarse_places(envelopes(camera, RATE_HZ), envelopes(separate, RATE_HZ), sync)
    windows = [_correlate_windows(camera, separate, place.offset_seconds, place.drift) for place in places]
    fits = [_fit(found, sync) for found in windows if len(found.correlations) >= _MIN_WINDOWS]
    fits = sorted((fit for fit in fits if _is_sound(fit)), key=_evidence, reverse=True)
    if not fits:
        raise MediaError(
            f"{place}: is not the sound of this picture: nowhere within {sync.max_offset_seconds:g} s of either side "
            f"does it follow the camera's own sound. {_REMEDY}"
        )
    best = fits[0]
    for other in fits[1:]:
        is_elsewhere = abs(other.offset_seconds - best.offset_seconds) > 2 * _SEARCH_SECONDS
        if is_elsewhere and _evidence(other) > _RIVAL_SHARE * _evidence(best):
            raise MediaError(
                f"{place}: fits the camera's own sound at {best.offset_seconds:.3f} s and at "
                f"{other.offset_seconds:.3f} s. {_REMEDY}"
            )
    return best


_REMEDY = "Name the right file, or cut it by hand and set sync.separate_sound=as_is."


def follows(camera: np.ndarray, separate: np.ndarray) -> bool:
    """Whether a stretch that has been laid, both [samples] at RATE_HZ, has its highest correlation where it lies.

    True also for a stretch that is too short or too quiet to tell.
    """
    windows = _correlate_windows(camera, separate, 0.0, 0.0)
    if is_silent(camera) or len(windows.correlations) < _MIN_WINDOWS:
        return True
    return _peak_ratio(windows, np.zeros(len(windows.correlations))) >= 1.0


def _evidence(fit: Synchrony) -> float:
    """Windows that agree, times how far their sum stands out."""
    return fit.confidence * fit.n_windows * fit.peak_ratio


def _is_sound(fit: Synchrony) -> bool:
    agree = fit.confidence >= _MIN_CONFIDENCE and fit.peak_ratio >= _MIN_PEAK_RATIO
    return agree and _evidence(fit) >= _MIN_EVIDENCE


def _correlate_windows(camera: np.ndarray, separate: np.ndarray, offset_seconds: float, drift: float) -> _Windows:
    length = _window_samples(len(camera))
    reach = round(_SEARCH_SECONDS * RATE_HZ)
    starts = _loud_windows(camera, separate, length, offset_seconds, drift)
    n_fft = 1 << (2 * length + 2 * reach - 1).bit_length()
    taper = np.hanning(length)
    weights = _band_weights(n_fft)
    found = []
    for start in starts:
        predicted = round((offset_seconds + drift * start / RATE_HZ) * RATE_HZ)
        first = camera[start : start + length].astype(np.float64) * taper
        second = _slice(separate, start + predicted - reach, length + 2 * reach)
        cross = np.conj(np.fft.rfft(first, n_fft)) * np.fft.rfft(second, n_fft)
        size = np.abs(cross)
        cross *= weights / np.maximum(size, 1e-6 * size.max() + 1e-30) ** _WHITENING
        correlation = np.fft.irfft(cross, n_fft * _UPSAMPLING)[: 2 * reach * _UPSAMPLING + 1]
        found.append((predicted, correlation / max(correlation.max(), 1e-30)))
    predicted_seconds = np.array([p for p, _ in found]) / RATE_HZ
    correlations = np.array([c for _, c in found]).reshape(len(found), 2 * reach * _UPSAMPLING + 1)
    lags = np.array([_peak(c) for c in correlations]) / (_UPSAMPLING * RATE_HZ) - _SEARCH_SECONDS
    return _Windows((starts + length / 2) / RATE_HZ, predicted_seconds + lags, predicted_seconds, correlations)


def _window_samples(n_samples: int) -> int:
    seconds = np.clip(n_samples / RATE_HZ / 4, _MIN_WINDOW_SECONDS, _MAX_WINDOW_SECONDS)
    return int(seconds * RATE_HZ)


def _loud_windows(
    camera: np.ndarray, separate: np.ndarray, length: int, offset_seconds: float, drift: float
) -> np.ndarray:
    """Starts of windows spread over the camera's sound, each the loudest of its share in the separate one: [n]."""
    hop = RATE_HZ // ENVELOPE_HZ
    n_hops = max(1, (len(camera) - length) // hop)
    at = np.arange(n_hops + length // hop) * hop
    at = at + np.round((offset_seconds + drift * at / RATE_HZ) * RATE_HZ).astype(np.int64)
    inside = (at >= 0) & (at + hop <= len(separate))
    power = np.zeros(len(at))
    for begin in range(0, hop, 8):  # every eighth sample tells the loudness of a hop well enough
        power[inside] += separate[at[inside] + begin].astype(np.float32) ** 2
    loudness = np.convolve(power, np.ones(max(1, length // hop)), "valid")[:n_hops]
    n_windows = int(np.clip(4 * n_hops * hop // length + 1, 1, _MAX_WINDOWS))
    edges = np.linspace(0, n_hops, n_windows + 1).astype(int)
    starts = [low + int(loudness[low:high].argmax()) for low, high in pairwise(edges) if high > low]
    whole = np.convolve(inside, np.ones(max(1, length // hop)), "valid")[:n_hops] >= length // hop - 0.5
    return np.array([start * hop for start in starts if whole[start] and loudness[start] > 0], int)


def _slice(sound: np.ndarray, start: int, length: int) -> np.ndarray:
    """float64 [length]; silence outside."""
    out = np.zeros(length)
    low, high = max(0, start), min(len(sound), start + length)
    if low < high:
        out[low - start : high - start] = sound[low:high]
    return out


def _band_weights(n_fft: int) -> np.ndarray:
    hz = np.fft.rfftfreq(n_fft, 1 / RATE_HZ)
    low, high = _BAND_HZ
    return np.clip((hz - low) / 100 + 1, 0, 1) * np.clip((high - hz) / 200 + 1, 0, 1)


def _peak(values: np.ndarray) -> float:
    """Index of the highest value, refined by a parabola."""
    k = int(values.argmax())
    if not 0 < k < len(values) - 1:
        return float(k)
    left, middle, right = values[k - 1 : k + 2]
    curvature = left - 2 * middle + right
    return k + (0.5 * (left - right) / curvature if curvature < 0 else 0.0)


def _fit(windows: _Windows, sync: SyncConfig) -> Synchrony:
    t = windows.centres_seconds
    may_drift = len(t) > 2 and np.ptp(t) >= _DRIFT_FROM_SECONDS
    line = _best_line(windows, sync.max_drift_ppm * 1e-6 if may_drift else 0.0)
    offsets = windows.nearest_peaks(line[0] + line[1] * t)
    agree = np.abs(offsets - line[0] - line[1] * t) < _AGREE_SECONDS
    for _ in range(3):
        if not agree.any():
            return Synchrony(line[0], 0.0, 0.0, 0.0, 0.0, len(t))
        line = _least_squares(t[agree], offsets[agree], may_drift=may_drift)
        agree = np.abs(offsets - line[0] - line[1] * t) < _AGREE_SECONDS
    residuals = (offsets - line[0] - line[1] * t)[agree]
    highest = np.abs(windows.offsets_seconds - line[0] - line[1] * t) < _AGREE_SECONDS
    return Synchrony(
        offset_seconds=line[0],
        drift_ppm=line[1] * 1e6,
        confidence=float(highest.mean()),
        peak_ratio=_peak_ratio(windows, line[0] + line[1] * t),
        residual_ms=float(np.sqrt(np.mean(residuals**2)) * 1000) if len(residuals) else 0.0,
        n_windows=len(t),
    )


def _best_line(windows: _Windows, max_slope: float) -> tuple[float, float]:
    """Of the lines through two windows' peaks (one's, where none may slope) that of the highest summed correlation."""
    t, offsets = windows.centres_seconds, windows.offsets_seconds
    slopes, intercepts = np.zeros(len(t)), offsets
    if max_slope:
        i, j = np.triu_indices(len(t), 1)
        i, j = i[t[j] > t[i]], j[t[j] > t[i]]
        steep = (offsets[j] - offsets[i]) / (t[j] - t[i])
        keep = np.abs(steep) <= max_slope
        slopes = np.append(slopes, steep[keep])
        intercepts = np.append(intercepts, offsets[i[keep]] - steep[keep] * t[i[keep]])
    best = int(windows.summed_along(intercepts[:, None] + slopes[:, None] * t[None]).argmax())
    return float(intercepts[best]), float(slopes[best])


def _least_squares(t: np.ndarray, offsets: np.ndarray, *, may_drift: bool) -> tuple[float, float]:
    """A line, or a constant where the slope is within three of its standard errors."""
    spread = float(((t - t.mean()) ** 2).sum())
    if may_drift and len(t) > 2 and spread > 0:
        slope = float(((t - t.mean()) * (offsets - offsets.mean())).sum() / spread)
        intercept = float(offsets.mean() - slope * t.mean())
        variance = float(((offsets - intercept - slope * t) ** 2).sum()) / (len(t) - 2)
        if slope**2 > 9 * variance / spread:
            return intercept, slope
    return float(offsets.mean()), 0.0


def _peak_ratio(windows: _Windows, fitted_seconds: np.ndarray) -> float:
    """Peak over second peak of the correlations summed along the line."""
    step = _UPSAMPLING * RATE_HZ
    shifts = np.round((fitted_seconds - windows.predicted_seconds) * step).astype(int)
    total = np.sum([np.roll(c, -shift) for c, shift in zip(windows.correlations, shifts, strict=True)], axis=0)
    middle, clear = len(total) // 2, round(_CLEAR_MS / 1000 * step)
    peak = total[middle - clear // 4 : middle + clear // 4 + 1].max()
    elsewhere = np.concatenate([total[: middle - clear], total[middle + clear :]]).max()
    return float(peak / max(elsewhere, 1e-9 * abs(peak) + 1e-30))
