"""Hand-counted numbers: 48 kHz, 25 fps, 5 ms hop give 1920 samples and 8 mel frames a video frame."""

from __future__ import annotations

from fractions import Fraction

import pytest

from avsc_tf.core.config import TimeConfig
from avsc_tf.core.timebase import Timebase


@pytest.fixture
def timebase() -> Timebase:
    return Timebase.from_config(TimeConfig(video_fps=25, sample_rate_hz=48000, hop_ms=5.0))


def test_hand_counted(timebase: Timebase) -> None:
    assert timebase.hop_samples == 240
    assert timebase.samples_per_video_frame == 1920
    assert timebase.mel_per_video == 8
    assert timebase.mel_fps == 200
    assert timebase.samples_in(50) == 96000
    assert timebase.mel_frames_in(50) == 400  # the paper's two-second window, section 3.1
    assert timebase.video_frames_in(96000) == 50
    assert timebase.video_frames_in(95999) == 49
    assert timebase.seconds_in(50) == 2.0
    assert timebase.video_centre_seconds(0) == Fraction(1, 50)
    assert timebase.video_centre_seconds(74) == Fraction(149, 50)


@pytest.mark.parametrize(("rate_hz", "hop"), [(16000, 80), (24000, 120), (48000, 240)])
def test_waveform_rates(timebase: Timebase, rate_hz: int, hop: int) -> None:
    other = timebase.at_rate(rate_hz)
    assert other.hop_samples == hop
    assert other.mel_per_video == 8


def test_rate_without_whole_hop(timebase: Timebase) -> None:
    with pytest.raises(ValueError, match=r"22050 Hz gives 110\.25 samples a hop"):
        timebase.at_rate(22050)
