"""Loudness against the recommendation's own test tone; duration of sounds whose length is known."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.measures.duration import duration_agreement, speech_seconds
from avsc_tf.measures.loudness import loudness_difference_db, loudness_lufs

RATE_HZ = 48_000
MEL_FPS = 200
EDGES_S = 0.021  # levels are smoothed over 25 ms: two frames of 5 ms at each end


def tone(seconds: float, *, peak: float = 0.1) -> np.ndarray:
    return peak * np.sin(2 * np.pi * 997.0 * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)


def test_loudness_of_the_recommendations_tone():
    """ITU-R BS.1770-4: a 997 Hz sine of 0 dBFS in one channel reads -3.01 LKFS."""
    assert loudness_lufs(tone(2.0, peak=1.0), RATE_HZ) == pytest.approx(-3.01, abs=0.01)


def test_half_the_amplitude_is_6_db_less(rng):
    x = rng.normal(0, 0.1, 2 * RATE_HZ)
    assert loudness_difference_db(x / 2, x, RATE_HZ) == pytest.approx(20 * np.log10(0.5), abs=1e-6)
    short = x[: RATE_HZ // 5]  # shorter than the measure's block of 0.4 s
    assert loudness_difference_db(short / 2, short, RATE_HZ) == pytest.approx(-6.0206, abs=1e-4)


def test_silence_around_is_gated_out_but_for_the_blocks_at_the_edges():
    """Blocks of 0.4 s every 0.1 s: 17 hold the tone, three at each edge a quarter, a half and three quarters of it."""
    padded = np.concatenate([np.zeros(RATE_HZ), tone(2.0), np.zeros(2 * RATE_HZ)])
    expected = 10 * np.log10((17 + 2 * (0.25 + 0.5 + 0.75)) / 23)
    assert loudness_difference_db(padded, tone(2.0), RATE_HZ) == pytest.approx(expected, abs=0.01)


def test_a_silent_clip_has_no_difference():
    assert np.isnan(loudness_difference_db(np.zeros(RATE_HZ), tone(1.0), RATE_HZ))
    assert np.isnan(loudness_difference_db(tone(1.0), np.zeros(0), RATE_HZ))


def spoken(first: int, last: int, n_frames: int, rng: np.random.Generator) -> np.ndarray:
    """log-mel [n_frames, 7]: 6 nepers louder from frame `first` to before frame `last`."""
    log_mel = rng.normal(-9.0, 0.2, (n_frames, 7))
    log_mel[first:last] += 6.0
    return log_mel


def test_speech_is_counted_from_its_first_frame_to_its_last(rng):
    mel = spoken(60, 260, 400, rng)
    assert speech_seconds(mel, mel_fps=MEL_FPS) == pytest.approx(1.0, abs=EDGES_S)
    mel[140:180] -= 6.0  # a pause inside counts
    assert speech_seconds(mel, mel_fps=MEL_FPS) == pytest.approx(1.0, abs=EDGES_S)


def test_a_click_is_no_speech(rng):
    mel = spoken(60, 260, 400, rng)
    mel[380:383] += 6.0  # 15 ms
    assert speech_seconds(mel, mel_fps=MEL_FPS) == pytest.approx(1.0, abs=EDGES_S)


def test_ratio_of_durations(rng):
    found = duration_agreement(spoken(30, 330, 420, rng), spoken(100, 300, 400, rng), mel_fps=MEL_FPS)
    assert found.ratio == pytest.approx(1.5, abs=0.03)
    assert found.seconds == pytest.approx(1.5, abs=EDGES_S)


def test_without_contrast_or_frames(rng):
    assert speech_seconds(rng.normal(-3.0, 0.1, (90, 7)), mel_fps=MEL_FPS) == 90 / MEL_FPS
    nothing = np.zeros((0, 7))
    assert speech_seconds(nothing, mel_fps=MEL_FPS) == 0.0
    assert np.isnan(duration_agreement(nothing, nothing, mel_fps=MEL_FPS).ratio)
