"""Measures of a voice against cases worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avsc_tf.core.config import load_config
from avsc_tf.evaluation.figures import copy_figures
from avsc_tf.measures import voice

ROOT = Path(__file__).resolve().parents[2]
N_FRAMES, N_MELS = 37, 80


def tone(f0_hz: float, seconds: float, rate_hz: int) -> np.ndarray:
    """Twelve harmonics, falling by 1/n: voiced sound of a known pitch."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    return 0.1 * sum(np.sin(2 * np.pi * n * f0_hz * t) / n for n in range(1, 13)).astype(np.float32)


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


def mel_of_levels(*levels: float) -> np.ndarray:
    """A frame each, its strongest band at that natural-log level."""
    return np.array(levels)[:, None] - np.linspace(0.0, 6.0, 5)


def test_no_voice_is_counted_in_the_noise_of_pauses() -> None:
    # four pitch frames of 10 ms on mel frames of 5 ms: 0, 2, 4, 6. Loud is -1, so 24 dB below is -3.8
    reference = mel_of_levels(-1.0, -1.0, -3.7, -9.0, -3.9, -1.0, -8.0)
    track = voice.PitchTrack(np.array([100.0, 101.0, 102.0, 103.0]))
    kept = voice.audible_voice(track, reference, reference, mel_fps=200.0)
    assert np.array_equal(kept.voiced, [True, True, False, False])
    assert np.array_equal(kept.f0_hz[:2], [100.0, 101.0])


def test_a_voice_sounding_in_a_pause_is_still_an_error() -> None:
    recording = mel_of_levels(*[-1.0] * 10, *[-9.0] * 10)
    buzzing = mel_of_levels(*[-1.0] * 10, *[-2.0] * 10)  # at the recording's absolute level, not its own
    louder_everywhere = recording + 3.0
    track = voice.PitchTrack(np.full(10, 120.0))
    true = voice.audible_voice(track, recording, recording, mel_fps=200.0)
    assert voice.voicing_error(voice.audible_voice(track, buzzing, recording, mel_fps=200.0), true) == 0.5
    assert voice.voicing_error(voice.audible_voice(track, louder_everywhere, recording, mel_fps=200.0), true) == 0.0


def test_room_noise_makes_no_voicing_error(rng: np.random.Generator) -> None:
    rate_hz, config = 48_000, load_config(ROOT / "configs" / "demo.yaml")
    hum = 0.002 * np.sin(2 * np.pi * 100.0 * np.arange(rate_hz) / rate_hz).astype(np.float32)  # 40 dB below the voice
    spoken = np.concatenate([tone(140.0, 0.6, rate_hz), np.zeros(rate_hz - round(0.6 * rate_hz), np.float32)])
    noise = rng.normal(0, 0.0005, rate_hz).astype(np.float32)
    found = copy_figures(spoken + noise, spoken + hum, voice.track_pitch(spoken + hum, rate_hz), config)
    assert found["voicing_error_raw"] > 0.2  # of the mains hum in the pause, which is 40 % of the clip
    assert found["voicing_error"] < 0.03  # two or three frames of 10 ms at the edge, where windows hold both
    assert found["pitch_cents"] <= 10.0  # one step of the tracker


def test_intelligibility_falls_with_noise(rng: np.random.Generator) -> None:
    pytest.importorskip("pystoi", reason="optional: pip install avsc_tf[evaluation]")
    rate_hz = 16_000
    syllables = np.repeat(rng.uniform(0.1, 1.0, 20), rate_hz // 10).astype(np.float32)  # 2 s
    clean = syllables * tone(140.0, 2.0, rate_hz)
    noises = [clean + rng.normal(0, level, len(clean)).astype(np.float32) for level in (0.003, 0.1)]
    little, much = (voice.intelligibility(noisy, clean, rate_hz) for noisy in noises)
    assert voice.intelligibility(clean, clean, rate_hz) == pytest.approx(1.0, abs=1e-6)  # its own correlation
    assert little is not None and much is not None and 1.0 > little > much + 0.1


def test_intelligibility_of_too_short_a_clip_is_not_measured() -> None:
    pytest.importorskip("pystoi", reason="optional: pip install avsc_tf[evaluation]")
    short = tone(140.0, 0.2, 16_000)
    assert np.isnan(voice.intelligibility(short, short, 16_000))


def test_predicted_mos_prefers_speech_like_sound_to_noise(rng: np.random.Generator) -> None:
    pytest.importorskip("speechmos", reason="optional: pip install avsc_tf[evaluation]")
    rate_hz = 16_000
    clean = voice.predicted_mos(tone(140.0, 1.3, rate_hz), rate_hz)
    noisy = voice.predicted_mos(rng.normal(0, 0.3, rate_hz).astype(np.float32), rate_hz)
    assert clean is not None and noisy is not None
    assert 1.0 <= noisy < clean <= 5.0
