"""Measures of a voice against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.evaluation import voice

N_FRAMES, N_MELS = 37, 80


@pytest.fixture
def log_mel(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(-4.0, 1.5, (N_FRAMES, N_MELS))


def tone(f0_hz: float, seconds: float, rate_hz: int) -> np.ndarray:
    """Twelve harmonics, falling by 1/n: voiced sound of a known pitch."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    return 0.1 * sum(np.sin(2 * np.pi * n * f0_hz * t) / n for n in range(1, 13)).astype(np.float32)


def test_distortion_of_a_known_cepstral_offset(log_mel: np.ndarray) -> None:
    a, n = 0.3, 5
    offset = a * np.cos(np.pi * n * (np.arange(N_MELS) + 0.5) / N_MELS)  # adds a to c5 of every frame
    assert np.allclose(voice.mel_cepstrum(log_mel + offset) - voice.mel_cepstrum(log_mel), a * np.eye(24)[n - 1])
    # root mean square of the offset over the bands is a / sqrt 2, in decibels 20 / ln 10 times that
    expected_db = 20 / np.log(10) * a / np.sqrt(2)
    assert voice.mel_cepstral_distortion_db(log_mel + offset, log_mel) == pytest.approx(expected_db)


def test_distortion_ignores_loudness_and_detail_above_c24(log_mel: np.ndarray) -> None:
    detail = np.cos(np.pi * 30 * (np.arange(N_MELS) + 0.5) / N_MELS)
    assert voice.mel_cepstral_distortion_db(log_mel + 1.7 + detail, log_mel) == pytest.approx(0.0, abs=1e-12)
    assert voice.log_mel_l1(log_mel + 1.7, log_mel) == pytest.approx(1.7)


def test_no_frames_give_nan() -> None:
    empty = np.zeros((0, N_MELS))
    assert np.isnan(voice.mel_cepstral_distortion_db(empty, empty))
    assert np.isnan(voice.log_mel_l1(empty, empty))


def test_pitch_error_is_the_median_over_frames_voiced_in_both() -> None:
    nan = np.nan
    reference = voice.PitchTrack(np.array([100.0, 100.0, 100.0, nan, 100.0, nan]))
    semitone = 100.0 * 2 ** (1 / 12)
    track = voice.PitchTrack(np.array([semitone, 100.0, 200.0, 150.0, nan, nan]))
    assert voice.pitch_error_cents(track, reference) == pytest.approx(100.0)  # of 100, 0 and 1200
    assert voice.voicing_error(track, reference) == pytest.approx(2 / 6)


def test_pitch_error_without_common_voice_is_nan() -> None:
    silent = voice.PitchTrack(np.full(4, np.nan))
    assert np.isnan(voice.pitch_error_cents(silent, voice.PitchTrack(np.full(4, 120.0))))
    assert voice.voicing_error(silent, silent) == 0.0


def test_pitch_tracker_finds_a_tone_and_the_silence_after_it() -> None:
    rate_hz, f0_hz = 48_000, 173.0
    waveform = np.concatenate([tone(f0_hz, 0.6, rate_hz), np.zeros(rate_hz // 2, np.float32)])
    track = voice.track_pitch(waveform, rate_hz)
    voiced_hz = track.f0_hz[track.voiced]
    # pyin's grid is a tenth of a semitone: 5 cents either way, 0.5 Hz at this pitch
    assert np.median(voiced_hz) == pytest.approx(f0_hz, abs=0.6)
    assert track.voiced[5:50].all()
    assert not track.voiced[75:].any()


def test_pitch_track_on_another_timeline() -> None:
    track = voice.PitchTrack(np.array([100.0, 110.0, np.nan, 130.0]))
    moved = track.at(np.array([0.0, 0.0051, 0.012, 0.03, 9.0]))  # 10 ms a frame, nearest
    assert np.array_equal(moved.f0_hz, [100.0, 110.0, 110.0, 130.0, 130.0])
    assert np.allclose(track.seconds, [0.0, 0.01, 0.02, 0.03])


def test_predicted_mos_prefers_speech_like_sound_to_noise(rng: np.random.Generator) -> None:
    pytest.importorskip("speechmos", reason="optional: pip install avsc_tf[evaluation]")
    rate_hz = 16_000
    clean = voice.predicted_mos(tone(140.0, 1.3, rate_hz), rate_hz)
    noisy = voice.predicted_mos(rng.normal(0, 0.3, rate_hz).astype(np.float32), rate_hz)
    assert clean is not None and noisy is not None
    assert 1.0 <= noisy < clean <= 5.0
