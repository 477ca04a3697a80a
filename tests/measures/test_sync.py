"""Lags that were put in are found again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from avsc_tf.core.timebase import Timebase
from avsc_tf.evaluation.figures import sync_figures
from avsc_tf.measures import sync
from avsc_tf.measures.lip_correlation import LipCorrelation

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


@pytest.mark.parametrize("late_frames", [-6, -2.5, -1, 0, 0.5, 1, 2.25, 5])
def test_offset_of_canonical_variates(late_frames: float, fitted: LipCorrelation, talker: Any) -> None:
    heard, seen = fitted.variates(*talker.says(200, 77, late_frames=late_frames))
    seen[30:40] = np.nan  # where no face was seen
    found = sync.offset(heard, seen, weights=fitted.weights)
    # a parabola through three frames of a movement of four frames errs by up to a tenth of a frame; and noise
    assert found.frames == pytest.approx(late_frames, abs=0.2)
    assert found.confidence > 0.5 and found.correlations.shape == (21,)


def test_confidence_falls_with_noise(rng: np.random.Generator, fitted: LipCorrelation, talker: Any) -> None:
    mel, lips = talker.says(200, 77)
    noise = rng.normal(size=mel.shape) * mel.std()
    confidences = [
        sync.offset(*fitted.variates(mel + level * noise, lips), weights=fitted.weights).confidence
        for level in (0, 2, 8)
    ]
    assert (np.diff(confidences) < 0).all()
    unrelated = sync.offset(*fitted.variates(talker.says(200, 78)[0], lips), weights=fitted.weights)
    assert unrelated.confidence < 0.4 < confidences[0]


def test_confidence_is_the_peak_over_the_median(loudness_curve: np.ndarray) -> None:
    found = sync.offset(loudness_curve, np.roll(loudness_curve, 2), max_lag_frames=4)
    others = np.delete(found.correlations, 6)
    assert found.frames == pytest.approx(2, abs=0.05)
    assert found.confidence == pytest.approx(found.correlations[6] - np.median(others))


def test_frozen_lips_have_no_offset(loudness_curve: np.ndarray) -> None:
    found = sync.offset(loudness_curve, np.full(98, 0.2))
    assert np.isnan(found.frames) and np.isnan(found.confidence)


def test_lips_that_only_jitter_have_no_offset(rng: np.random.Generator, fitted: LipCorrelation, talker: Any) -> None:
    mel, lips = talker.says(200, 77)
    found = sync.offset(*fitted.variates(mel, lips[:1] + 1e-4 * rng.normal(size=lips.shape)), weights=fitted.weights)
    assert np.isnan(found.frames)


def test_two_pairs_of_which_one_counts(loudness_curve: np.ndarray, rng: np.random.Generator) -> None:
    heard = np.column_stack([loudness_curve, rng.normal(size=98)])
    seen = np.column_stack([np.roll(loudness_curve, 3), heard[:, 1]])
    assert sync.offset(heard, seen, weights=np.array([1.0])).frames == pytest.approx(3, abs=0.1)
    assert sync.offset(heard, seen, weights=np.array([0.0, 1.0])).frames == pytest.approx(0, abs=0.1)
