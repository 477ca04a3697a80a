"""A drift that was put in is found again, in minutes of sound and lips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from avsc_tf.evaluation.drift import drift
from avsc_tf.measures.lip_correlation import LipCorrelation

MINUTES = 10
N_FRAMES = MINUTES * 60 * 25


@pytest.mark.parametrize("ppm", [-400, 0, 50, 1000])
def test_drift_that_was_put_in(fitted: LipCorrelation, ppm: int, talker: Any) -> None:
    heard, seen = fitted.variates(*talker.says(N_FRAMES, 50, late_frames=1.0, drift=ppm * 1e-6))
    found = drift(heard, seen, fps=25, weights=fitted.weights)
    middle, low, high = found.frames_in_ten_minutes
    expected = ppm * 1e-6 * N_FRAMES
    first = 1 + ppm * 1e-6 * 250  # at the middle of its 500 frames
    assert len(found.offsets_frames) == 30 and found.offsets_frames[0] == pytest.approx(first, abs=0.1)
    assert low <= middle <= high and high - low < 0.2
    assert middle == pytest.approx(expected, abs=0.1)  # a fifth of a frame's parabola error over the whole length
    assert found.ms_per_minute == pytest.approx(ppm * 1e-6 * 60_000, abs=0.4)


def test_wrong_windows_do_not_turn_the_line(fitted: LipCorrelation, talker: Any) -> None:
    heard, seen = fitted.variates(*talker.says(N_FRAMES, 51))
    for window in range(0, 30, 5):  # a fifth of them: sound of another time
        at = slice(500 * window, 500 * window + 500)
        heard[at] = np.roll(heard[at], 250, axis=0)
    seen[2000:3000] = np.nan  # two windows without a face
    found = drift(heard, seen, fps=25, weights=fitted.weights)
    assert np.isnan(found.offsets_frames[4:6]).all()
    assert found.frames_in_ten_minutes[0] == pytest.approx(0, abs=0.3)


def test_a_clip_of_two_windows_has_no_line(fitted: LipCorrelation, talker: Any) -> None:
    heard, seen = fitted.variates(*talker.says(1100, 52))
    found = drift(heard, seen, fps=25, weights=fitted.weights)
    assert len(found.offsets_frames) == 2 and np.isnan(found.frames_in_ten_minutes).all()


@pytest.mark.parametrize(("late", "ppm"), [(5, 0), (-7, 300)])
def test_a_video_that_teaches_itself(late: int, ppm: int, talker: Any) -> None:
    """No training sentences: projections fitted in place would hide that the lips are late."""
    mel, lips = talker.says(N_FRAMES // 2, 53, late_frames=late, drift=ppm * 1e-6)
    own = LipCorrelation.fit_at_best_lag(mel, lips)
    found = drift(*own.variates(mel, lips), fps=25, weights=own.weights)
    assert found.offsets_frames[0] == pytest.approx(late, abs=0.3)
    assert found.frames_in_ten_minutes[0] == pytest.approx(ppm * 1e-6 * N_FRAMES, abs=0.4)
