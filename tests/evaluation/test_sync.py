"""Lags that were put in are found again."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.evaluation import sync
from avsc_tf.evaluation.figures import sync_figures
from avsc_tf.timebase import Timebase

TIMEBASE = Timebase(video_fps=25, sample_rate_hz=8000, hop_samples=40)


@pytest.fixture
def loudness_curve(rng: np.random.Generator) -> np.ndarray:
    """Speech-like ups and downs over 4 s."""
    return np.convolve(rng.normal(0, 1, 104), np.hanning(7), "valid")[:98]


@pytest.mark.parametrize("lag", [-5, -1, 0, 1, 3, 6])
def test_known_shift(loudness_curve: np.ndarray, lag: int) -> None:
    assert sync.lag_frames(loudness_curve, np.roll(loudness_curve, lag)) == lag


def test_correlations_run_from_minus_to_plus(loudness_curve: np.ndarray) -> None:
    found = sync.lag_correlations(loudness_curve, loudness_curve, max_lag_frames=4)
    assert found.shape == (9,) and found[4] == pytest.approx(1.0)
    assert np.allclose(found, found[::-1])  # of a signal with itself


def test_constant_has_no_lag(loudness_curve: np.ndarray) -> None:
    assert np.isnan(sync.lag_frames(loudness_curve, np.ones(98)))


def test_loudness_of_a_known_level() -> None:
    waveform = np.concatenate([np.full(320, 0.5), np.zeros(320), np.full(200, 1.0)])  # 2 whole frames of 40 ms
    assert np.allclose(sync.loudness(waveform, TIMEBASE), [np.log(0.5), np.log(1e-3)])


@pytest.mark.parametrize(("late_frames", "within"), [(0, 1.0), (2, 0.0)])
def test_lips_after_the_sound(loudness_curve: np.ndarray, late_frames: int, within: float) -> None:
    level = np.exp(loudness_curve - loudness_curve.max())
    noise = np.random.default_rng(5).choice([-1.0, 1.0], (len(level), 320))  # root mean square 1
    waveform = (noise * level[:, None]).ravel()
    opening = np.roll(level, late_frames)
    opening[40] = np.nan  # a frame where no face was seen
    found = sync_figures(waveform, opening, TIMEBASE)
    assert found == {"sound_to_lips_lag": late_frames, "lag_size": late_frames, "within_one_frame": within}
