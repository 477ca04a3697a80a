"""Long videos: an offset that was put in comes out of the file again; what cannot be measured is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avsc_tf.core.errors import MediaError
from avsc_tf.evaluation.drift import drift
from avsc_tf.evaluation.drift_report import long_streams
from avsc_tf.measures.lip_correlation import LipCorrelation
from avsc_tf.media.mux import write_video

FPS, RATE, N_FRAMES, LATE = 25, 16000, 1500, 3


@dataclass
class Face:
    keypoints: np.ndarray


class BrightnessTracker:
    """Stands for the face tracker, which would take a minute: the picture's brightness is how far a mouth opens."""

    def faces_near_and_far(self, frame: np.ndarray) -> list[Face]:
        if frame.mean() < 10:
            return []
        points = np.zeros((70, 2), np.float32)
        points[:, 0], points[36], points[45] = np.arange(70), (10, 20), (50, 20)
        points[48:68, 1] = 40 + frame.mean() / 16 * np.linspace(-1, 1, 20)
        return [Face(points)]


def film(path: Path, brightness: np.ndarray, waveform: np.ndarray) -> Path:
    frames = (np.full((32, 32, 3), round(value), np.uint8) for value in brightness)
    write_video(path, frames, waveform, fps=FPS, sample_rate_hz=RATE, audio_codec="aac")
    return path


@pytest.fixture(scope="module")
def level() -> np.ndarray:
    """Ups and downs of a voice, 0 to 1, [N_FRAMES + LATE]."""
    raw = np.random.default_rng(4).normal(size=N_FRAMES + LATE + 4)
    smooth = np.convolve(raw, np.hanning(7)[1:-1], "valid")
    return (smooth - smooth.min()) / np.ptp(smooth)


def spoken(level: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(5).normal(0, 0.1, (len(level), RATE // FPS))
    return (noise * np.exp(4 * level[:, None] - 4)).ravel()


def test_late_lips_without_drift(tmp_path: Path, level: np.ndarray) -> None:
    path = film(tmp_path / "a.mp4", 60 + 150 * level[:N_FRAMES], spoken(level[LATE:]))
    tracker: Any = BrightnessTracker()
    mel, lips = long_streams(path, tracker)
    assert mel.shape == (N_FRAMES, 80) and lips.shape == (N_FRAMES, 40)
    fitted = LipCorrelation.fit_at_best_lag(mel, lips)
    found = drift(*fitted.variates(mel, lips), fps=FPS, weights=fitted.weights)
    assert found.offsets_frames == pytest.approx([LATE] * 3, abs=0.1)  # H.264, AAC and back; a parabola's error
    assert abs(found.frames_in_ten_minutes[0]) < 1  # three windows in one minute: ten times their scatter


def test_a_film_without_a_face_is_refused(tmp_path: Path, level: np.ndarray) -> None:
    path = film(tmp_path / "dark.mp4", np.zeros(N_FRAMES), spoken(level[LATE:]))
    tracker: Any = BrightnessTracker()
    with pytest.raises(MediaError, match="a face is found in 0 of 1500 frames"):
        long_streams(path, tracker)


def test_a_short_film_is_refused(tmp_path: Path, level: np.ndarray) -> None:
    path = film(tmp_path / "short.mp4", 200 * level[:50], spoken(level[:50]))
    tracker: Any = BrightnessTracker()
    with pytest.raises(MediaError, match=r"lasts 2 s; a drift is a line through 3 windows of 20 s at least"):
        long_streams(path, tracker)
