"""Measures of pitch contours against cases worked out by hand and NumPy's and SciPy's own statistics."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from avsc_tf.measures.pitch_contour import pitch_agreement

NAN = np.nan


def test_by_hand():
    reference = np.array([100.0, 100.0, 200.0, NAN, 100.0, NAN, NAN])
    semitone = 2 ** (1 / 12)
    found = pitch_agreement(np.array([100 * semitone, 100.0, 100.0, 150.0, NAN, NAN, NAN]), reference)
    cents = np.array([100.0, 0.0, -1200.0])  # of the three frames voiced in both
    assert found.rmse_cents == pytest.approx(np.sqrt((cents**2).mean()))
    assert found.median_cents == pytest.approx(100.0)
    assert found.mean_difference_cents == pytest.approx(cents.mean())
    assert found.rmse_hz == pytest.approx(np.sqrt(((100 * semitone - 100) ** 2 + 100**2) / 3))
    assert found.voicing_error == pytest.approx(2 / 7)


def test_a_semitone_everywhere_is_100_cents(rng):
    reference = rng.uniform(80, 300, 41)
    reference[rng.random(41) < 0.3] = NAN
    found = pitch_agreement(reference * 2 ** (-1 / 12), reference)
    assert found.rmse_cents == pytest.approx(100.0)
    assert found.median_cents == pytest.approx(100.0)
    assert found.mean_difference_cents == pytest.approx(-100.0)
    assert found.correlation == pytest.approx(1.0)
    assert found.voicing_error == 0.0


def test_correlation_is_pearsons_of_log_f0(rng):
    a, b = rng.uniform(80, 300, (2, 57))
    assert pitch_agreement(a, b).correlation == pytest.approx(stats.pearsonr(np.log(a), np.log(b)).statistic)


def test_without_common_voice():
    silent = np.full(4, NAN)
    found = pitch_agreement(silent, np.array([120.0, NAN, 120.0, NAN]))
    assert found.voicing_error == 0.5
    assert np.isnan([found.rmse_hz, found.rmse_cents, found.median_cents, found.correlation]).all()
    assert np.isnan(pitch_agreement(silent[:0], silent[:0]).voicing_error)


def test_a_monotone_has_no_correlation(rng):
    flat = np.full(9, 120.0)
    assert np.isnan(pitch_agreement(flat, rng.uniform(80, 300, 9)).correlation)


def test_other_lengths_are_refused():
    with pytest.raises(ValueError, match="one timeline"):
        pitch_agreement(np.full(4, 100.0), np.full(5, 100.0))
