"""Intervals cover the truth as often as they say, and ratios are ratios of means."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.evaluation.confidence import estimate, ratio


def test_interval_covers_the_mean_about_19_times_in_20(rng: np.random.Generator) -> None:
    n_trials, n, truth = 300, 20, 3.0
    found = [estimate(rng.normal(truth, 2.0, n)) for _ in range(n_trials)]
    covered = np.mean([e.low < truth < e.high for e in found])
    # percentile bootstrap of 20 values covers about 0.93; 300 trials scatter by 0.015
    assert 0.87 < covered < 0.98


def test_mean_interval_and_n_leave_nan_out() -> None:
    found = estimate([1.0, 2.0, np.nan, 3.0, 6.0])
    assert (found.mean, found.n) == (3.0, 4)
    assert 1.0 <= found.low < 3.0 < found.high <= 6.0


def test_same_values_same_interval() -> None:
    assert estimate([1.0, 4.0, 2.0]) == estimate([1.0, 4.0, 2.0])


@pytest.mark.parametrize(("values", "n"), [([], 0), ([np.nan], 0), ([5.0], 1)])
def test_too_few_for_an_interval(values: list[float], n: int) -> None:
    found = estimate(values)
    assert found.n == n and np.isnan(found.low) and np.isnan(found.high)
    assert np.isnan(found.mean) == (n == 0)


def test_ratio_is_of_means_over_common_sentences() -> None:
    found = ratio([1.0, 3.0, 9.0], [2.0, 6.0, np.nan])
    assert found.mean == pytest.approx(4.0 / 8.0) and found.n == 2
    # numerator and denominator are drawn together, so a constant ratio has no spread
    assert found.low == pytest.approx(0.5) and found.high == pytest.approx(0.5)
