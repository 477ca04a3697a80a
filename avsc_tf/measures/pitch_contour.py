"""Measures of a pitch contour beside another one, from F0 in Hz on one timeline, NaN where unvoiced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avsc_tf.measures.mouth import correlation

CENTS_PER_OCTAVE = 1200.0
NAN = float("nan")


@dataclass(frozen=True)
class PitchAgreement:
    """All but `voicing_error` over the frames voiced in both; NaN where there are none."""

    rmse_hz: float
    rmse_cents: float
    median_cents: float  # of the absolute difference: blind to a tracker's octave errors, which rule the RMSE
    correlation: float  # of log F0; NaN below three frames, and where one contour is flat
    voicing_error: float  # share of all frames voiced in one and unvoiced in the other
    mean_difference_cents: float  # above zero: higher than the reference


def pitch_agreement(f0_hz: np.ndarray, reference_hz: np.ndarray) -> PitchAgreement:
    """How a contour follows another, both [frames] on one timeline (`PitchTrack.at` brings them there).

    Raises:
        ValueError: the two differ in length.
    """
    f0_hz, reference_hz = np.asarray(f0_hz, np.float64), np.asarray(reference_hz, np.float64)
    if f0_hz.shape != reference_hz.shape or f0_hz.ndim != 1:
        raise ValueError(
            f"contours of shapes {f0_hz.shape} and {reference_hz.shape} must be [frames] on one timeline; "
            "bring one to the other's with PitchTrack.at"
        )
    if not len(f0_hz):
        return PitchAgreement(NAN, NAN, NAN, NAN, NAN, NAN)
    voiced, reference_voiced = np.isfinite(f0_hz), np.isfinite(reference_hz)
    voicing_error = float((voiced != reference_voiced).mean())
    both = voiced & reference_voiced
    if not both.any():
        return PitchAgreement(NAN, NAN, NAN, NAN, voicing_error, NAN)
    here, there = f0_hz[both], reference_hz[both]
    cents = CENTS_PER_OCTAVE * np.log2(here / there)
    return PitchAgreement(
        rmse_hz=float(np.sqrt(np.mean((here - there) ** 2))),
        rmse_cents=float(np.sqrt(np.mean(cents**2))),
        median_cents=float(np.median(np.abs(cents))),
        correlation=correlation(np.log(here), np.log(there)),
        voicing_error=voicing_error,
        mean_difference_cents=float(cents.mean()),
    )
